//! The requests of one connection that wait for their answer.

use std::{
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use crate::planted::planted;

/// Requests in flight, by opaque; `A` is what ends one.
///
/// A slab: an opaque is a slot's index in the low 16 bits and the slot's generation in the high ones, so that a
/// late answer to a request whose slot was given out again is a stray. An answer waits in the slot until its
/// caller takes it; no allocation per request. The table never reads a clock: it is handed `now`, and a request may
/// come without its deadline, which [`InFlight::date`] gives to all new ones at once.
#[derive(Debug)]
pub struct InFlight<A> {
    slots: Vec<Slot<A>>,
    free: Option<u16>,
    waiting: usize,
    /// Opaques of requests whose time has not begun.
    undated: Vec<i32>,
    /// No deadline of a waiting request is before this.
    earliest: Option<Instant>,
    limit: usize,
}

#[derive(Debug)]
struct Slot<A> {
    generation: u16,
    state: State<A>,
}

#[derive(Debug)]
enum State<A> {
    Free { next: Option<u16> },
    Waiting { due: Due, waker: Option<Waker> },
    Ended(A),
}

/// When a request's time is over.
#[derive(Clone, Copy, Debug)]
pub enum Due {
    /// Then.
    At(Instant),
    /// So long after the next [`InFlight::date`]: the caller need not read the clock.
    In(Duration),
}

/// Thirty years: a longer time ends then, because no clock could add it to now.
const LONGEST: Duration = Duration::from_secs(30 * 365 * 86_400);

/// As many requests are in flight as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl<A> InFlight<A> {
    /// The most requests that one connection can have in flight.
    pub const MAX: usize = 1 << 16;

    /// A table for at most `limit` requests ([`InFlight::MAX`] at the most).
    pub fn new(limit: usize) -> Self {
        InFlight {
            slots: Vec::new(),
            free: None,
            waiting: 0,
            undated: Vec::new(),
            earliest: None,
            limit: limit.min(Self::MAX),
        }
    }

    /// How many requests wait for their answer.
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// Whether no request waits.
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Takes a slot; its opaque goes out with the request.
    pub fn insert(&mut self, due: Due) -> Result<i32, Full> {
        let state = State::Waiting { due, waker: None };
        let (index, generation) = match self.free {
            Some(index) => {
                let slot = self.slots.get_mut(usize::from(index)).ok_or(Full)?;
                if let State::Free { next } = slot.state {
                    self.free = next;
                }
                slot.state = state;
                (index, slot.generation)
            }
            None if self.slots.len() < self.limit => {
                let index = self.slots.len() as u16; // below MAX
                self.slots.push(Slot { generation: 0, state });
                (index, 0)
            }
            None => return Err(Full),
        };
        self.waiting += 1;
        let opaque = opaque(index, generation);
        match due {
            Due::At(deadline) => self.note_deadline(deadline),
            Due::In(_) => self.undated.push(opaque),
        }
        Ok(opaque)
    }

    fn note_deadline(&mut self, deadline: Instant) {
        self.earliest = Some(self.earliest.map_or(deadline, |earliest| earliest.min(deadline)));
    }

    /// Whether a request waits for its time to begin.
    pub fn has_undated(&self) -> bool {
        !self.undated.is_empty()
    }

    /// The time of every request that came with [`Due::In`] begins `now`. To be called soon after each
    /// [`InFlight::insert`]: until then such a request does not expire.
    pub fn date(&mut self, now: Instant) {
        let mut undated = std::mem::take(&mut self.undated);
        for opaque in undated.drain(..) {
            // One that was cancelled or answered meanwhile has no slot, or another state.
            if let Some(Slot { state: State::Waiting { due, .. }, .. }) = self.slot(opaque)
                && let Due::In(timeout) = *due
            {
                let deadline = now + timeout.min(LONGEST);
                *due = Due::At(deadline);
                self.note_deadline(deadline);
            }
        }
        self.undated = undated;
    }

    /// An opaque that no request has, nor will get soon: for a one-way request, whose answer would be a stray.
    pub fn stray(&mut self) -> i32 {
        match self.free {
            Some(index) => self.retire_generation(index),
            None if self.slots.len() < self.limit => {
                let index = self.slots.len() as u16; // below MAX
                self.slots.push(Slot { generation: 0, state: State::Free { next: None } });
                self.free = Some(index);
                self.retire_generation(index)
            }
            // All are taken: what the first one was before will not be it again for long.
            None => opaque(0, self.slots.first().map_or(0, |slot| slot.generation.wrapping_sub(1))),
        }
    }

    fn retire_generation(&mut self, index: u16) -> i32 {
        let Some(slot) = self.slots.get_mut(usize::from(index)) else {
            return opaque(index, 0);
        };
        let generation = slot.generation;
        slot.generation = generation.wrapping_add(1);
        opaque(index, generation)
    }

    /// Ends the request of `opaque` with its answer. `None`: nobody waits for that (late, duplicate, made up).
    /// Otherwise the waker of the caller, if it has one.
    pub fn end(&mut self, opaque: i32, answer: A) -> Option<Option<Waker>> {
        let slot = self.slot(opaque)?;
        let State::Waiting { waker, .. } = &mut slot.state else {
            return None;
        };
        let waker = waker.take();
        slot.state = State::Ended(answer);
        self.waiting -= 1;
        Some(waker)
    }

    /// Takes the answer of `opaque`, or leaves the waker. The slot is free afterwards.
    ///
    /// Pending for ever if the opaque is not in the table.
    pub fn poll(&mut self, opaque: i32, new: &Waker) -> Poll<A> {
        let Some(slot) = self.slot(opaque) else {
            return Poll::Pending;
        };
        match &mut slot.state {
            State::Waiting { waker: Some(waker), .. } => {
                waker.clone_from(new);
                Poll::Pending
            }
            State::Waiting { waker, .. } => {
                *waker = Some(new.clone());
                Poll::Pending
            }
            State::Free { .. } => Poll::Pending,
            State::Ended(_) => match self.release(opaque) {
                State::Ended(answer) => Poll::Ready(answer),
                _ => Poll::Pending,
            },
        }
    }

    /// Gives the slot back, answered or not: the caller does not want to know any more.
    pub fn cancel(&mut self, opaque: i32) {
        let waiting = match self.slot(opaque).map(|slot| &slot.state) {
            Some(State::Waiting { .. }) => true,
            Some(State::Ended(_)) => false,
            _ => return,
        };
        self.waiting -= usize::from(waiting);
        self.release(opaque);
    }

    /// When [`InFlight::expire`] is worth a call: no request's deadline is earlier.
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.waiting == 0 { None } else { self.earliest }
    }

    /// Ends every request whose deadline has come, with an answer made of that; returns how many, and their wakers.
    pub fn expire(&mut self, now: Instant, mut answer: impl FnMut(Instant) -> A) -> (usize, Vec<Waker>) {
        self.end_where(|due| match due {
            Due::At(deadline) if deadline <= now => Some(answer(deadline)),
            _ => None,
        })
    }

    /// Ends every waiting request: the connection is gone. The answer may say when it was due.
    pub fn drain(&mut self, mut answer: impl FnMut(Due) -> A) -> (usize, Vec<Waker>) {
        self.end_where(|due| Some(answer(due)))
    }

    fn end_where(&mut self, mut end: impl FnMut(Due) -> Option<A>) -> (usize, Vec<Waker>) {
        let mut wakers = Vec::new();
        let mut ended = 0;
        let mut earliest: Option<Instant> = None;
        for slot in &mut self.slots {
            let State::Waiting { due, waker } = &mut slot.state else {
                continue;
            };
            if let Some(answer) = end(*due) {
                wakers.extend(waker.take());
                slot.state = State::Ended(answer);
                ended += 1;
            } else if let Due::At(deadline) = *due {
                earliest = Some(earliest.map_or(deadline, |e| e.min(deadline)));
            }
        }
        self.waiting -= ended;
        self.earliest = earliest;
        (ended, wakers)
    }

    fn slot(&mut self, opaque: i32) -> Option<&mut Slot<A>> {
        let [high, low, a, b] = opaque.to_be_bytes();
        let slot = self.slots.get_mut(usize::from(u16::from_be_bytes([a, b])))?;
        let same = slot.generation == u16::from_be_bytes([high, low]);
        (same || planted("late answer to the slot's next owner")).then_some(slot)
    }

    fn release(&mut self, opaque: i32) -> State<A> {
        let free = State::Free { next: self.free };
        let Some(slot) = self.slot(opaque) else {
            return free;
        };
        if !planted("opaque used again at once") {
            slot.generation = slot.generation.wrapping_add(1);
        }
        let state = std::mem::replace(&mut slot.state, free);
        self.free = Some(opaque as u16); // the index
        state
    }
}

