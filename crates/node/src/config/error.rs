//! Why a configuration is refused.

use super::Source;

/// Why a configuration is refused, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No such setting.
    #[error("{source_of} has no setting `{name}`{}", near(nearest))]
    Unknown {
        /// Where it stands.
        source_of: Source,
        /// As it stands there.
        name: String,
        /// The setting whose name is the nearest.
        nearest: Option<String>,
    },
    /// The value is none for this setting.
    #[error("{source_of}: `{name}` cannot be `{value}`: {reason}")]
    Value {
        /// Where it stands.
        source_of: Source,
        /// The name as it stands there.
        name: String,
        /// As it stands there.
        value: String,
        /// What is wanted.
        reason: String,
    },
    /// The file is not what its name says.
    #[error("the file {file} cannot be read as {format}: {reason}")]
    Syntax {
        /// Its name.
        file: String,
        /// What it should be.
        format: &'static str,
        /// What is wrong, and in which line.
        reason: String,
    },
    /// A file whose name does not say what it is.
    #[error(
        "what is {0}? a name that ends in .toml is TOML, in .conf or .properties what Java's brokers read"
    )]
    Format(String),
    /// Two settings do not go together.
    #[error("{0}")]
    Contradiction(String),
}

fn near(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(
        || "; `rocketwire serve --help` lists all".to_owned(),
        |name| format!("; did you mean `{name}`?"),
    )
}
