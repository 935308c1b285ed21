//! The log of Apache's broker: files of one size, each named by the offset at which it begins, filled with records up to
//! a mark for the rest of the file (`CommitLog`, spec broker C.1).

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rocketwire_protocol::message::RecordView;
use rocketwire_protocol::message::record::MIN_LEN;

use super::place::{Place, announced_len, parse_place};
use super::{ImportError, consume_queue};

/// Bytes that are read at once.
const WINDOW: usize = 4 << 20;

/// All files of the log, and what tells whether its broker was stopped in order.
#[derive(Debug)]
pub(super) struct Log {
    source: PathBuf,
    files: Vec<LogFile>,
    /// The broker did not stop in order (`abort`).
    is_aborted: bool,
    /// Store time of the last message that is known to be flushed (`checkpoint`).
    flushed_ms: i64,
}

#[derive(Debug)]
struct LogFile {
    start: u64,
    end: u64,
    path: PathBuf,
    file: File,
}

/// Where the records of a log end.
enum Stop {
    /// Before the end of the last file.
    At(End),
    /// With the last file.
    Full,
}

/// A place that no record follows.
struct End {
    /// In this file, at this byte.
    file: usize,
    position: u64,
    /// What stands there instead of a record; empty for zeros.
    reason: &'static str,
    /// Store time of the last record.
    last_ms: i64,
}

impl Log {
    pub(super) fn open(source: &Path) -> Result<Self, ImportError> {
        let dir = source.join("commitlog");
        let mut files = Vec::new();
        for entry in fs::read_dir(&dir).map_err(ImportError::io("list", &dir))? {
            let path = entry.map_err(ImportError::io("list", &dir))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let is_ours = name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit());
            let Some(start) = is_ours.then(|| name.parse().ok()).flatten() else { continue };
            let file = File::open(&path).map_err(ImportError::io("open", &path))?;
            let size = file.metadata().map_err(ImportError::io("read", &path))?.len();
            files.push(LogFile { start, end: start.saturating_add(size), path, file });
        }
        files.sort_by_key(|file| file.start);
        let checkpoint = fs::read(source.join("checkpoint")).unwrap_or_default();
        let flushed_ms = checkpoint.first_chunk().map_or(0, |bytes| i64::from_be_bytes(*bytes));
        let is_aborted = source.join("abort").exists();
        Ok(Self { source: source.to_owned(), files, is_aborted, flushed_ms })
    }

    /// Hands out every record with its file and byte. How many bytes a broker that was killed, now or earlier, left behind the
    /// last good record.
    pub(super) fn each(
        &self,
        mut visit: impl FnMut(&RecordView, &Path, u64) -> Result<(), ImportError>,
    ) -> Result<Option<u64>, ImportError> {
        for (file, next) in self.files.iter().zip(self.files.iter().skip(1)) {
            if file.end != next.start {
                let reason = "the file that should follow it is missing".to_owned();
                return Err(ImportError::Damaged {
                    file: file.path.clone(),
                    position: file.end - file.start,
                    reason,
                });
            }
        }
        match self.walk(&mut visit)? {
            Stop::Full => Ok(None),
            Stop::At(end) => self.judge(&end),
        }
    }

    fn walk(
        &self,
        visit: &mut impl FnMut(&RecordView, &Path, u64) -> Result<(), ImportError>,
    ) -> Result<Stop, ImportError> {
        let mut last_ms = i64::MIN;
        for (number, file) in self.files.iter().enumerate() {
            let mut window = Window::new(file);
            let end = |at, reason, last_ms| {
                Ok(Stop::At(End { file: number, position: at - file.start, reason, last_ms }))
            };
            let mut at = file.start;
            // Eight bytes are the shortest mark; what is left beyond is nothing.
            while at + 8 <= file.end {
                match window.place(at)? {
                    Place::Record(record) => {
                        visit(&record, &file.path, at - file.start)?;
                        last_ms = record.store_timestamp();
                        at += record.raw().len() as u64;
                    }
                    Place::Blank => break,
                    Place::Empty => return end(at, "", last_ms),
                    Place::Bad(reason) => return end(at, reason, last_ms),
                }
            }
        }
        Ok(Stop::Full)
    }

    /// Whether the log may end there. As Java does after a kill, the first record that is not whole is its end; but what was
    /// flushed before the kill cannot be behind it. Java does not wipe what it cuts off then, and writes over it later: what
    /// is older than the last record is such a rest.
    fn judge(&self, end: &End) -> Result<Option<u64>, ImportError> {
        let End { file: number, position, reason, last_ms } = *end;
        let Some(file) = self.files.get(number) else { return Ok(None) };
        let mut torn = None;
        let rest = self.files.get(number..).unwrap_or_default();
        for (later, other) in rest.iter().enumerate() {
            let from = if later == 0 { file.start + position } else { other.start };
            if let Some((at, stored_ms)) = Window::new(other).next_record(from)? {
                let is_unflushed = self.is_aborted && stored_ms > self.flushed_ms;
                if !is_unflushed && stored_ms >= last_ms {
                    let what = if reason.is_empty() { "there is nothing" } else { reason };
                    return Err(ImportError::Damaged {
                        file: file.path.clone(),
                        position,
                        reason: format!("{what}, and records are behind it, the next at log offset {at}"),
                    });
                }
                torn = Some(at - (file.start + position));
            }
        }
        match reason {
            "" => Ok(torn),
            _ if torn.is_none() && self.had_record(file.start + position)? => Err(ImportError::Damaged {
                file: file.path.clone(),
                position,
                reason: format!("{reason}, although the broker was stopped in order"),
            }),
            _ => Ok(torn.or(Some(0))),
        }
    }

    /// Whether a record was whole there when the broker was stopped in order, as far as anything tells.
    fn had_record(&self, offset: u64) -> Result<bool, ImportError> {
        Ok(!self.is_aborted && consume_queue::leads_to(&self.source, offset)? != Some(false))
    }
}

