//! A line between two network namespaces, as long as it is told: IP packets that come out of one TUN device go into the other
//! one, later by the delay, in their order. Both ends' TCP has the real round trip so, and nothing is lost, made faster or
//! put together on the way.
//!
//! The devices are standard input and standard output, which both are read and written, and do not block.

use std::collections::VecDeque;
use std::io::{self, Stdin, Stdout};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use nix::unistd::{read, write};

use crate::Result;
use crate::args::Args;

/// `link --delay-us N`: until it is killed.
pub(crate) fn main(mut args: Args) -> Result<()> {
    let delay = Duration::from_micros(args.value("--delay-us")?);
    args.end()?;
    let (one, other): (Stdin, Stdout) = (io::stdin(), io::stdout());
    let ends = [one.as_fd(), other.as_fd()];
    let mut lines = [Line::default(), Line::default()];
    let mut packet = vec![0; 65_536];
    loop {
        for (from, line) in lines.iter_mut().enumerate() {
            line.take(ends[from], delay, &mut packet)?;
            line.give(ends[1 - from])?;
        }
        let due = lines.iter().filter_map(Line::due).min();
        let wait = due.map(|due| TimeSpec::from(due.saturating_duration_since(Instant::now())));
        let mut polled = ends.map(|end| PollFd::new(end, PollFlags::POLLIN));
        ppoll(&mut polled, wait, None)?;
    }
}

/// The packets on their way in one direction, the oldest first, and when each arrives.
#[derive(Default)]
struct Line(VecDeque<(Instant, Box<[u8]>)>);

impl Line {
    fn due(&self) -> Option<Instant> {
        self.0.front().map(|packet| packet.0)
    }

    /// Takes what has come, some at a time, so that the other direction has its turn.
    fn take(&mut self, from: BorrowedFd<'_>, delay: Duration, packet: &mut [u8]) -> Result<()> {
        for _ in 0..64 {
            match read(from, packet) {
                Ok(length) => self.0.push_back((Instant::now() + delay, packet[..length].into())),
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(format!("reading a packet: {error}").into()),
            }
        }
        if self.0.len() > MOST {
            return Err(format!("more than {MOST} packets are on their way").into());
        }
        Ok(())
    }

    /// Gives what is due.
    fn give(&mut self, to: BorrowedFd<'_>) -> Result<()> {
        let now = Instant::now();
        while let Some((_, packet)) = self.0.pop_front_if(|packet| packet.0 <= now) {
            match write(to, &packet) {
                Ok(_) => {}
                Err(error) => return Err(format!("writing a packet: {error}").into()),
            }
        }
        Ok(())
    }
}

/// More than a measurement of this package ever has on its way.
const MOST: usize = 500_000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn packets_arrive_in_order_and_not_before_their_time() {
        let (client, from) = UnixDatagram::pair().unwrap();
        let (server, to) = UnixDatagram::pair().unwrap();
        from.set_nonblocking(true).unwrap();
        server.set_nonblocking(true).unwrap();
        let (mut line, mut room, delay) = (Line::default(), [0; 100], Duration::from_millis(30));
        assert_eq!(line.due(), None);
        let sent = Instant::now();
        for packet in [b"1", b"2", b"3"] {
            client.send(packet).unwrap();
        }
        line.take(from.as_fd(), delay, &mut room).unwrap();
        assert!(line.due().is_some_and(|due| due >= sent + delay));
        for packet in [b"1", b"2", b"3"] {
            let arrived = loop {
                line.give(to.as_fd()).unwrap();
                if let Ok(length) = server.recv(&mut room) {
                    break &room[..length];
                }
            };
            assert_eq!(arrived, packet);
            assert!(sent.elapsed() >= delay);
        }
        assert_eq!(line.due(), None);
    }
}
