use super::*;

fn names() -> (ByteString, ByteString) {
    ("g".into(), "t".into())
}

#[test]
fn a_commit_overwrites_even_backwards() {
    let (g, t) = names();
    let mut offsets = Offsets::default();
    assert_eq!(offsets.committed(&g, &t, 0), None);
    assert_eq!(offsets.commit(&g, &t, 0, 9), Committed::Stored);
    assert_eq!(offsets.commit(&g, &t, 0, 4), Committed::Stored);
    assert_eq!(offsets.committed(&g, &t, 0), Some(4));
    assert_eq!(offsets.committed(&g, &t, 1), None);
}

#[test]
fn negative_offsets_are_ignored() {
    let (g, t) = names();
    let mut offsets = Offsets::default();
    offsets.commit(&g, &t, 0, 3);
    assert_eq!(offsets.commit(&g, &t, 0, -1), Committed::Ignored);
    assert_eq!(offsets.committed(&g, &t, 0), Some(3));
    assert_eq!(offsets.commit(&g, &t, 5, -1), Committed::Ignored);
    assert_eq!(offsets.committed(&g, &t, 5), None);
}

#[test]
fn a_reset_is_told_once_and_guards_the_offset_until_then() {
    // spec: client 167 168
    let (g, t) = names();
    let mut offsets = Offsets::default();
    offsets.commit(&g, &t, 0, 50);
    offsets.reset(&g, &t, 0, 7);
    assert_eq!(offsets.committed(&g, &t, 0), Some(7));
    assert_eq!(offsets.commit(&g, &t, 0, 51), Committed::ResetPending);
    assert_eq!(offsets.commit(&g, &t, 1, 51), Committed::Stored, "another queue");
    assert_eq!(offsets.take_reset(&g, &t, 0), Some(7));
    assert_eq!(offsets.take_reset(&g, &t, 0), None);
    assert_eq!(offsets.commit(&g, &t, 0, 8), Committed::Stored);
}

#[test]
fn a_snapshot_comes_back_cut_to_the_log() {
    let (g, t) = names();
    let mut offsets = Offsets::default();
    offsets.commit(&g, &t, 0, 50);
    offsets.commit(&g, &t, 1, 5);
    offsets.reset(&g, &t, 1, 4);
    let text = serde_json::to_vec(&offsets.snapshot()).unwrap();
    let mut back = Offsets::restore(serde_json::from_slice(&text).unwrap(), |_, _| 20);
    assert_eq!(back.committed(&g, &t, 0), Some(20));
    assert_eq!(back.committed(&g, &t, 1), Some(4));
    assert_eq!(back.take_reset(&g, &t, 1), Some(4));
}

#[test]
fn only_real_changes_need_saving() {
    let (g, t) = names();
    let mut offsets = Offsets::default();
    offsets.commit(&g, &t, 0, 5);
    let changes = offsets.changes();
    offsets.commit(&g, &t, 0, 5);
    offsets.pulled(&g, &t, 0, 9, Amount { messages: 2, bytes: 200 });
    let served = Amount { messages: 2, bytes: 200 };
    assert_eq!(offsets.served(), [(g.clone(), t.clone(), served, 0)]);
    offsets.commit(&g, &t, 0, -1);
    assert_eq!(offsets.changes(), changes);
    offsets.commit(&g, &t, 0, 6);
    assert_ne!(offsets.changes(), changes);
}

#[test]
fn groups_and_topics_can_be_listed_cloned_and_removed() {
    let mut offsets = Offsets::default();
    let (g, h): (ByteString, ByteString) = ("g".into(), "h".into());
    let (t, u): (ByteString, ByteString) = ("t".into(), "u".into());
    offsets.commit(&g, &t, 0, 1);
    offsets.commit(&g, &u, 0, 2);
    offsets.clone_group(&g, &h, &t);
    assert_eq!(offsets.committed(&h, &t, 0), Some(1));
    assert_eq!(offsets.committed(&h, &u, 0), None);
    assert_eq!(offsets.groups_of("t"), [g.clone(), h.clone()]);
    assert_eq!(offsets.topics_of("g"), [t.clone(), u.clone()]);
    offsets.remove_topic("t");
    assert_eq!(offsets.topics_of("g"), ["u"]);
    offsets.remove_group("g");
    assert!(offsets.topics_of("g").is_empty());
}
