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
/// Any type that reads and writes can have an empty `impl`: the default methods do nothing. But without timeouts no
/// deadline is kept while a read or write blocks: keepalive and [`close_timeout`](crate::Config::close_timeout) need
/// the two timeouts. [`split`](super::WebSocket::split) needs [`try_clone`](Self::try_clone).
///
/// A read or write must be one system call, and return what that brought. Some TLS streams read until they have a whole
/// record. Over them, a peer that sends a byte at a time delays all deadlines.
///
/// On Windows a `TcpStream` is no transport, since its state is indeterminate after a timeout. Use the tokio adapter
/// there, or a transport of your own that waits until the socket is ready.
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
    /// Sets how long a read may block; `None` for ever. A read that takes longer fails with
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) or [`TimedOut`](io::ErrorKind::TimedOut).
    ///
    /// # Errors
    ///
    /// The timeout cannot be set. The next read should fail too, and say why.
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        let _ = timeout;
        Ok(())
    }

    /// As [`set_read_timeout`](Self::set_read_timeout), for writes.
    ///
    /// # Errors
    ///
    /// As [`set_read_timeout`](Self::set_read_timeout).
    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        let _ = timeout;
        Ok(())
    }

    /// Tells the peer that nothing more will be written (for TCP, with a FIN). Reading goes on.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock), [`TimedOut`](io::ErrorKind::TimedOut) or
    /// [`Interrupted`](io::ErrorKind::Interrupted) if it could not be done in the time of a write; then it is called
    /// again. Otherwise the transport has failed. That error is ignored, since the next read gets one too.
    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// A second handle for the same transport, for another thread. The two must share their timeouts, as those of a
    /// socket do: what was set with one handle is not set again with the other.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](io::ErrorKind::Unsupported), or why it cannot be made now.
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

// Not on Windows: according to the Winsock manual the state of a socket is indeterminate after a timeout. A send that
// has taken a part of the bytes does not say so, and they are sent twice.
#[cfg(not(windows))]
socket!(TcpStream);
#[cfg(unix)]
socket!(UnixStream);

/// For `WebSocket<Box<dyn Transport>>`, in a program that decides at run time whether to use TLS. A box cannot be
/// cloned, so the WebSocket cannot be split.
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
