//! An address that leads to one server, and later to another one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

pub(crate) struct Address {
    target: Arc<AtomicU16>,
    port: u16,
}

impl Address {
    pub(crate) async fn new(target: u16) -> Address {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = Arc::new(AtomicU16::new(target));
        let to = target.clone();
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let port = to.load(Ordering::Relaxed);
                tokio::spawn(async move {
                    if let Ok(mut to) = TcpStream::connect(("127.0.0.1", port)).await {
                        _ = copy_bidirectional(&mut from, &mut to).await;
                    }
                });
            }
        });
        Address { target, port }
    }

    /// New connections go there. Those that stand stay.
    pub(crate) fn turn_to(&self, target: u16) {
        self.target.store(target, Ordering::Relaxed);
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }
}
