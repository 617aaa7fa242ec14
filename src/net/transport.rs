//! What the blocking adapter needs of a transport, beyond `Read` and `Write`.

use std::boxed::Box;
use std::io::{self, Read, Write};
#[cfg(not(windows))]
use std::net::{Shutdown, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A blocking transport.
///
/// Anything that reads and writes becomes one with an empty `impl`; the methods
/// have defaults that do nothing. Then no deadline can come while a read or write
/// blocks, though: keepalive and [`close_timeout`](crate::Config::close_timeout)
/// need the two timeouts, and [`split`](super::WebSocket::split) needs
/// [`try_clone`](Self::try_clone).
///
/// A read or write is one call of the system's, and comes back with what that brought. One that goes on until it has a
/// whole record, as some TLS streams do, lets a peer that sends a byte at a time hold all deadlines up.
///
/// On Windows a `TcpStream` is no transport: after a timeout its state is indeterminate there. Use the
/// tokio adapter, or a transport of your own that waits until the socket is ready.
///
/// ```
/// use std::io::{self, Read, Write};
///
/// struct SerialLine(/* … */);
/// # impl Read for SerialLine {
/// #     fn read(&mut self, _: &mut [u8]) -> io::Result<usize> { Ok(0) }
/// # }
/// # impl Write for SerialLine {
/// #     fn write(&mut self, bytes: &[u8]) -> io::Result<usize> { Ok(bytes.len()) }
/// #     fn flush(&mut self) -> io::Result<()> { Ok(()) }
/// # }
///
/// impl openline::net::Transport for SerialLine {}
/// ```
pub trait Transport: Read + Write {
    /// How long a read may block; `None` for ever. A read that took longer fails
    /// with [`WouldBlock`](io::ErrorKind::WouldBlock) or
    /// [`TimedOut`](io::ErrorKind::TimedOut).
    ///
    /// # Errors
    ///
    /// If it cannot be set. The next read is then expected to say what is wrong.
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        let _ = timeout;
        Ok(())
    }

    /// How long a write may block, likewise.
    ///
    /// # Errors
    ///
    /// As [`set_read_timeout`](Self::set_read_timeout).
    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        let _ = timeout;
        Ok(())
    }

    /// Tells the peer that nothing more will be written (for TCP, with a FIN), while
    /// reading goes on.
    ///
    /// # Errors
    ///
    /// Of the transport's. They are ignored: the next read meets them too.
    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// A second handle for the same transport, for another thread.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](io::ErrorKind::Unsupported), or why there can be none now.
    fn try_clone(&self) -> io::Result<Self>
    where
        Self: Sized,
    {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(not(windows))]
macro_rules! socket {
    ($socket:ty) => {
        impl Transport for $socket {
            fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                <$socket>::set_read_timeout(self, timeout)
            }

            fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                <$socket>::set_write_timeout(self, timeout)
            }

            fn shutdown_write(&mut self) -> io::Result<()> {
                self.shutdown(Shutdown::Write)
            }

            fn try_clone(&self) -> io::Result<Self> {
                <$socket>::try_clone(self)
            }
        }
    };
}

// Winsock says of a socket whose timeout has come that its state is indeterminate. That is no figure of speech: a
// send that had taken a part of the bytes told none of it, and they went out twice.
#[cfg(not(windows))]
socket!(TcpStream);
#[cfg(unix)]
socket!(UnixStream);

/// For a program that learns at run time whether it talks over TLS:
/// `WebSocket<Box<dyn Transport>>`. A box cannot be cloned, nor split.
impl<T: Transport + ?Sized> Transport for Box<T> {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        (**self).set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        (**self).set_write_timeout(timeout)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        (**self).shutdown_write()
    }
}
