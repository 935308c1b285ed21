//! Messages as a stream.

use std::{
    future::Future,
    ops::Deref,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_core::Stream;
use rocketwire_protocol::message::MessageExt;
use tokio::sync::{mpsc, oneshot};

use super::ConsumeResult;

/// A message to be acknowledged. Dropped without a word it is delivered again.
#[derive(Debug)]
#[must_use = "a delivery that is dropped is delivered again"]
pub struct Delivery {
    message: Arc<MessageExt>,
    outcome: Option<oneshot::Sender<ConsumeResult>>,
}

impl Delivery {
    /// Done.
    pub fn ack(mut self) {
        self.settle(ConsumeResult::Success);
    }

    /// Not now: the broker delivers the message again, later each time.
    pub fn nack(mut self) {
        self.settle(ConsumeResult::ReconsumeLater);
    }

    /// Not now: the broker delivers the message again after the delay of this level (1 to 18).
    pub fn nack_at_level(mut self, level: i32) {
        self.settle(ConsumeResult::ReconsumeAtLevel(level));
    }

    /// The message.
    pub fn message(&self) -> &Arc<MessageExt> {
        &self.message
    }

    fn settle(&mut self, result: ConsumeResult) {
        if let Some(outcome) = self.outcome.take() {
            // An error means that the consumer has shut down; then the message is delivered again.
            let _ = outcome.send(result);
        }
    }
}

impl Deref for Delivery {
    type Target = MessageExt;

    fn deref(&self) -> &MessageExt {
        &self.message
    }
}

/// Deliveries of a consumer, until it shuts down.
///
/// Shut the consumer down, or drop it, before the stream: what a running consumer fetches for a stream that is gone
/// is sent back, which counts as a delivery, and ends in `%DLQ%<group>` after too many of them.
#[derive(Debug)]
pub struct DeliveryStream {
    deliveries: mpsc::Receiver<Delivery>,
}

impl DeliveryStream {
    /// The next delivery; `None` when the consumer has shut down. Cancel safe: nothing is lost.
    pub async fn next(&mut self) -> Option<Delivery> {
        self.deliveries.recv().await
    }
}

impl Stream for DeliveryStream {
    type Item = Delivery;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        self.deliveries.poll_recv(cx)
    }
}

/// What a handler of the stream returns.
type Word = Pin<Box<dyn Future<Output = ConsumeResult> + Send>>;

/// A handler that puts messages into a stream and waits for the word on each. The stream ends once the sender is
/// dropped.
pub(super) fn channel(
    concurrency: usize,
) -> (impl Fn(Vec<Arc<MessageExt>>) -> Word + Send + Sync + 'static, mpsc::Sender<Delivery>, DeliveryStream) {
    let (sender, deliveries) = mpsc::channel(concurrency.max(1));
    let into_stream = sender.downgrade();
    let handler = move |batch: Vec<Arc<MessageExt>>| -> Word {
        let sender = into_stream.upgrade();
        Box::pin(async move {
            let Some(message) = batch.into_iter().next() else { return ConsumeResult::Success };
            let Some(sender) = sender else { return ConsumeResult::ReconsumeLater };
            let (outcome, word) = oneshot::channel();
            let delivery = Delivery { message, outcome: Some(outcome) };
            if sender.send(delivery).await.is_err() {
                return ConsumeResult::ReconsumeLater;
            }
            drop(sender);
            word.await.unwrap_or(ConsumeResult::ReconsumeLater)
        })
    };
    (handler, sender, DeliveryStream { deliveries })
}
