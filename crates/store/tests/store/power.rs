//! Power cuts: at random, at every operation of a script, in the middle of a recovery, after a kill.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rocketwire_store::{Flush, MemoryStorage, OpenError, SystemClock};
use rocketwire_testkit::{CutReport, Fault, Random, Step, WatchedDisk, for_each_seed, rounds};

use crate::append::options;
use crate::support::open;
use crate::world::World;

/// Seeds that have failed once.
const SEEDS: &str = include_str!("../seeds.txt");

/// Cuts of all kinds, counted so that a test that never cuts where it hurts fails.
#[derive(Debug, Default)]
struct Tally {
    cuts: usize,
    with_unsynced: usize,
    with_torn: usize,
    with_reordered: usize,
    nested: usize,
    after_kill: usize,
    /// Cuts and kills of a store with at least a sector of zeros ahead of its log.
    with_zeros: usize,
    acked: u64,
    /// How often each kind of action was done.
    actions: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn add(&mut self, report: CutReport) {
        self.cuts += 1;
        self.with_unsynced += usize::from(report.unsynced > 0);
        self.with_torn += usize::from(report.torn > 0);
        self.with_reordered += usize::from(report.reordered > 0);
    }
}

fn act(world: &mut World, random: &mut Random, tally: &mut Tally) {
    let action = match random.below(100) {
        0..70 => "append",
        70..78 => "wait",
        78..84 => "save a table",
        84..86 => "grow old",
        86..90 => "retain",
        90..92 => "delete a topic",
        _ => "read all",
    };
    *tally.actions.entry(action).or_default() += 1;
    match action {
        "append" => world.append(random),
        "wait" => world.clock.advance(Duration::from_millis(random.below(2000))),
        "save a table" => world.save_table(),
        "grow old" => world.clock.advance(crate::world::RETENTION),
        "retain" => world.retain(),
        "delete a topic" => world.delete_topic(if random.percent(50) { "orders" } else { "a" }),
        _ => world.check(),
    }
}

/// Opens the store, cutting the power meanwhile now and then.
fn boot(world: &mut World, random: &mut Random, tally: &mut Tally) {
    loop {
        if random.percent(40) {
            world.disk.fail_at(world.disk.operations() + random.below(12), Fault::PowerCut);
        }
        match world.boot() {
            Ok(()) if world.disk.is_on() => return world.disk.clear_fault(),
            Ok(()) => panic!("a store opens without power\n{}", world.disk.journal().join("\n")),
            Err(OpenError::Io { .. }) => {
                tally.nested += 1;
                tally.add(world.disk.power_cycle());
            }
            Err(error) => panic!("{error}\n{}", world.disk.journal().join("\n")),
        }
    }
}

/// Some boots of a store with sync flushes, each ended by a cut, a kill or in order.
fn live(seed: u64, tally: &mut Tally) {
    let mut random = Random::new(seed);
    let tail = if random.percent(50) { 0 } else { 4000 };
    let mut world = World::new(seed, Flush::Sync, 300 + random.below(3000), tail);
    for _ in 0..6 {
        boot(&mut world, &mut random, tally);
        world.check();
        world.disk.fail_at(world.disk.operations() + random.below(200), Fault::PowerCut);
        for _ in 0..random.below(40) {
            act(&mut world, &mut random, tally);
            if !world.disk.is_on() {
                break;
            }
        }
        tally.with_zeros += usize::from(world.zeros_ahead() >= 512);
        if world.disk.is_on() && random.percent(60) {
            world.disk.clear_fault();
            // A kill loses nothing, and neither does the cut that follows the restart.
            world.disk.kill();
            tally.after_kill += 1;
            boot(&mut world, &mut random, tally);
            world.check();
        }
        if random.percent(10) && world.log().close().is_ok() {
            world.disk.kill();
        } else {
            tally.add(world.disk.power_cycle());
        }
        world.log = None;
    }
    tally.acked += world.acked;
}

// spec: client 165
#[test]
fn random_cuts_lose_nothing_that_was_acknowledged() {
    let mut tally = Tally::default();
    let is_whole = for_each_seed("random_cuts", SEEDS, 400, |seed| live(seed, &mut tally));
    println!("{tally:?}");
    if !is_whole {
        return;
    }
    assert!(tally.cuts > 2000 && tally.acked > 20_000, "enough happened: {tally:?}");
    assert!(
        tally.actions.len() == 7 && tally.actions.values().all(|count| *count > 50),
        "all actions: {tally:?}"
    );
    assert!(tally.with_unsynced * 100 > tally.cuts * 60, "cuts meet data that is not flushed: {tally:?}");
    assert!(tally.with_torn * 100 > tally.cuts * 10, "cuts tear writes: {tally:?}");
    assert!(tally.with_reordered * 100 > tally.cuts * 5, "cuts keep later and lose earlier ones: {tally:?}");
    assert!(tally.nested * 100 >= tally.cuts * 30, "cuts hit recoveries: {tally:?}");
    assert!(tally.after_kill * 100 >= tally.cuts * 10, "cuts follow kills: {tally:?}");
    assert!(tally.with_zeros * 100 >= tally.cuts * 10, "cuts meet zeros ahead of the log: {tally:?}");
}

