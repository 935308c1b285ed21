//! Where a group stands in its queues (spec client F.11).

pub(crate) mod local_file;
mod table;

pub(crate) use table::OffsetTable;
