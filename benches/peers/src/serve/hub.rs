//! Who gets a broadcast.

use std::sync::Mutex;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

pub struct Hub<T>(Mutex<Vec<UnboundedSender<T>>>);

impl<T> Default for Hub<T> {
    fn default() -> Hub<T> {
        Hub(Mutex::default())
    }
}

impl<T: Clone> Hub<T> {
    pub fn join(&self) -> UnboundedReceiver<T> {
        let (sender, receiver) = unbounded_channel();
        self.0.lock().unwrap().push(sender);
        receiver
    }

    /// Whoever has gone is forgotten.
    pub fn publish(&self, message: &T) {
        self.0.lock().unwrap().retain(|inbox| inbox.send(message.clone()).is_ok());
    }
}