/// Some boots of a store with async flushes. What was flushed stays; of the rest an end may be lost, never a middle.
fn live_async(seed: u64, tally: &mut Tally) -> usize {
    let mut random = Random::new(seed);
    let mut world = World::new(seed, Flush::Async, 300 + random.below(3000), 4000);
    let mut lost = 0;
    for _ in 0..4 {
        boot(&mut world, &mut random, tally);
        world.forgive();
        world.check();
        for _ in 0..5 + random.below(20) {
            world.append(&mut random);
            match random.below(100) {
                0..20 => world.clock.advance(Duration::from_millis(300)),
                20..24 => world.delete_topic("orders"),
                _ => {}
            }
        }
        if random.percent(30) {
            world.disk.kill();
            tally.after_kill += 1;
            world.boot().unwrap();
            assert_eq!(world.missing(), 0, "a kill loses nothing");
            world.check();
        }
        if random.percent(50) {
            assert!(world.flush());
            // Nothing comes behind the flush, so everything is durable.
            tally.add(world.disk.power_cycle());
            boot(&mut world, &mut random, tally);
            assert_eq!(world.missing(), 0, "what was flushed is not lost");
        } else {
            tally.add(world.disk.power_cycle());
            boot(&mut world, &mut random, tally);
            lost += world.missing();
        }
        world.forgive();
        world.check();
        world.disk.kill();
    }
    tally.acked += world.acked;
    lost
}

/// A store whose writes nearly all replace zeros: no cut changes the length of its file, and pages of a group that
/// did not come are zeros, not the end of the file.
#[test]
fn cuts_among_zeros_that_were_written_ahead_lose_nothing_that_was_acknowledged() {
    let mut tally = Tally::default();
    let is_whole = for_each_seed("cuts_among_zeros", SEEDS, 150, |seed| {
        let mut random = Random::new(seed);
        let mut world = World::new(seed, Flush::Sync, 1 << 20, 0);
        world.options.zeros_ahead = 8192;
        for _ in 0..4 {
            boot(&mut world, &mut random, &mut tally);
            world.check();
            for _ in 0..4 {
                world.append(&mut random);
            }
            world.disk.fail_at(world.disk.operations() + random.below(30), Fault::PowerCut);
            for _ in 0..20 {
                world.append(&mut random);
            }
            tally.with_zeros += usize::from(world.zeros_ahead() >= 4096);
            tally.add(world.disk.power_cycle());
        }
        tally.acked += world.acked;
    });
    println!("{tally:?}");
    if is_whole {
        assert!(tally.with_zeros * 100 >= (tally.cuts - tally.nested) * 60, "cuts meet zeros: {tally:?}");
        assert!(tally.with_torn * 100 > tally.cuts * 10, "cuts tear writes: {tally:?}");
        assert!(tally.acked > 5000, "enough happened: {tally:?}");
    }
}

#[test]
fn with_async_flushes_a_cut_loses_an_end_and_a_kill_loses_nothing() {
    let mut tally = Tally::default();
    let mut lost = 0;
    let is_whole = for_each_seed("async_cuts", SEEDS, 150, |seed| lost += live_async(seed, &mut tally));
    println!("{tally:?} lost {lost}");
    if !is_whole {
        return;
    }
    assert!(lost > 100, "cuts do lose something, or they are none");
    assert!(tally.with_torn * 100 > tally.cuts * 10, "cuts tear writes: {tally:?}");
}

/// Everything a store does, once, in a fixed order.
fn script(world: &mut World, random: &mut Random) {
    for round in 0..4 {
        for _ in 0..5 {
            world.append(random);
        }
        world.save_table();
        world.clock.advance(Duration::from_millis(600));
        world.append(random);
        match round {
            1 => world.delete_topic("orders"),
            2 => {
                world.clock.advance(crate::world::RETENTION * 2);
                world.append(random);
                world.retain();
            }
            _ => {}
        }
    }
    let _ = world.log().close();
}

/// Runs the script on a new disk with a fault at one operation; whether the script came that far.
fn run_script(seed: u64, fault: Option<(u64, Fault)>) -> (World, bool) {
    let mut world = World::new(seed, Flush::Sync, 900, 0);
    if let Some((at, fault)) = fault {
        world.disk.fail_at(at, fault);
    }
    let mut random = Random::new(42);
    if world.boot().is_ok() {
        script(&mut world, &mut random);
        world.log = None;
    }
    let is_reached = fault.is_none_or(|(at, _)| at < world.disk.operations());
    (world, is_reached)
}

