use super::*;

fn half() -> Half {
    Half { group: "g".into(), topic: "T".into() }
}

fn appended(queue_offset: i64) -> Appended {
    Appended { queue_offset, physical_offset: queue_offset * 100, store_timestamp: 0, flush_timeout: false }
}

#[test]
fn a_half_message_has_one_verdict() {
    let mut table = Transactions::new(2);
    table.prepared(&appended(0), half(), 1_000);
    let (offset, pending) = table.claim(0).unwrap();
    assert_eq!((offset, pending.physical_offset), (0, 0));
    assert!(table.claim(0).is_none());
    table.put_back(0, pending);
    assert!(table.claim(0).is_some());
}

#[test]
fn the_table_is_bounded() {
    let mut table = Transactions::new(1);
    assert!(!table.is_full());
    table.prepared(&appended(0), half(), 1_000);
    assert!(table.is_full());
    table.claim(0);
    assert!(!table.is_full());
}

#[test]
fn only_what_waited_long_enough_is_due_and_each_is_counted() {
    // spec: client 159
    let mut table = Transactions::new(10);
    table.prepared(&appended(0), half(), 1_000);
    table.prepared(&appended(1), half(), 1_001);
    assert!(due(&mut table, 6_999).is_empty());
    assert_eq!(due(&mut table, 7_000), [(0, 0)]);
    asked(&mut table, 0, 2);
    assert_eq!(due(&mut table, 8_000), [(1, 0), (2, 1)]);
}

/// Offsets, and how often they were asked about, of a whole round.
fn due(table: &mut Transactions, now_ms: i64) -> Vec<(i64, i32)> {
    table.begin_round();
    let due = table.next_due(now_ms, 6_000, 10);
    due.iter().map(|(offset, pending)| (*offset, pending.checks)).collect()
}

#[test]
fn a_round_sees_each_half_message_once() {
    let mut table = Transactions::new(10);
    for offset in 0..4 {
        table.prepared(&appended(offset), half(), 1_000);
    }
    let next = |table: &mut Transactions| -> Vec<i64> {
        table.next_due(7_000, 6_000, 2).iter().map(|(offset, _)| *offset).collect()
    };
    table.begin_round();
    assert_eq!(next(&mut table), [0, 1]);
    asked(&mut table, 0, 4);
    table.begin_round();
    assert!(table.is_in_round(), "it goes on");
    assert_eq!(next(&mut table), [2, 3]);
    asked(&mut table, 2, 5);
    assert!(next(&mut table).is_empty() && !table.is_in_round());
    table.begin_round();
    assert_eq!(next(&mut table), [1, 3]);
    assert_eq!(next(&mut table), [4, 5], "whether they were asked about or not");
}

/// A half message is asked about: it is stored anew.
fn asked(table: &mut Transactions, from: i64, to: i64) {
    let (offset, mut pending) = table.claim_to_move(from).unwrap();
    pending.checks += 1;
    table.moved(offset, to, pending);
}

#[test]
fn a_half_message_is_found_by_its_former_offsets_and_has_one_verdict() {
    let mut table = Transactions::new(10);
    table.prepared(&appended(0), half(), 1_000);
    asked(&mut table, 0, 1);
    asked(&mut table, 1, 2);
    assert_eq!((table.len(), table.snapshot().half_from), (1, 0), "a restart must know its former offsets");
    let (offset, pending) = table.claim(0).unwrap();
    assert_eq!((offset, pending.checks), (2, 2));
    assert!(table.claim(1).is_none() && table.claim(2).is_none());
    table.put_back(offset, pending);
    assert_eq!(table.claim(1).unwrap().0, 2);
    table.done(2, 1);
    assert!(table.claim(0).is_none());
    assert!(table.aliases.is_empty());
}

#[test]
fn a_verdict_waits_while_its_half_message_is_moved() {
    let mut table = Transactions::new(10);
    table.prepared(&appended(0), half(), 1_000);
    asked(&mut table, 0, 1);
    let (offset, pending) = table.claim_to_move(1).unwrap();
    assert!(table.is_moving(0) && table.is_moving(1) && !table.is_moving(2));
    assert!(table.claim(0).is_none() && table.claim_to_move(0).is_none());
    table.moved(offset, 2, pending);
    assert!(!table.is_moving(0) && !table.is_moving(2));
    let (offset, pending) = table.claim_to_move(0).unwrap();
    table.put_back(offset, pending);
    assert!(!table.is_moving(2));
    assert_eq!(table.claim(0).unwrap().0, 2);
    assert!(!table.is_moving(0), "it has a verdict");
}

#[test]
fn a_clock_that_was_set_back_keeps_nobody_from_being_asked() {
    let mut table = Transactions::new(10);
    table.prepared(&appended(0), half(), 1_000_000);
    assert!(due(&mut table, 1_000_000 - CLOCK_SLACK_MS).is_empty(), "a little is waited for");
    assert_eq!(due(&mut table, 1_000_000 - CLOCK_SLACK_MS - 1).len(), 1);
}

#[test]
fn a_restart_reads_what_follows_what() {
    let mut table = Transactions::new(10);
    for offset in 0..5 {
        table.insert(offset, 0, half(), 1_000);
    }
    // 1 is 0 stored anew, 3 is 1; 4 is 2, and has its verdict.
    table.note(1, Some(0), 1);
    table.note(3, Some(1), 2);
    table.pending.remove(&4);
    table.note(4, Some(2), 1);
    assert_eq!(due(&mut table, 7_000), [(3, 2)]);
    assert_eq!(table.claim(0).unwrap().0, 3);
    // 1 is 0 stored anew, 2 is 1, and has its verdict.
    let mut table = Transactions::new(10);
    for offset in 0..2 {
        table.insert(offset, 0, half(), 1_000);
    }
    table.note(1, Some(0), 1);
    table.note(2, Some(1), 2);
    assert!(table.len() == 0 && table.aliases.is_empty());
}

#[test]
fn a_snapshot_says_where_to_read_again() {
    let mut table = Transactions::new(10);
    for offset in 0..3 {
        table.prepared(&appended(offset), half(), 1_000);
    }
    table.claim(0);
    table.done(0, 1);
    table.prepared(&appended(3), half(), 1_000);
    assert_eq!(table.snapshot(), TransactionSnapshot { half_from: 1, op_from: 0 });
    for offset in 1..4 {
        table.claim(offset);
        table.done(offset, offset + 1);
    }
    assert_eq!(table.snapshot(), TransactionSnapshot { half_from: 4, op_from: 4 });
}

#[test]
fn a_half_message_is_read_again_until_its_verdict_is_stored() {
    let mut table = Transactions::new(10);
    for offset in 0..2 {
        table.prepared(&appended(offset), half(), 1_000);
    }
    // The first is on its way to the log when the snapshot is taken, and a kill can follow.
    let (_, first) = table.claim(0).unwrap();
    table.claim(1);
    table.done(1, 1);
    assert_eq!(table.snapshot(), TransactionSnapshot { half_from: 0, op_from: 0 });
    table.put_back(0, first);
    assert_eq!(table.snapshot(), TransactionSnapshot { half_from: 0, op_from: 0 });
    table.claim(0);
    let before = table.changes();
    table.forget(0);
    assert_eq!(table.snapshot(), TransactionSnapshot { half_from: 2, op_from: 1 });
    assert_ne!(table.changes(), before, "it is to be saved");
}
