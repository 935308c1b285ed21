//! The user's code, and what it says.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use rocketwire_protocol::message::MessageExt;

use crate::panics::CatchPanic;

/// What became of a message, or of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConsumeResult {
    /// Done.
    Success,
    /// Not now: the broker delivers it again, later each time, and after 16 times (by default) to `%DLQ%<group>`.
    ReconsumeLater,
    /// Not now: the broker delivers it again after the delay of this level (1 to 18); below zero, it goes to
    /// `%DLQ%<group>` at once.
    ReconsumeAtLevel(i32),
    /// The first so many messages of the batch are done, the others not (Java: `ackIndex` + 1).
    Acked(usize),
}

impl From<()> for ConsumeResult {
    fn from((): ()) -> ConsumeResult {
        ConsumeResult::Success
    }
}

/// An error means [`ConsumeResult::ReconsumeLater`].
impl<E> From<Result<(), E>> for ConsumeResult {
    fn from(result: Result<(), E>) -> ConsumeResult {
        if result.is_ok() { ConsumeResult::Success } else { ConsumeResult::ReconsumeLater }
    }
}

impl ConsumeResult {
    /// How many messages of a batch are done, and the delay level for the others.
    pub(crate) fn split(self, batch: usize) -> (usize, i32) {
        match self {
            ConsumeResult::Success => (batch, 0),
            ConsumeResult::ReconsumeLater => (0, 0),
            ConsumeResult::ReconsumeAtLevel(level) => (0, level),
            ConsumeResult::Acked(count) => (count.min(batch), 0),
        }
    }
}

/// What became of messages that are consumed in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OrderlyResult {
    /// Done; the next ones may come.
    Success,
    /// Not now: the same messages come again after the option's pause; the queue waits.
    Suspend,
    /// [`OrderlyResult::Suspend`] with a pause of its own: 10 ms to 30 s.
    SuspendFor(Duration),
}

impl From<()> for OrderlyResult {
    fn from((): ()) -> OrderlyResult {
        OrderlyResult::Success
    }
}

/// An error means [`OrderlyResult::Suspend`].
impl<E> From<Result<(), E>> for OrderlyResult {
    fn from(result: Result<(), E>) -> OrderlyResult {
        if result.is_ok() { OrderlyResult::Success } else { OrderlyResult::Suspend }
    }
}

type Handling<R> = CatchPanic<Pin<Box<dyn Future<Output = R> + Send>>>;

/// Object-safe form of a handler; a panic is an error text.
pub(crate) trait Handle<R>: Send + Sync + 'static {
    fn handle(self: Arc<Self>, batch: Vec<Arc<MessageExt>>) -> Handling<R>;
}

impl<R, F, Fut> Handle<R> for F
where
    F: Fn(Vec<Arc<MessageExt>>) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: Into<R>,
    R: 'static,
{
    fn handle(self: Arc<Self>, batch: Vec<Arc<MessageExt>>) -> Handling<R> {
        // The call itself may panic too, so it happens inside.
        CatchPanic(Box::pin(async move { self(batch).await.into() }))
    }
}

/// Who gets the messages.
#[derive(Clone)]
pub(crate) enum Handler {
    Concurrent(Arc<dyn Handle<ConsumeResult>>),
    Orderly(Arc<dyn Handle<OrderlyResult>>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_split_a_batch() {
        // spec: client 97
        assert_eq!(ConsumeResult::Success.split(5), (5, 0));
        assert_eq!(ConsumeResult::ReconsumeLater.split(5), (0, 0));
        assert_eq!(ConsumeResult::ReconsumeAtLevel(7).split(5), (0, 7));
        assert_eq!(ConsumeResult::Acked(3).split(5), (3, 0));
        assert_eq!(ConsumeResult::Acked(9).split(5), (5, 0));
    }

    #[test]
    fn errors_mean_again() {
        // spec: client 98
        assert_eq!(ConsumeResult::from(Err::<(), _>("no")), ConsumeResult::ReconsumeLater);
        assert_eq!(ConsumeResult::from(Ok::<(), ()>(())), ConsumeResult::Success);
        assert_eq!(OrderlyResult::from(Err::<(), _>("no")), OrderlyResult::Suspend);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_even_before_the_first_await() {
        // spec: client 98
        let handler: Arc<dyn Handle<ConsumeResult>> =
            Arc::new(|_: Vec<Arc<MessageExt>>| -> std::future::Ready<ConsumeResult> { panic!("at once") });
        assert_eq!(handler.handle(Vec::new()).await, Err("at once".to_owned()));
    }
}
