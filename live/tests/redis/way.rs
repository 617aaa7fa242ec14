//! A way to a server: one that can be slow, that can lead nowhere, that can hold back what was sent, and that counts who
//! goes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

pub(crate) struct Way {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    made: AtomicUsize,
    nowhere: AtomicBool,
    slow: AtomicU64,
    cut: Notify,
    /// So many connections hold back what goes to the server: the first ones.
    held: watch::Sender<usize>,
}

impl Way {
    /// Whatever comes from the server is passed through `change`.
    pub(crate) async fn new(target: u16, change: fn(Vec<u8>) -> Vec<u8>) -> Way {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state: Arc<State> = Arc::default();
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = shared.made.fetch_add(1, Relaxed);
                tokio::spawn(shared.clone().carry(number, stream, target, change));
            }
        });
        Way { port, state }
    }

    /// From now on nothing comes through: on connections that stand for ever, and on new ones until it is opened again.
    pub(crate) fn lead_nowhere(&self) {
        self.state.nowhere.store(true, Relaxed);
        self.state.cut.notify_waiters();
    }

    pub(crate) fn open(&self) {
        self.state.nowhere.store(false, Relaxed);
    }

    /// What goes to the server takes so long.
    pub(crate) fn slow_down(&self, time: Duration) {
        self.state.slow.store(u64::try_from(time.as_millis()).unwrap(), Relaxed);
    }

    /// From now on what goes to the server waits, on connections that stand, until it is let go, also if nobody waits for
    /// it any more. New connections are free.
    pub(crate) fn hold(&self) {
        self.state.held.send_replace(self.made());
    }

    pub(crate) fn let_go(&self) {
        self.state.held.send_replace(0);
    }

    /// How many connections have been made.
    pub(crate) fn made(&self) -> usize {
        self.state.made.load(Relaxed)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }
}

impl State {
    async fn carry(self: Arc<State>, number: usize, stream: TcpStream, target: u16, change: fn(Vec<u8>) -> Vec<u8>) {
        let cut = self.cut.notified();
        if !self.nowhere.load(Relaxed) {
            let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
            let (mut from, mut back_to) = stream.into_split();
            let (mut back_from, mut to) = server.into_split();
            let mut held = self.held.subscribe();
            let there = async {
                while let Some(came) = some(&mut from).await {
                    held.wait_for(|held| number >= *held).await.ok()?;
                    sleep(Duration::from_millis(self.slow.load(Relaxed))).await;
                    to.write_all(&came).await.ok()?;
                }
                None::<()>
            };
            let back = async {
                while let Some(came) = some(&mut back_from).await {
                    back_to.write_all(&change(came)).await.ok()?;
                }
                None::<()>
            };
            tokio::select! {
                _ = there => return,
                _ = back => return,
                () = cut => {}
            }
            std::future::pending::<()>().await;
        } else {
            let _stands = stream;
            std::future::pending::<()>().await;
        }
    }
}

async fn some(from: &mut tokio::net::tcp::OwnedReadHalf) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 1 << 16];
    let length = from.read(&mut buffer).await.ok().filter(|length| *length > 0)?;
    buffer.truncate(length);
    Some(buffer)
}
