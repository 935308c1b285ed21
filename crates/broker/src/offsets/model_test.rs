//! Random sequences against a model of the table that is two maps.

use rocketwire_testkit::{Random, for_each_seed};

use super::*;

/// What the table should hold, in the plainest way.
#[derive(Default)]
struct Model {
    committed: BTreeMap<(u64, u64, i32), i64>,
    resets: BTreeMap<(u64, u64, i32), i64>,
}

#[test]
fn the_table_does_what_two_maps_do() {
    let name = |kind: &str, n: u64| ByteString::from(format!("{kind}{n}"));
    const STEPS: u64 = 50;
    const NAMES: [&str; 7] =
        ["commit", "reset", "take a reset", "remove a group", "remove a topic", "clone", "restart"];
    let (mut done, mut sequences) = ([0_u64; 7], 0);
    let is_whole = for_each_seed("offsets", "", 1_000, |seed| {
        sequences += 1;
        let mut random = Random::new(seed);
        let (mut table, mut model) = (Offsets::default(), Model::default());
        for _ in 0..STEPS {
            let (g, t, queue) = (random.below(3), random.below(3), random.below(2) as i32);
            let (group, topic, key) = (name("g", g), name("t", t), (g, t, queue));
            let offset = random.below(40) as i64 - 2;
            let action = [0, 0, 0, 0, 1, 1, 2, 2, 3, 4, 5, 6][random.below(12) as usize];
            done[action] += 1;
            match action {
                0 => {
                    let stored = table.commit(&group, &topic, queue, offset);
                    let expected = match offset {
                        ..0 => Committed::Ignored,
                        _ if model.resets.contains_key(&key) => Committed::ResetPending,
                        _ => Committed::Stored,
                    };
                    assert_eq!(stored, expected);
                    if stored == Committed::Stored {
                        model.committed.insert(key, offset);
                    }
                }
                1 => {
                    table.reset(&group, &topic, queue, offset.max(0));
                    model.committed.insert(key, offset.max(0));
                    model.resets.insert(key, offset.max(0));
                }
                2 => assert_eq!(table.take_reset(&group, &topic, queue), model.resets.remove(&key)),
                3 => {
                    table.remove_group(&group);
                    model.committed.retain(|(of, ..), _| *of != g);
                    model.resets.retain(|(of, ..), _| *of != g);
                }
                4 => {
                    table.remove_topic(&topic);
                    model.committed.retain(|(_, of, _), _| *of != t);
                    model.resets.retain(|(_, of, _), _| *of != t);
                }
                5 => {
                    let to = (g + 1) % 3;
                    table.clone_group(&group, &name("g", to), &topic);
                    let copies = model.committed.iter().filter(|((of, from, _), _)| (*of, *from) == (g, t));
                    let copies: Vec<_> = copies.map(|((_, t, queue), at)| ((to, *t, *queue), *at)).collect();
                    if !copies.is_empty() {
                        model.committed.retain(|(of, at, _), _| (*of, *at) != (to, t));
                    }
                    model.committed.extend(copies);
                }
                _ => {
                    // The log ends at 30 in all queues.
                    let text = serde_json::to_vec(&table.snapshot()).unwrap();
                    table = Offsets::restore(serde_json::from_slice(&text).unwrap(), |_, _| 30);
                    model.committed.values_mut().for_each(|offset| *offset = (*offset).min(30));
                    model.resets.values_mut().for_each(|offset| *offset = (*offset).min(30));
                }
            }
            for (g, t, queue) in (0..18).map(|n| (n / 6, n / 2 % 3, (n % 2) as i32)) {
                let found = table.committed(&name("g", g), &name("t", t), queue);
                assert_eq!(found, model.committed.get(&(g, t, queue)).copied(), "g{g} t{t} {queue}");
            }
        }
    });
    let steps: u64 = done.iter().sum();
    let done: BTreeMap<_, _> = NAMES.into_iter().zip(done).collect();
    println!("{sequences} sequences of {} steps: {done:?}", steps / sequences);
    assert_eq!(steps, sequences * STEPS);
    assert!(!is_whole || done.values().all(|count| *count > 500), "{done:?}");
}
