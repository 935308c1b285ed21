//! The producer's side: sends by the schedule.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rocketwire::{Message, Producer};
use tokio::sync::{Semaphore, mpsc};

use super::{
    Args,
    flights::{FAILED, Flights, STORED, Schedule},
};
use crate::{
    commands::bench::load::{self, Tally},
    failure::Failure,
};

/// Sends under way at the same time. Beyond it the schedule waits, and its times count on.
const INFLIGHT: usize = 1024;
/// A sleep ends later than it should by about as much.
const OVERSLEEP: Duration = Duration::from_micros(150);

/// Sends by the schedule; ends when each send has.
pub(super) async fn run(
    args: &Args,
    producer: &Producer,
    flights: &Arc<Flights>,
    schedule: Schedule,
    tally: &Arc<Tally>,
) -> Result<(), Failure> {
    let (hand_over, mut due) = mpsc::channel(INFLIGHT);
    let total = flights.len();
    // A runtime's timers are in whole milliseconds, a thread sleeps more exactly.
    let clock = tokio::task::spawn_blocking(move || {
        for number in 0..total {
            sleep_until(schedule.due(number));
            if hand_over.blocking_send(number).is_err() {
                break;
            }
        }
    });
    let inflight = Arc::new(Semaphore::new(INFLIGHT));
    while let Some(number) = due.recv().await {
        let Ok(permit) = inflight.clone().acquire_owned().await else { break };
        let message = Message::new(args.topic.as_str(), flights.body(number, args.body));
        let (producer, flights, tally) = (producer.clone(), flights.clone(), tally.clone());
        tokio::spawn(async move {
            match producer.send(message).await {
                Ok(_) => flights.sent(number, STORED),
                Err(error) => {
                    flights.sent(number, FAILED);
                    tally.failed(error);
                }
            }
            drop((tally, flights, permit));
        });
    }
    let all = inflight.acquire_many(INFLIGHT as u32).await;
    all.map(drop).map_err(|_| load::panicked())?;
    clock.await.map_err(|_| load::panicked())
}

fn sleep_until(due: Instant) {
    let early = due.saturating_duration_since(Instant::now()).saturating_sub(OVERSLEEP);
    if !early.is_zero() {
        thread::sleep(early);
    }
    while Instant::now() < due {
        std::hint::spin_loop();
    }
}
