//! The durable log of a broker: checksummed segments, queues, small tables.
//!
//! Knows stored records (`MessageDecoder`'s layout) and files; knows no command, no network and no runtime. The log is the
//! only truth: the queue index is derived from it and can be deleted. Byte layouts, the promise and the recovery
//! steps are in `docs/storage.md`.
//!
//! | module | what is there |
//! |---|---|
//! | [`Store`] | the handle: append, read, search by time, delete, retain, close |
//! | [`StoreOptions`] | every bound and interval, with its default |
//! | [`storage`] | the file system behind a trait: real, in memory, and (testkit) one that loses power |
//! | [`Table`] | small checksummed snapshots: topics, groups, offsets |
//! | `log` | frames, segments, the tail in memory, the checkpoint |
//! | `queue` | the entries of each queue, in memory and in index files |
//! | `keys` | finding records by their keys |
//! | `append` | the pending group and the thread that writes it |
//! | `recovery` | from files to a running log, and the rule about damage |
//! | [`import`] | a store that is written from records of another broker |
//! | [`tools`] | what is done with a folder that is not open: check, dump, repair |

mod append;
mod clock;
mod engine;
mod error;
mod hold;
pub mod import;
mod keys;
mod log;
mod octets;
mod options;
mod origin;
#[cfg(not(feature = "planted"))]
mod planted;
#[cfg(feature = "planted")]
#[doc(hidden)]
pub mod planted;
mod queue;
mod read;
mod record;
mod recovery;
mod retention;
pub mod storage;
mod store;
mod table;
pub mod tools;

pub use append::{Append, Appended, Arrival, Completion, Events, Wait};
pub use clock::{Clock, SystemClock};
pub use error::{AppendError, DeleteError, OpenError, ReadError, TableError};
pub use keys::{KeyOutcome, KeyQuery};
pub use options::{Drive, Flush, OnFull, StoreOptions};
pub use origin::RepairedHole;
pub use queue::{Bounds, QueueId, QueueName};
pub use read::{BoundaryType, ReadLimits, ReadOutcome, ReadStatus};
pub use recovery::{RecoveryReport, TornTail};
pub use retention::Retained;
pub use storage::{MemoryStorage, ReadOnlyStorage, RealStorage, Space, Storage, StorageFile};
pub use store::{Behind, DiskState, Store};
pub use table::Table;
