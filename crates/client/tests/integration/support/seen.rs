use std::sync::{Arc, Mutex};

use rocketwire::MessageExt;

use super::eventually;

/// What a handler has seen.
#[derive(Clone, Default)]
pub struct Seen(pub Arc<Mutex<Vec<Arc<MessageExt>>>>);

impl Seen {
    pub fn add(&self, message: Arc<MessageExt>) {
        self.0.lock().unwrap().push(message);
    }

    /// A handler that only takes note.
    pub fn collect(&self) -> impl Fn(Arc<MessageExt>) -> std::future::Ready<()> + Send + Sync + 'static {
        let seen = self.clone();
        move |message| {
            seen.add(message);
            std::future::ready(())
        }
    }

    pub fn bodies(&self) -> Vec<String> {
        let seen = self.0.lock().unwrap();
        let mut bodies: Vec<String> =
            seen.iter().map(|message| String::from_utf8(message.body.to_vec()).unwrap()).collect();
        bodies.sort();
        bodies
    }

    pub async fn wait(&self, count: usize) {
        eventually("messages", || self.0.lock().unwrap().len() >= count).await;
    }
}
