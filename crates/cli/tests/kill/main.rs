//! `kill -9` of the real program, again and again on the same folders: under producers, consumers and an operator, at
//! random moments and at named places of its code, while it runs and while it recovers. Then everything that was
//! acknowledged has to be there, at its place, with its content, and nothing else.
//!
//! `ROCKETWIRE_ROUNDS` multiplies the usual 25 rounds, `ROCKETWIRE_SEED` begins elsewhere. Builds with feature `planted`, which
//! has the places to die at.
#![allow(clippy::disallowed_types)] // it is the program that is tested, so it has to be started
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // tests
#![allow(clippy::print_stderr)] // for who reads the output of a failed test

mod book;
mod load;
mod places;
mod serve;

use std::{collections::BTreeMap, path::Path};

use rocketwire_testkit::{Random, rounds};

use book::Book;
use places::{Place, RECOVERY, RUNNING};
use serve::Serve;

/// Kills on one folder, before the next one begins.
const LIFE: u64 = 25;
const USUAL: u64 = 25;

/// What was done, to see that it was enough.
#[derive(Debug, Default)]
struct Tally {
    rounds: u64,
    kills: u64,
    /// Rounds that ended while sends had no answer yet.
    with_sends_in_flight: u64,
    /// By place; those at random moments are not here.
    at: BTreeMap<&'static str, u64>,
    acked: u64,
    consumed: u64,
    /// Handed out again, behind what was committed.
    again: u64,
    torn_ends: u64,
    /// Acknowledged messages that retention took before they could be looked for, but for those of rounds that are to
    /// die while it deletes.
    deleted: u64,
}

struct Life<'a> {
    folder: &'a Path,
    flush: &'static str,
    random: Random,
    book: Book,
    turn: u64,
}

impl Life<'_> {
    fn start(&self, place: Option<&Place>, turn: u64) -> Result<Serve, String> {
        Serve::start(self.folder, self.flush, place.map(|place| format!("{}:{turn}", place.name)))
    }

    /// One life of the process, and what it leaves.
    async fn round(&mut self, tally: &mut Tally) {
        self.turn += 1;
        // Every second time at a place, one after the other.
        let place =
            self.turn.is_multiple_of(2).then(|| &RUNNING[(tally.rounds / 2) as usize % RUNNING.len()]);
        let turn = place.map_or(1, |place| 1 + self.random.below(place.turns));
        let (serve, place) = match (self.start(place, turn), place) {
            (Ok(serve), place) => (serve, place),
            // It came by that place while it started.
            (Err(_), Some(place)) => {
                tally.kills += 1;
                *tally.at.entry(place.name).or_default() += 1;
                (self.start(None, 0).expect("it starts again"), None)
            }
            (Err(error), None) => panic!("it does not start: {error}"),
        };
        let deletes = place.is_some_and(|place| place.name.starts_with("retention."));
        let loaded = load::until_killed(&serve, &mut self.book, place.is_some(), &mut self.random).await;
        drop(serve);
        tally.rounds += 1;
        tally.kills += 1;
        tally.with_sends_in_flight += u64::from(loaded.was_sending);
        tally.acked += loaded.acked;
        tally.consumed += loaded.consumed;
        tally.again += loaded.again;
        if let Some(place) = place.filter(|_| loaded.died_by_itself) {
            *tally.at.entry(place.name).or_default() += 1;
        }
        let deleted = self.recover(tally).await;
        tally.deleted += if deletes { 0 } else { deleted };
    }

    /// Starts it again, killing it meanwhile now and then, and looks at everything; how much retention had taken of it.
    async fn recover(&mut self, tally: &mut Tally) -> u64 {
        let has_torn_end = self.random.percent(50);
        if has_torn_end {
            serve::append_half_a_frame(self.folder, &mut self.random);
        }
        if self.random.percent(50) {
            let place = &RECOVERY[self.random.below(RECOVERY.len() as u64) as usize];
            let turn = 1 + self.random.below(place.turns);
            if self.start(Some(place), turn).is_err() {
                tally.kills += 1;
                *tally.at.entry(place.name).or_default() += 1;
            }
        }
        let serve = self.start(None, 0).unwrap_or_else(|error| panic!("it does not start again: {error}"));
        tally.torn_ends += u64::from(serve.log().contains("torn end"));
        let deleted = self.book.check(&serve).await;
        assert!(!serve.has_ended(), "it lives on while it is read: {}", serve.log());
        deleted
    }
}

async fn live(seed: u64, count: u64, tally: &mut Tally) {
    let folder = tempfile::tempdir().unwrap();
    // Three of five promise what is on the disk, two what the system has: a kill must not tell them apart.
    let flush = if seed % 5 < 3 { "sync" } else { "async" };
    let mut life = Life {
        folder: folder.path(),
        flush,
        random: Random::new(seed),
        book: Book::default(),
        turn: seed * 7,
    };
    for _ in 0..count {
        life.round(tally).await;
    }
}

// spec: client 165
#[test]
fn what_was_acknowledged_survives_every_kill() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first: u64 = std::env::var("ROCKETWIRE_SEED").ok().map_or(0, |seed| seed.parse().unwrap());
    let mut tally = Tally::default();
    let total = rounds(USUAL);
    // A short run does both kinds, too.
    let life = LIFE.min(total.div_ceil(2));
    for (seed, begin) in (first..).zip((0..total).step_by(life as usize)) {
        // Lives 2 and 3 of five are those with other flushes: the second life of all is one.
        let seed = if total <= 2 * life && seed > first { seed + 2 } else { seed };
        let running = Running { seed };
        runtime.block_on(live(seed, life.min(total - begin), &mut tally));
        std::mem::forget(running);
        println!("{} of {total} rounds: {tally:?}", (begin + life).min(total));
    }
    // Of a few rounds one or two may die at a place that comes before the first message.
    let share = if total < 100 { 80 } else { 90 };
    assert!(tally.with_sends_in_flight * 100 >= tally.rounds * share, "kills meet sends: {tally:?}");
    assert!(tally.acked >= total * 200, "there is something to lose: {tally:?}");
    assert!(tally.deleted * 20 < tally.acked, "nearly all that was acknowledged is looked for: {tally:?}");
    if total >= 500 {
        for place in RUNNING.iter().chain(RECOVERY) {
            let hits = tally.at.get(place.name).copied().unwrap_or_default();
            assert!(hits >= 8, "{} was hit {hits} times: {tally:?}", place.name);
        }
        assert!(tally.torn_ends > 50 && tally.again > 0, "{tally:?}");
    } else {
        assert!(tally.at.len() as u64 >= total.min(20) / 3, "several places: {tally:?}");
    }
}

/// Names the seed of a life that fails.
struct Running {
    seed: u64,
}

impl Drop for Running {
    fn drop(&mut self) {
        eprintln!("failed in the life of seed {seed}: ROCKETWIRE_SEED={seed} begins there", seed = self.seed);
    }
}
