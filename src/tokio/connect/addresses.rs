//! From a host to a TCP connection: the look-up, and the race of the addresses (RFC 8305).

use std::boxed::Box;
use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;
use std::vec::Vec;

use ::tokio::net::{TcpStream, lookup_host};
use ::tokio::time::{Instant, sleep};

use crate::driver::interleave;

/// The addresses of a host, in the order in which to try them; at least one.
pub(super) async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let addresses = interleave(lookup_host((host, port)).await?);
    if addresses.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(addresses) }
}

/// Connects to the first of these addresses that answers.
pub(super) async fn connect(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    race(addresses, TcpStream::connect).await
}

/// RFC 8305 §5: begins an attempt at each address, one after the other, each a little later than the one before, or at
/// once if one has failed. The first success ends the others. If all fail, the error is the last one's.
async fn race<T, F>(addresses: Vec<SocketAddr>, attempt: impl Fn(SocketAddr) -> F) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut untried = addresses.into_iter();
    let mut attempts: Vec<Pin<Box<F>>> = Vec::new();
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    let mut next = pin!(sleep(Duration::ZERO));
    poll_fn(|cx| {
        loop {
            let before = attempts.len();
            let mut done = None;
            attempts.retain_mut(|attempt| {
                // After the first success nobody else is asked.
                let polled = if done.is_some() { Poll::Pending } else { attempt.as_mut().poll(cx) };
                match polled {
                    Poll::Pending => return true,
                    Poll::Ready(Ok(connected)) => done = Some(connected),
                    Poll::Ready(Err(error)) => failure = error,
                }
                false
            });
            if let Some(done) = done {
                return Poll::Ready(Ok(done));
            }
            let has_failed = attempts.len() < before;
            if attempts.is_empty() || has_failed || next.as_mut().poll(cx).is_ready() {
                if let Some(address) = untried.next() {
                    attempts.push(Box::pin(attempt(address)));
                    if let Some(at) = Instant::now().checked_add(ATTEMPT_DELAY) {
                        next.as_mut().reset(at);
                    }
                    continue;
                }
                if attempts.is_empty() {
                    return Poll::Ready(Err(mem::replace(&mut failure, io::ErrorKind::NotFound.into())));
                }
            }
            return Poll::Pending;
        }
    })
    .await
}

/// RFC 8305 §8: the recommended Connection Attempt Delay.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::string::ToString;
    use std::vec;

    /// What an address does: it answers or refuses after so many milliseconds, or never.
    #[derive(Clone, Copy)]
    enum Does {
        Answer(u64),
        Refuse(u64),
        Swallow,
    }
    use Does::*;

    /// Which address wins, after how many milliseconds, and when each attempt began.
    async fn raced(all: &[Does]) -> (io::Result<usize>, u64, Vec<u64>) {
        let (begun, attempts) = (Instant::now(), RefCell::new(vec![]));
        let passed = || u64::try_from(begun.elapsed().as_millis()).unwrap();
        let addresses = (0..all.len()).map(|at| ([127, 0, 0, 1], u16::try_from(at).unwrap()).into()).collect();
        let won = race(addresses, |address| {
            attempts.borrow_mut().push(passed());
            let at = usize::from(address.port());
            async move {
                match all[at] {
                    Answer(millis) => sleep(Duration::from_millis(millis)).await,
                    Refuse(millis) => {
                        sleep(Duration::from_millis(millis)).await;
                        return Err(io::Error::other(std::format!("{at}")));
                    }
                    Swallow => std::future::pending().await,
                }
                Ok(at)
            }
        })
        .await;
        (won, passed(), attempts.into_inner())
    }

    #[::tokio::test(start_paused = true)]
    async fn the_first_to_answer_wins() {
        for (all, won, after, attempts) in [
            (&[Answer(5), Answer(1)][..], 0, 5, &[0][..]),
            (&[Swallow, Answer(5)], 1, 255, &[0, 250]),
            (&[Swallow, Swallow, Swallow, Answer(5)], 3, 755, &[0, 250, 500, 750]),
            (&[Answer(300), Answer(100)], 0, 300, &[0, 250]),
            (&[Answer(400), Answer(100)], 1, 350, &[0, 250]),
            (&[Refuse(10), Answer(5)], 1, 15, &[0, 10]),
            (&[Swallow, Refuse(10), Answer(5)], 2, 265, &[0, 250, 260]),
            (&[Refuse(300), Answer(100)], 1, 350, &[0, 250]),
        ] {
            let raced = raced(all).await;
            assert_eq!((raced.0.unwrap(), raced.1, &raced.2[..]), (won, after, attempts));
        }
    }

    #[::tokio::test(start_paused = true)]
    async fn all_must_fail_for_a_failure() {
        let (error, after, attempts) = raced(&[Refuse(600), Refuse(20), Refuse(0)]).await;
        assert_eq!((error.unwrap_err().to_string(), after, attempts), ("0".into(), 600, vec![0, 250, 270]));
        let (error, ..) = raced(&[]).await;
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