fn operations_of_the_script() -> u64 {
    let (world, _) = run_script(0, None);
    let names: Vec<_> = world.disk.paths().iter().map(|path| path.display().to_string()).collect();
    assert!(names.iter().filter(|name| name.ends_with(".idx")).count() > 3, "the script rolls: {names:?}");
    assert!(!names.iter().any(|name| name.ends_with("log/00000000000000000000")), "and deletes: {names:?}");
    world.disk.operations()
}

#[test]
fn a_cut_at_every_operation_of_a_script_loses_nothing() {
    let operations = operations_of_the_script();
    assert!(operations > 150, "{operations}");
    for at in 0..operations {
        for seed in 0..4 {
            let (mut world, is_reached) = run_script(seed * 1000 + at, Some((at, Fault::PowerCut)));
            assert!(is_reached, "operation {at} was never reached");
            world.disk.power_cycle();
            world.boot().unwrap_or_else(|error| panic!("cut at {at}, seed {seed}: {error}"));
            world.check();
            // Recovery is done with itself: the next one finds the same, even after a cut without a word in between.
            world.disk.power_cycle();
            world.boot().unwrap();
            world.check();
            world.append(&mut Random::new(at));
            world.check();
        }
    }
}

/// Every subset of what was not flushed, where there are at most eight such operations, and a sample above; for index
/// files, which are derived and never waited for, a coin decides. `ROCKETWIRE_ROUNDS=8` does it at every operation.
#[test]
fn every_subset_of_what_was_not_flushed_may_survive_a_cut() {
    let is_derived = |path: &Path| path.starts_with("/store/index");
    let operations = operations_of_the_script();
    let stride = 8_u64.checked_div(rounds(1)).unwrap_or(1).max(1);
    let (mut looked_at, mut cuts, mut exhausted, mut most) = (0, 0, 0, 0);
    for at in (0..operations).step_by(stride as usize) {
        let (world, _) = run_script(at, Some((at, Fault::PowerCut)));
        let unsynced = world.disk.unsynced().iter().filter(|path| !is_derived(path)).count();
        let subsets: Vec<u64> = match unsynced {
            0..=8 => (0..1 << unsynced).collect(),
            _ => (0..64).map(|n| Random::new(at * 64 + n).number()).collect(),
        };
        looked_at += 1;
        exhausted += u64::from(unsynced <= 8);
        most = most.max(unsynced);
        for bits in subsets {
            let (mut world, mut coin, mut rest) = (world.fork(bits), Random::new(at + bits), bits);
            world.disk.power_cycle_keeping(|path| {
                let bit = rest & 1 == 1;
                rest = if is_derived(path) { rest } else { rest >> 1 };
                if is_derived(path) { coin.percent(50) } else { bit }
            });
            world.boot().unwrap_or_else(|error| panic!("cut at {at} keeping {bits:b}: {error}"));
            world.check();
            cuts += 1;
        }
    }
    println!(
        "{operations} operations, {looked_at} looked at, {cuts} cuts, {exhausted} exhausted, at most {most} not flushed"
    );
    assert!(looked_at >= 50 && cuts > 4 * looked_at, "{cuts} cuts at {looked_at} operations");
    assert!(
        exhausted * 100 >= looked_at * 80 && most >= 4,
        "{exhausted} of {looked_at} exhausted, at most {most}"
    );
}

#[test]
fn after_an_error_at_any_operation_nothing_is_acknowledged_and_nothing_acknowledged_is_lost() {
    let operations = operations_of_the_script();
    let mut refused = 0;
    for at in 0..operations {
        for fault in [Fault::Eio, Fault::Enospc, Fault::ShortWrite] {
            // World::append asserts that no append is acknowledged after one has failed.
            let (mut world, is_reached) = run_script(at, Some((at, fault)));
            assert!(is_reached, "operation {at} was never reached");
            refused += usize::from(world.has_failed());
            world.disk.kill();
            world.boot().unwrap_or_else(|error| panic!("{fault:?} at {at}: {error}"));
            world.check();
            world.disk.power_cycle();
            world.boot().unwrap_or_else(|error| panic!("{fault:?} at {at}, then a cut: {error}"));
            world.check();
            world.append(&mut Random::new(at));
            world.check();
        }
    }
    assert!(refused > 50, "errors do reach appends: {refused}");
}

#[test]
fn the_name_of_a_new_store_is_flushed_wherever_it_is() {
    for (dir, parent) in [("/var/data", "/var"), ("./data", "."), ("data", ".")] {
        let flushed: Arc<Mutex<Vec<PathBuf>>> = Arc::default();
        let seen = flushed.clone();
        let disk = WatchedDisk::new(MemoryStorage::new(), move |step| {
            if let Step::FlushNames(dir) = step {
                seen.lock().unwrap().push(dir.to_owned());
            }
            Ok(())
        });
        let options = options(|options| options.dir = dir.into());
        open(Arc::new(disk), Arc::new(SystemClock::default()), Arc::new(()), options).unwrap();
        let flushed = flushed.lock().unwrap();
        assert!(flushed.contains(&PathBuf::from(parent)), "{dir}: {flushed:?}");
    }
}
