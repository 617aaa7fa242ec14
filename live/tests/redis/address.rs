//! An address that leads to one server, and later to another one, or to nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

pub(crate) struct Address {
    target: Arc<AtomicU16>,
    frozen: Arc<Notify>,
    port: u16,
}

impl Address {
    pub(crate) async fn new(target: u16) -> Address {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = Arc::new(AtomicU16::new(target));
        let frozen: Arc<Notify> = Arc::default();
        let (to, freeze) = (target.clone(), frozen.clone());
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let (port, freeze) = (to.load(Ordering::Relaxed), freeze.clone());
                tokio::spawn(async move {
                    let Ok(mut to) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut from, &mut to) => return,
                        () = freeze.notified() => {}
                    }
                    // Both sides still stand, and nothing comes through.
                    std::future::pending::<()>().await;
                });
            }
        });
        Address { target, frozen, port }
    }

    /// New connections go there. Those that stand stay.
    pub(crate) fn turn_to(&self, target: u16) {
        self.target.store(target, Ordering::Relaxed);
    }

    /// On the connections that stand nothing comes or goes any more, as if the way to the other side were cut off.
    pub(crate) fn freeze(&self) {
        self.frozen.notify_waiters();
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }
}