fn opaque(index: u16, generation: u16) -> i32 {
    let [a, b] = generation.to_be_bytes();
    let [c, d] = index.to_be_bytes();
    i32::from_be_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready<A>(poll: Poll<A>) -> A {
        match poll {
            Poll::Ready(answer) => answer,
            Poll::Pending => panic!("pending"),
        }
    }

    // spec: remoting I1 I2 J11 I22
    #[test]
    fn an_answer_ends_its_request_once_and_opaques_wrap() {
        let now = Instant::now();
        let mut table = InFlight::new(4);
        let mut negative = 0;
        for round in 0..70_000 {
            let opaque = table.insert(Due::At(now)).unwrap();
            negative += i32::from(opaque < 0);
            assert!(table.end(opaque, round).is_some());
            assert!(table.end(opaque, -1).is_none(), "a duplicate is a stray");
            assert_eq!(ready(table.poll(opaque, Waker::noop())), round);
            assert!(table.end(opaque, -1).is_none(), "a late answer is a stray");
        }
        assert!(negative > 0 && table.is_empty());
    }

    #[test]
    fn the_limit_holds_and_a_cancelled_slot_comes_back() {
        let now = Instant::now();
        let mut table = InFlight::<()>::new(2);
        let first = table.insert(Due::At(now)).unwrap();
        table.insert(Due::At(now)).unwrap();
        assert_eq!(table.insert(Due::At(now)), Err(Full));
        table.cancel(first);
        table.cancel(first);
        let again = table.insert(Due::At(now)).unwrap();
        assert_ne!(first, again);
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn an_answer_to_a_oneway_request_ends_no_other() {
        let now = Instant::now();
        let mut table = InFlight::new(2);
        for _ in 0..3 {
            let stray = table.stray();
            let called = table.insert(Due::At(now)).unwrap();
            assert_ne!(stray, called);
            assert!(table.end(stray, ()).is_none());
            let full = table.insert(Due::At(now)).unwrap();
            let stray = table.stray();
            assert!(table.end(stray, ()).is_none());
            table.cancel(called);
            table.cancel(full);
        }
    }

    #[test]
    fn deadlines_end_only_what_is_due() {
        let now = Instant::now();
        let mut table = InFlight::new(10);
        let soon = table.insert(Due::At(now + Duration::from_millis(10))).unwrap();
        let late = table.insert(Due::At(now + Duration::from_millis(20))).unwrap();
        assert_eq!(table.next_deadline(), Some(now + Duration::from_millis(10)));
        assert_eq!(table.expire(now + Duration::from_millis(9), |_| 1).0, 0);
        assert_eq!(table.expire(now + Duration::from_millis(10), |_| 1).0, 1);
        assert_eq!(table.next_deadline(), Some(now + Duration::from_millis(20)));
        assert_eq!(ready(table.poll(soon, Waker::noop())), 1);
        assert_eq!(table.drain(|_| 2).0, 1);
        assert_eq!(ready(table.poll(late, Waker::noop())), 2);
        assert_eq!(table.next_deadline(), None);
    }

    #[test]
    fn a_request_without_a_deadline_gets_one_when_it_is_dated() {
        let now = Instant::now();
        let (ms, mut table) = (Duration::from_millis, InFlight::new(10));
        let called = table.insert(Due::In(ms(10))).unwrap();
        let cancelled = table.insert(Due::In(ms(1))).unwrap();
        table.cancel(cancelled);
        let again = table.insert(Due::At(now + ms(50))).unwrap();
        assert!(table.has_undated());
        assert_eq!(table.next_deadline(), Some(now + ms(50)));
        assert_eq!(table.expire(now + ms(20), |_| now).0, 0, "its time has not begun");
        table.date(now + ms(20));
        assert!(!table.has_undated());
        assert_eq!(table.next_deadline(), Some(now + ms(30)));
        assert_eq!(table.expire(now + ms(29), |at| at).0, 0);
        assert_eq!(table.expire(now + ms(30), |at| at).0, 1);
        assert_eq!(ready(table.poll(called, Waker::noop())), now + ms(30));
        assert!(table.poll(again, Waker::noop()).is_pending(), "the slot's new owner keeps its own deadline");
    }

    #[test]
    fn all_65536_slots_can_be_used() {
        let now = Instant::now();
        let mut table = InFlight::<u8>::new(usize::MAX);
        let opaques: std::collections::HashSet<_> =
            (0..InFlight::<u8>::MAX).map(|_| table.insert(Due::At(now)).unwrap()).collect();
        assert_eq!(opaques.len(), InFlight::<u8>::MAX);
        assert_eq!(table.insert(Due::At(now)), Err(Full));
    }
}
