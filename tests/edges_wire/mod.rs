//! A transport of closures, with as many handles as one likes: what each read, write, flush and shutdown does is
//! told by the test, which may hold it at a gate. Nothing sleeps.
#![allow(dead_code)]

use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use openline::net::{Transport, WebSocket};
use openline::{Agreement, Config, Role, Upgrade};

pub(crate) type ReadFn = Box<dyn FnMut(usize) -> io::Result<Vec<u8>> + Send>;
pub(crate) type WriteFn = Box<dyn FnMut(usize, &[u8]) -> io::Result<usize> + Send>;
pub(crate) type DoFn = Box<dyn FnMut(usize) -> io::Result<()> + Send>;

#[derive(Default)]
pub(crate) struct Log {
    pub(crate) reads: usize,
    pub(crate) writes: usize,
    pub(crate) flushes: usize,
    pub(crate) flushed: usize,
    pub(crate) shutdowns: usize,
    pub(crate) shut_down: bool,
    pub(crate) written: Vec<u8>,
    pub(crate) read_timeouts: Vec<Option<Duration>>,
    pub(crate) write_timeouts: Vec<Option<Duration>>,
    pub(crate) panic_in_set_write_timeout: bool,
}

#[derive(Clone)]
pub(crate) struct Wire {
    read: Arc<Mutex<ReadFn>>,
    write: Arc<Mutex<WriteFn>>,
    flush: Arc<Mutex<DoFn>>,
    shutdown: Arc<Mutex<DoFn>>,
    log: Arc<Mutex<Log>>,
}

impl Wire {
    pub(crate) fn new(
        read: impl FnMut(usize) -> io::Result<Vec<u8>> + Send + 'static,
        write: impl FnMut(usize, &[u8]) -> io::Result<usize> + Send + 'static,
    ) -> Wire {
        Wire {
            read: Arc::new(Mutex::new(Box::new(read))),
            write: Arc::new(Mutex::new(Box::new(write))),
            flush: Arc::new(Mutex::new(Box::new(|_| Ok(())))),
            shutdown: Arc::new(Mutex::new(Box::new(|_| Ok(())))),
            log: Arc::default(),
        }
    }

    pub(crate) fn on_flush(self, f: impl FnMut(usize) -> io::Result<()> + Send + 'static) -> Wire {
        *self.flush.lock().unwrap() = Box::new(f);
        self
    }

    pub(crate) fn on_shutdown(self, f: impl FnMut(usize) -> io::Result<()> + Send + 'static) -> Wire {
        *self.shutdown.lock().unwrap() = Box::new(f);
        self
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(|error| error.into_inner())
    }

    pub(crate) fn socket(&self, role: Role, config: Config) -> WebSocket<Wire> {
        WebSocket::new(self.clone(), upgrade(role), config, &[])
    }
}

impl Read for Wire {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let call = {
            let mut log = self.log();
            log.reads += 1;
            log.reads
        };
        let bytes = (self.read.lock().unwrap())(call)?;
        assert!(bytes.len() <= space.len(), "the script gives {} for {}", bytes.len(), space.len());
        space[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let call = {
            let mut log = self.log();
            log.writes += 1;
            log.writes
        };
        let len = (self.write.lock().unwrap())(call, bytes)?;
        self.log().written.extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        let call = {
            let mut log = self.log();
            log.flushes += 1;
            log.flushes
        };
        (self.flush.lock().unwrap())(call)?;
        self.log().flushed += 1;
        Ok(())
    }
}

impl Transport for Wire {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.log().read_timeouts.push(timeout);
        Ok(())
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        let mut log = self.log();
        if std::mem::take(&mut log.panic_in_set_write_timeout) {
            drop(log);
            panic!("the transport panics while a timeout is set");
        }
        log.write_timeouts.push(timeout);
        Ok(())
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        let call = {
            let mut log = self.log();
            log.shutdowns += 1;
            log.shutdowns
        };
        (self.shutdown.lock().unwrap())(call)?;
        self.log().shut_down = true;
        Ok(())
    }

    fn try_clone(&self) -> io::Result<Wire> {
        Ok(self.clone())
    }
}

/// Closed at first; once open it stays open.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    pub(crate) fn pass(&self) {
        assert!(self.pass_within(Duration::from_secs(60)), "the script hangs at a gate");
    }

    pub(crate) fn pass_within(&self, limit: Duration) -> bool {
        let open = self.0.0.lock().unwrap();
        !self.0.1.wait_timeout_while(open, limit, |open| !*open).unwrap().1.timed_out()
    }
}

pub(crate) fn upgrade(role: Role) -> Upgrade {
    match role {
        Role::Server => Upgrade::server(Agreement::default()),
        Role::Client => Upgrade::client(Agreement::default(), [7; 32]),
    }
}

/// No keepalive and no stall timeout.
pub(crate) fn patient() -> Config {
    let mut config = Config::default();
    config.keepalive = None;
    config.stall_timeout = None;
    config
}

pub(crate) fn timed_out<T>() -> io::Result<T> {
    Err(io::ErrorKind::TimedOut.into())
}

pub(crate) fn would_block<T>() -> io::Result<T> {
    Err(io::ErrorKind::WouldBlock.into())
}
