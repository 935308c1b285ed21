use std::path::PathBuf;
use std::time::Duration;

/// Every bound and interval of a store. Start from [`StoreOptions::new`].
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Folder of the store. Created when missing; locked while the store is open.
    pub dir: PathBuf,
    /// When an append is answered. Default [`Flush::Sync`]: a single node has no replica to lean on.
    pub flush: Flush,
    /// [`Flush::Async`]: how often written data is flushed. Default 500 ms: that much can be lost in a power cut.
    pub flush_interval: Duration,
    /// How long an append may wait for its flush before [`Store::expire_waits`](crate::Store::expire_waits) answers
    /// it with `flush_timeout`. Default 5 s (Java's `syncFlushTimeout`).
    pub flush_timeout: Duration,
    /// Size at which a log segment is closed and the next begins. Default 64 MiB. Larger segments mean fewer files,
    /// coarser retention and a longer scan at start.
    pub segment_bytes: u64,
    /// [`Flush::Sync`]: zeros that are written behind the end of the log in one go, as long as the segment is at least
    /// that long, so that a flush need not change the file. Default 256 KiB; zero writes none. A crash leaves them, and
    /// the next start takes them off.
    pub zeros_ahead: u64,
    /// Size at which a frame is closed. Default 64 KiB. A read of old data checks one whole frame at least;
    /// an append larger than this is still one frame.
    pub frame_bytes: usize,
    /// Bytes that may wait for the writer. Default 32 MiB. Beyond it an append is refused as
    /// [`AppendError::Busy`](crate::AppendError::Busy). As much again can be in the writer's hands.
    pub max_pending_bytes: usize,
    /// How long the writer looks for more work before it sleeps. Default 50 us; zero never looks.
    pub look: Duration,
    /// Newest bytes of the log that are kept in memory for consumers at the end. Default 32 MiB; zero reads all from
    /// files.
    pub tail_cache_bytes: usize,
    /// Older bytes of the log that were read and checked lately and are kept. Default 8 MiB.
    pub read_cache_bytes: usize,
    /// Closed segments, and as many index files, that stay open for reads. Default 64.
    pub max_open_files: usize,
    /// Age at which a closed segment is deleted by [`Store::retain`](crate::Store::retain). Default 72 hours.
    pub retention: Duration,
    /// Size of the log above which its oldest closed segments are deleted, whatever their age. Default `None`.
    pub max_log_bytes: Option<u64>,
    /// Free bytes of the disk below which appends are refused as [`AppendError::DiskFull`](crate::AppendError).
    /// Default 128 MiB: more than everything that can be pending, so that a full disk never meets a half-done write.
    pub min_free_bytes: u64,
    /// Part of the disk, in percent, that has to be free: like `min_free_bytes`, and the larger of the two counts.
    /// Default 0: `min_free_bytes` alone.
    pub min_free_percent: u8,
    /// What a full disk means for old data. Default [`OnFull::Refuse`].
    pub on_full: OnFull,
    /// Who does the writing. Default [`Drive::Threads`].
    pub drive: Drive,
}

impl StoreOptions {
    /// The defaults, in this folder.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            flush: Flush::Sync,
            flush_interval: Duration::from_millis(500),
            flush_timeout: Duration::from_secs(5),
            segment_bytes: 64 << 20,
            zeros_ahead: 256 << 10,
            frame_bytes: 64 << 10,
            max_pending_bytes: 32 << 20,
            look: Duration::from_micros(50),
            tail_cache_bytes: 32 << 20,
            read_cache_bytes: 8 << 20,
            max_open_files: 64,
            retention: Duration::from_secs(72 * 3600),
            max_log_bytes: None,
            min_free_bytes: 128 << 20,
            min_free_percent: 0,
            on_full: OnFull::Refuse,
            drive: Drive::Threads,
        }
    }
}

/// What "stored" means when an append is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// Flushed to the disk: an answer survives a power cut. Appends share flushes. Readers see flushed data only.
    Sync,
    /// Handed to the operating system: an answer survives the process, not the machine.
    Async,
}

/// What a full disk means for data that is younger than its retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFull {
    /// It is kept; appends are refused until there is space.
    Refuse,
    /// The oldest closed segments are deleted until there is space.
    DropOldest,
}

/// Who does the writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drive {
    /// Two threads of the store, `rw-store-writer` and `rw-store-flusher`.
    Threads,
    /// Nobody until someone calls [`Store::turn`](crate::Store::turn). One caller decides the order of all file
    /// operations, which is what a test that cuts the power at each of them needs.
    Manual,
}
