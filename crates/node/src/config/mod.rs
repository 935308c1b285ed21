//! Configuration of a node that is run as a program: defaults, a file, the environment, flags.
//!
//! One rule: a flag beats the environment, which beats the file, which beats the default. A setting has one name in
//! all of them: `--min-free-bytes`, `ROCKETWIRE_MIN_FREE_BYTES`, `min_free_bytes = "1GiB"`. [`SETTINGS`] is the table
//! of all; nothing else names a setting. This module reads no file and no variable: it is given their contents.
//!
//! ```
//! use rocketwire_node::config::{Config, File};
//!
//! let file = File { name: "node.toml", bytes: b"port = 10911\nretention = \"7d\"\n" };
//! let environment = [("ROCKETWIRE_PORT".to_owned(), "10912".to_owned())];
//! let config = Config::load(Some(file), environment, [("flush", "async".to_owned())])?;
//! assert_eq!(config.options().node.port, 10912);
//! assert_eq!(config.source("port").to_string(), "ROCKETWIRE_PORT");
//! # Ok::<(), rocketwire_node::config::ConfigError>(())
//! ```

mod error;
mod file;
#[cfg(test)]
mod file_checks;
mod java;
mod load;
mod options;
mod settings;
#[cfg(test)]
mod tests;
mod value;

pub use error::ConfigError;
pub use load::{Config, File, Source};
pub use options::{LogFormat, ServeOptions};
pub use settings::{SETTINGS, Section, Setting};
