//! The layers of a configuration, fetched.

use std::{env, fs, io::Read, path::Path};

use rocketwire_node::config::{Config, File};

use super::Args;
use crate::failure::Failure;

/// More than any configuration has; what is longer is refused by its reader.
const MAX_FILE: u64 = 2 << 20;

/// Reads file and environment, and puts everything together.
pub(super) fn load(args: &Args) -> Result<Config, Failure> {
    // A name or value that is no text is none of ours.
    let environment = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let file = args.config.as_deref().map(|path| Ok((path.display().to_string(), read(path)?)));
    let file = file.transpose()?;
    let file = file.as_ref().map(|(name, bytes)| File { name, bytes });
    Config::load(file, environment, args.flags.0.iter().cloned())
        .map_err(|error| Failure::Usage(error.to_string()))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(bytes),
        Err(error) => Err(Failure::Usage(format!("cannot read {}: {error}", path.display()))),
    }
}
