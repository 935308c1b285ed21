//! Apache's queues (`ConsumeQueue`): 20 bytes for each record, in `consumequeue/TOPIC/QUEUE/OFFSET`. They are read for
//! two things only: where a queue ends whose records are gone, and whether there was a record where none can be read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::ImportError;

const ENTRY: usize = 20;

/// Topic, queue and end of every queue that has entries.
pub(super) fn ends(source: &Path) -> Result<Vec<(String, u32, i64)>, ImportError> {
    let mut ends = Vec::new();
    for (topic, queue, dir) in queues(source)? {
        if let (Ok(queue_id), Some(end)) = (queue.parse(), end(&dir)?) {
            ends.push((topic, queue_id, end));
        }
    }
    ends.sort();
    Ok(ends)
}

/// Whether a queue has an entry for a record at this place of the log; `None` when no queue has any entry.
pub(super) fn leads_to(source: &Path, offset: u64) -> Result<Option<bool>, ImportError> {
    let mut is_known = None;
    for (_, _, dir) in queues(source)? {
        for start in files(&dir)? {
            let bytes = read(&dir, start)?;
            for entry in bytes.chunks_exact(ENTRY).filter(|entry| is_entry(entry)) {
                if entry.starts_with(&offset.to_be_bytes()) {
                    return Ok(Some(true));
                }
                is_known = Some(false);
            }
        }
    }
    Ok(is_known)
}

/// Topic, number and folder of each queue.
fn queues(source: &Path) -> Result<Vec<(String, String, PathBuf)>, ImportError> {
    let mut found = Vec::new();
    for (topic, dir) in folders(&source.join("consumequeue"))? {
        let of_topic = folders(&dir)?.into_iter();
        found.extend(of_topic.map(|(queue, dir)| (topic.clone(), queue, dir)));
    }
    Ok(found)
}

fn folders(dir: &Path) -> Result<Vec<(String, PathBuf)>, ImportError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(ImportError::io("list", dir)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(ImportError::io("list", dir))?.path();
        if let (true, Some(name)) = (path.is_dir(), path.file_name().and_then(|name| name.to_str())) {
            found.push((name.to_owned(), path.clone()));
        }
    }
    Ok(found)
}

/// Begins of the files of a queue, in order.
fn files(dir: &Path) -> Result<Vec<u64>, ImportError> {
    let mut files: Vec<u64> = Vec::new();
    for entry in fs::read_dir(dir).map_err(ImportError::io("list", dir))? {
        let name = entry.map_err(ImportError::io("list", dir))?.file_name();
        files.extend(name.to_str().filter(|name| name.len() == 20).and_then(|name| name.parse::<u64>().ok()));
    }
    files.sort_unstable();
    Ok(files)
}

fn read(dir: &Path, start: u64) -> Result<Vec<u8>, ImportError> {
    let path = dir.join(format!("{start:020}"));
    fs::read(&path).map_err(ImportError::io("read", &path))
}

/// Behind the last entry of a queue.
fn end(dir: &Path) -> Result<Option<i64>, ImportError> {
    let files = files(dir)?;
    for start in files.iter().rev() {
        let bytes = read(dir, *start)?;
        if let Some(count) = entries_of(&bytes) {
            return Ok(i64::try_from(start / ENTRY as u64 + count as u64).ok());
        }
    }
    // What is there is empty: it ends where it begins.
    Ok(files.first().and_then(|start| i64::try_from(start / ENTRY as u64).ok()).filter(|end| *end > 0))
}

/// Entries up to the last that leads to a record.
fn entries_of(bytes: &[u8]) -> Option<usize> {
    bytes.chunks_exact(ENTRY).rposition(is_entry).map(|last| last + 1)
}

fn is_entry(entry: &[u8]) -> bool {
    let size = entry.get(8..).and_then(|rest| rest.first_chunk()).map_or(0, |size| i32::from_be_bytes(*size));
    // Entries that only fill the front of a file claim the largest size there is.
    size > 0 && size < i32::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_ends_behind_its_last_entry() {
        let entry = |size: i32| {
            let mut bytes = vec![0; ENTRY];
            bytes[8..12].copy_from_slice(&size.to_be_bytes());
            bytes
        };
        assert_eq!(entries_of(&[]), None);
        assert_eq!(entries_of(&[0; 100]), None);
        assert_eq!(entries_of(&[entry(i32::MAX), entry(i32::MAX), vec![0; 40]].concat()), None);
        assert_eq!(entries_of(&[entry(i32::MAX), entry(90), entry(100), vec![0; 40]].concat()), Some(3));
        assert_eq!(entries_of(&[entry(90), vec![0; 7]].concat()), Some(1));
    }
}
