//! Apache's queues (`ConsumeQueue`): 20 bytes for each record, in `consumequeue/TOPIC/QUEUE/OFFSET`. They are read for
//! one thing only: where a queue ends whose records are gone.

use std::fs;
use std::io;
use std::path::Path;

use super::ImportError;

const ENTRY: usize = 20;

/// Topic, queue and end of every queue that has entries.
pub(super) fn ends(source: &Path) -> Result<Vec<(String, u32, i64)>, ImportError> {
    let mut ends = Vec::new();
    for (topic, dir) in folders(&source.join("consumequeue"))? {
        for (queue, dir) in folders(&dir)? {
            if let (Ok(queue_id), Some(end)) = (queue.parse(), end(&dir)?) {
                ends.push((topic.clone(), queue_id, end));
            }
        }
    }
    ends.sort();
    Ok(ends)
}

fn folders(dir: &Path) -> Result<Vec<(String, std::path::PathBuf)>, ImportError> {
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

/// Behind the last entry of a queue.
fn end(dir: &Path) -> Result<Option<i64>, ImportError> {
    let mut files: Vec<u64> = Vec::new();
    for entry in fs::read_dir(dir).map_err(ImportError::io("list", dir))? {
        let name = entry.map_err(ImportError::io("list", dir))?.file_name();
        files.extend(name.to_str().filter(|name| name.len() == 20).and_then(|name| name.parse::<u64>().ok()));
    }
    files.sort_unstable();
    for start in files.iter().rev() {
        let path = dir.join(format!("{start:020}"));
        let bytes = fs::read(&path).map_err(ImportError::io("read", &path))?;
        if let Some(count) = entries_of(&bytes) {
            return Ok(i64::try_from(start / ENTRY as u64 + count as u64).ok());
        }
    }
    // What is there is empty: it ends where it begins.
    Ok(files.first().and_then(|start| i64::try_from(start / ENTRY as u64).ok()).filter(|end| *end > 0))
}

/// Entries up to the last that leads to a record.
fn entries_of(bytes: &[u8]) -> Option<usize> {
    let is_entry = |entry: &[u8]| {
        let size =
            entry.get(8..).and_then(|rest| rest.first_chunk()).map_or(0, |size| i32::from_be_bytes(*size));
        // Entries that only fill the front of a file claim the largest size there is.
        size > 0 && size < i32::MAX
    };
    bytes.chunks_exact(ENTRY).rposition(is_entry).map(|last| last + 1)
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