/// A part of a file in memory.
struct Window<'a> {
    file: &'a LogFile,
    bytes: Vec<u8>,
    start: u64,
}

impl<'a> Window<'a> {
    fn new(file: &'a LogFile) -> Self {
        Self { file, bytes: Vec::new(), start: file.start }
    }

    fn place(&mut self, at: u64) -> Result<Place, ImportError> {
        let head: [u8; 8] = self.bytes(at, 8)?.first_chunk().copied().unwrap_or_default();
        let left = usize::try_from(self.file.end - at).unwrap_or(usize::MAX);
        let wanted = announced_len(&head).unwrap_or(8).clamp(8, left);
        let bytes = match parse_place(&head, at) {
            Some(place) => return Ok(place),
            None => self.bytes(at, wanted)?,
        };
        Ok(parse_place(bytes, at).unwrap_or(Place::Bad("a record runs past the file")))
    }

    /// The next good record from `at` on, looking at every byte: its offset and store time.
    fn next_record(&mut self, mut at: u64) -> Result<Option<(u64, i64)>, ImportError> {
        while at + MIN_LEN as u64 <= self.file.end {
            let rest = self.bytes(at, MIN_LEN)?;
            // The magic number begins with this byte, four behind the begin.
            let Some(skip) = rest.get(4..).and_then(|rest| rest.iter().position(|byte| *byte == 0xda)) else {
                at += (rest.len() - 4) as u64;
                continue;
            };
            at += skip as u64;
            if at + 8 > self.file.end {
                break;
            }
            if let Place::Record(record) = self.place(at)? {
                return Ok(Some((at, record.store_timestamp())));
            }
            at += 1;
        }
        Ok(None)
    }

    /// The bytes from `at` on that are in memory: at least `count`, if the file has so many.
    fn bytes(&mut self, at: u64, count: usize) -> Result<&[u8], ImportError> {
        let skip = usize::try_from(at.wrapping_sub(self.start)).unwrap_or(usize::MAX);
        if self.bytes.len().saturating_sub(skip) < count {
            let left = usize::try_from(self.file.end - at).unwrap_or(usize::MAX);
            self.bytes = read(&self.file.file, at - self.file.start, WINDOW.max(count).min(left))
                .map_err(ImportError::io("read", &self.file.path))?;
            self.start = at;
            return Ok(&self.bytes);
        }
        Ok(self.bytes.get(skip..).unwrap_or_default())
    }
}

/// `count` bytes, which the file was seen to have.
fn read(file: &File, at: u64, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}
