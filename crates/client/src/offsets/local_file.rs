//! Offsets of a broadcasting consumer in a file, as Java keeps them (`LocalFileOffsetStore`).
//!
//! `<dir>/<client id>/<group>/offsets.json` with `{"offsetTable":{{queue}:offset}}`; the one before is kept as
//! `offsets.json.bak`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rocketwire_protocol::body::{self, MessageQueue, ResetOffsetBody};

use crate::{RequestError, RequestErrorKind};

/// Where the offsets of a group are.
pub(crate) fn path(dir: Option<&Path>, client_id: &str, group: &str) -> PathBuf {
    // A group is letters, digits, `%`, `|`, `_` and `-`; a client id may hold anything the user chose.
    let client_id: String = client_id.chars().map(|c| if c == '/' || c == '\\' { '_' } else { c }).collect();
    let home = || std::env::home_dir().unwrap_or_default().join(".rocketmq_offsets");
    dir.map_or_else(home, Path::to_path_buf).join(client_id).join(group).join("offsets.json")
}

/// The offsets in the file; nothing if it is not there.
///
/// A file that cannot be read is replaced by the one before; if that one is bad too, it is an error: starting
/// without offsets would silently skip or repeat messages.
pub(crate) fn load(path: &Path) -> Result<Vec<(MessageQueue, i64)>, RequestError> {
    let first = read(path);
    if let Ok(Some(offsets)) = first {
        return Ok(offsets);
    }
    match (first, read(&backup(path))) {
        (_, Ok(Some(offsets))) => Ok(offsets),
        (Ok(None), Ok(None)) => Ok(Vec::new()),
        (Err(error), _) | (_, Err(error)) => Err(failed(path, &error)),
        (Ok(Some(offsets)), _) => Ok(offsets),
    }
}

/// Writes the offsets: beside the file first, then in its place.
pub(crate) fn save(path: &Path, offsets: Vec<(MessageQueue, i64)>) -> Result<(), RequestError> {
    let table = ResetOffsetBody { offset_table: offsets.into_iter().collect() };
    let write = || -> io::Result<()> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let new = path.with_extension("json.tmp");
        fs::write(&new, body::encode(&table))?;
        fs::File::open(&new)?.sync_all()?;
        match fs::rename(path, backup(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::rename(&new, path)
    };
    write().map_err(|error| failed(path, &error))
}

fn read(path: &Path) -> io::Result<Option<Vec<(MessageQueue, i64)>>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let table: ResetOffsetBody =
        body::decode(&text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(Some(table.offset_table.into_iter().collect()))
}

fn backup(path: &Path) -> PathBuf {
    path.with_extension("json.bak")
}

fn failed(path: &Path, error: &io::Error) -> RequestError {
    let text = format!("{}: {error}; repair or delete it and its .bak", path.display());
    RequestError::new("keeping offsets in a file", None, RequestErrorKind::File(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let unique =
                format!("rocketwire-offsets-{name}-{}-{:x}", std::process::id(), crate::identity::random());
            Folder(std::env::temp_dir().join(unique))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn queue(id: i32) -> MessageQueue {
        MessageQueue::new("T", "a", id)
    }

    #[test]
    fn the_path_stays_in_its_folder() {
        let path = path(Some(Path::new("/x")), "10.0.0.1@../../etc", "G");
        assert_eq!(path, Path::new("/x/10.0.0.1@.._.._etc/G/offsets.json"));
    }

    #[test]
    fn what_is_saved_is_loaded() {
        // spec: client 108
        let folder = Folder::new("round-trip");
        let path = path(Some(&folder.0), "id", "G");
        assert_eq!(load(&path).expect("nothing there is no error"), []);
        save(&path, vec![(queue(0), 7)]).expect("saved");
        save(&path, vec![(queue(0), 9), (queue(1), 1)]).expect("saved");
        assert_eq!(load(&path).expect("readable"), [(queue(0), 9), (queue(1), 1)]);
        let text = fs::read_to_string(&path).expect("a file");
        assert!(text.contains(r#"{"offsetTable":{{"brokerName":"a","queueId":0,"topic":"T"}:9"#), "{text}");
    }

    #[test]
    fn a_damaged_file_falls_back_to_the_one_before() {
        // spec: client 108
        let folder = Folder::new("damaged");
        let path = path(Some(&folder.0), "id", "G");
        save(&path, vec![(queue(0), 7)]).expect("saved");
        save(&path, vec![(queue(0), 9)]).expect("saved");
        fs::write(&path, "{\"offsetTable\":{{").expect("written");
        assert_eq!(load(&path).expect("the one before"), [(queue(0), 7)]);
        fs::write(backup(&path), "nonsense").expect("written");
        assert!(load(&path).is_err(), "both are damaged");
    }
}
