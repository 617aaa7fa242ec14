//! A client's end of a WebSocket, at whose other end somebody answers in lines.

use std::future::Future;

use openline::Message;
use openline::tokio::WebSocket;
use openline_live::{Lag, Start};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::words::{Heard, join};

pub struct Remote {
    said: mpsc::UnboundedSender<String>,
    heard: mpsc::Receiver<Heard>,
}

impl Remote {
    /// Talks to who is there when this future is ready.
    pub fn new<S>(opening: impl Future<Output = Option<WebSocket<S>>> + Send + 'static) -> Remote
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (said, to_say) = mpsc::unbounded_channel();
        let (hears, heard) = mpsc::channel(1);
        tokio::spawn(async move { talk(opening.await?, to_say, hears).await });
        Remote { said, heard }
    }

    pub fn join(&self, topic: usize, start: Start, lag: Lag) {
        // A connection that is over is seen when it is read.
        let _ = self.said.send(join(topic, start, lag));
    }

    /// Nothing: the connection is over.
    pub async fn next(&mut self) -> Option<Heard> {
        self.heard.recv().await
    }
}

/// The client's task. It ends with its `Remote`, or with the connection.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    mut socket: WebSocket<S>,
    mut said: mpsc::UnboundedReceiver<String>,
    heard: mpsc::Sender<Heard>,
) -> Option<()> {
    loop {
        // It reads on when what it has read was taken, so a client that stalls stalls the server.
        tokio::select! {
            biased;
            text = said.recv() => socket.send(Message::from(text?)).await.ok()?,
            room = heard.clone().reserve_owned() => {
                let room = room.ok()?;
                tokio::select! {
                    biased;
                    text = said.recv() => socket.send(Message::from(text?)).await.ok()?,
                    message = socket.recv() => {
                        room.send(Heard::read(message.ok()??.as_text()?).expect("the server says nothing else"));
                    }
                }
            }
        }
    }
}
