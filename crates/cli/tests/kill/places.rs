//! Places of the program's code at which it can be told to die (`crash_point` in the store and the broker).

pub struct Place {
    pub name: &'static str,
    /// It dies at one of so many first times that it comes by.
    pub turns: u64,
}

const fn place(name: &'static str, turns: u64) -> Place {
    Place { name, turns }
}

/// While it serves.
pub const RUNNING: &[Place] = &[
    place("group.written", 100),
    place("group.flushed", 100),
    place("group.published", 100),
    place("send.stored", 300),
    place("roll.created", 3),
    place("index.flushed", 3),
    place("checkpoint.written", 2),
    place("table.flushed", 6),
    place("table.renamed", 6),
    place("snapshot.encoded", 3),
    place("snapshot.saved", 3),
    place("deletion.noted", 2),
    place("deletion.stored", 2),
    place("deletion.forgotten", 2),
    place("retention.noted", 1),
    place("retention.removed", 2),
];

/// While it starts.
pub const RECOVERY: &[Place] = &[
    place("recovery.cut", 1),
    place("recovery.rewritten", 1),
    place("recovery.flushed", 1),
    place("recovery.sealed", 1),
    place("checkpoint.written", 1),
];
