//! How a node takes leave of the others, so that its names go at once and not with its lease.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::time::timeout;

use crate::backplane::Away;
use crate::engine::Standing;
use crate::hub::Hub;
use crate::roster::Roster;

impl<M: Send> Hub<M> {
    /// This node takes leave of the others before its program ends: whoever is here only at this node is told as gone at
    /// all others, within a second. It waits until the engine has heard that, for so long at most. Without it, these names
    /// stay until the node's lease has ended, for 10 to 20 seconds.
    ///
    /// It is final. Guards need not be dropped first, they hold nothing any more at other nodes, and who enters later is here
    /// only for this node. Messages come and go as before, and so does what others announce; but the names of a node that
    /// dies after that stay here.
    ///
    /// A client that comes back at another node within [`Retain::absence`](crate::Retain::absence) seems to go and to come
    /// again, unless it was there before this is called. So close the sockets first, give their clients a few seconds to
    /// come back elsewhere, and then sign off:
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use openline_live::{EpochSeed, Hub, Memory, Retain};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (stop, close_sockets) = (async {}, async {});
    /// # let make = |_: &str, _, payload: &Bytes| payload.clone();
    /// # let hub = Hub::with(Memory::new().node(), Retain::default(), EpochSeed::from_os()?, make);
    /// tokio::select! {
    ///     () = hub.run() => {}
    ///     () = stop => {}
    /// }
    /// close_sockets.await;
    /// if hub.sign_off(Duration::from_secs(3)).await.is_err() {
    ///     eprintln!("the engine is away: others see us go a little later");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// It runs the hub if nobody else does, so it is no matter whether [`run`](Self::run) goes on meanwhile. If it is
    /// dropped, what it has begun goes on as long as the hub runs. A local hub has nobody to take leave of.
    ///
    /// # Errors
    ///
    /// The engine has not heard all of it in time. What it has heard is told; the rest goes when the node's lease ends.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    pub async fn sign_off(&self, at_most: Duration) -> Result<(), Away> {
        let shared = &self.0.shared;
        let Some(link) = &shared.link else { return Ok(()) };
        let mut standing = link.standing.subscribe();
        link.moves(|standing| match standing {
            Standing::New => Some(Standing::Gone),
            Standing::Here => Some(Standing::Leaving),
            Standing::Leaving | Standing::Gone => None,
        });
        self.each_roster(Roster::take_leave);
        shared.turns.call().into_iter().for_each(Waker::wake);
        let (mut left, mut run) = (pin!(standing.wait_for(|standing| *standing == Standing::Gone)), pin!(self.run()));
        let whole = poll_fn(|cx| {
            if left.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            run.as_mut().poll(cx)
        });
        timeout(at_most, whole).await.map_err(|_| Away)
    }
}
