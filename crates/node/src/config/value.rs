//! How values are written: each kind reads what it prints.

use std::{fmt::Display, path::PathBuf, str::FromStr, time::Duration};

use rocketwire_broker::DelayLevels;
use rocketwire_remoting::Network;
use rocketwire_store::{Flush, OnFull};

use super::LogFormat;

/// What a value looks like, for `--help` and for what is printed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// Stands for the value in `--help`.
    pub(super) placeholder: &'static str,
    /// The words that are allowed, if there are only so many.
    pub(super) words: &'static [&'static str],
    /// Whether TOML writes it without quotes.
    pub(super) is_bare: bool,
}

const fn kind(placeholder: &'static str) -> Kind {
    Kind { placeholder, words: &[], is_bare: false }
}

/// The word for "no value".
const NONE: &str = "none";

/// Any text but none.
pub(super) mod text {
    use super::*;

    pub(in super::super) const KIND: Kind = kind("NAME");

    pub(in super::super) fn parse<T: From<String>>(text: &str) -> Result<T, String> {
        match text.is_empty() {
            true => Err("it is empty".to_owned()),
            false => Ok(T::from(text.to_owned())),
        }
    }

    pub(in super::super) fn show<T: AsRef<str>>(value: &T) -> String {
        value.as_ref().to_owned()
    }
}

/// A name that is that of a topic, too.
pub(super) mod name {
    use super::*;

    pub(in super::super) const KIND: Kind = super::text::KIND;

    pub(in super::super) fn parse<T: From<String>>(text: &str) -> Result<T, String> {
        let name = super::text::parse(text)?;
        let wanted = |_| "letters, digits, %, |, - and _ are allowed, 127 in all".to_owned();
        rocketwire_protocol::message::name::check_topic(text).map_err(wanted).map(|()| name)
    }

    pub(in super::super) use super::text::show;
}

/// A level, or directives as `RUST_LOG` has them.
pub(super) mod directives {
    use super::*;

    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

    pub(in super::super) const KIND: Kind = super::text::KIND;

    /// A word that is no level would be a target that nobody has: nothing would be logged, and nobody told.
    pub(in super::super) fn parse(text: &str) -> Result<String, String> {
        let is_level = |text: &str| LEVELS.iter().any(|level| text.eq_ignore_ascii_case(level));
        let is_known = |directive: &str| match directive.rsplit_once('=') {
            Some((target, level)) => !target.is_empty() && is_level(level),
            None => is_level(directive) || directive.starts_with("rocketwire"),
        };
        match text.split(',').map(str::trim).all(is_known) {
            true => Ok(text.to_owned()),
            false => Err(
                "error, warn, info, debug, trace or off is wanted, or directives as rocketwire_store=debug,warn"
                    .to_owned(),
            ),
        }
    }

    pub(in super::super) use super::text::show;
}

/// Text, or `none`.
pub(super) mod optional_text {
    use super::*;

    pub(in super::super) const KIND: Kind = kind("HOST[:PORT]");

    pub(in super::super) fn parse(text: &str) -> Result<Option<String>, String> {
        if text == NONE { Ok(None) } else { super::text::parse(text).map(Some) }
    }

    pub(in super::super) fn show(value: &Option<String>) -> String {
        value.clone().unwrap_or_else(|| NONE.to_owned())
    }
}

/// `HOST:PORT`, one or more, separated by `,` or `;`, or `none`.
pub(super) mod addresses {
    use super::*;

    pub(in super::super) const KIND: Kind = kind("HOST:PORT,..");

    pub(in super::super) fn parse(text: &str) -> Result<Vec<String>, String> {
        let texts = text.split([',', ';']).map(str::trim).filter(|text| !text.is_empty() && *text != NONE);
        texts
            .map(|text| is_address(text).then(|| text.to_owned()).ok_or_else(|| ADDRESS.to_owned()))
            .collect()
    }

    pub(in super::super) fn show(value: &[String]) -> String {
        if value.is_empty() { NONE.to_owned() } else { value.join(",") }
    }
}

const ADDRESS: &str = "HOST:PORT is wanted, as in 127.0.0.1:9876";

fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// `HOST:PORT`, or `none`.
pub(super) mod optional_address {
    use super::*;

    pub(in super::super) const KIND: Kind = kind("HOST:PORT");

    pub(in super::super) fn parse(text: &str) -> Result<Option<String>, String> {
        match text {
            NONE => Ok(None),
            text if is_address(text) => Ok(Some(text.to_owned())),
            _ => Err(ADDRESS.to_owned()),
        }
    }

    pub(in super::super) fn show(value: &Option<String>) -> String {
        super::optional_text::show(value)
    }
}

/// A folder.
pub(super) mod path {
    use super::*;

    pub(in super::super) const KIND: Kind = kind("DIR");

    pub(in super::super) fn parse(text: &str) -> Result<PathBuf, String> {
        super::text::parse(text)
    }

    pub(in super::super) fn show(value: &std::path::Path) -> String {
        value.display().to_string()
    }
}

/// `true` or `false`.
pub(super) mod boolean {
    use super::*;

    pub(in super::super) const KIND: Kind =
        Kind { placeholder: "BOOL", words: &["true", "false"], is_bare: true };

    pub(in super::super) fn parse(text: &str) -> Result<bool, String> {
        text.parse().map_err(|_| "true or false is wanted".to_owned())
    }

    pub(in super::super) fn show(value: &bool) -> String {
        value.to_string()
    }
}

/// A whole number from 0 on.
pub(super) mod number {
    use super::*;

    pub(in super::super) const KIND: Kind = Kind { placeholder: "N", words: &[], is_bare: true };

    pub(in super::super) fn parse<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
        let number: u64 = text.parse().map_err(|_| "a whole number is wanted".to_owned())?;
        T::try_from(number).map_err(|_| "the number is too large".to_owned())
    }

    pub(in super::super) fn show(value: &impl Display) -> String {
        value.to_string()
    }
}

/// A whole number from 1 on: with 0 nothing would work.
pub(super) mod count {
    use super::*;

    pub(in super::super) const KIND: Kind = super::number::KIND;

    pub(in super::super) fn parse<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
        match text.parse() {
            Ok(0_u64) => Err("1 is the least".to_owned()),
            _ => super::number::parse(text),
        }
    }

    pub(in super::super) use super::number::show;
}

/// What a broker may do (Java: `PermName`).
pub(super) mod permission {
    use super::*;

    pub(in super::super) const KIND: Kind = super::number::KIND;

    pub(in super::super) fn parse(text: &str) -> Result<i32, String> {
        match super::number::parse(text) {
            Ok(permission @ (0 | 2 | 4 | 6)) => Ok(permission),
            _ => Err("6, 4, 2 or 0 is wanted".to_owned()),
        }
    }

    pub(in super::super) use super::number::show;
}

/// Bytes: `512`, `4k`, `64MiB`; powers of 1024.
pub(super) mod bytes {
    use super::*;

    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];

    pub(in super::super) const KIND: Kind = kind("BYTES");

    pub(in super::super) fn parse<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
        let wanted = || "a number of bytes is wanted, as in 512, 64MiB or 1g".to_owned();
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let number: u64 = number.parse().map_err(|_| wanted())?;
        let unit = unit.trim_start().to_ascii_lowercase();
        let shift = match unit.as_str() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            "t" | "tb" | "tib" => 40,
            _ => return Err(wanted()),
        };
        let bytes = number.checked_mul(1 << shift).and_then(|bytes| T::try_from(bytes).ok());
        bytes.ok_or_else(|| "that is too much".to_owned())
    }

    pub(in super::super) fn show<T: TryInto<u64> + Copy>(value: &T) -> String {
        let bytes: u64 = (*value).try_into().unwrap_or(u64::MAX);
        let unit = UNITS.iter().find(|(_, shift)| bytes != 0 && bytes.is_multiple_of(1 << shift));
        match unit {
            Some((unit, shift)) => format!("{}{unit}", bytes >> shift),
            None => bytes.to_string(),
        }
    }
}

/// Bytes, or `none`.
pub(super) mod optional_bytes {
    use super::*;

    pub(in super::super) const KIND: Kind = kind("BYTES");

    pub(in super::super) fn parse(text: &str) -> Result<Option<u64>, String> {
        if text == NONE { Ok(None) } else { super::bytes::parse(text).map(Some) }
    }

    pub(in super::super) fn show(value: &Option<u64>) -> String {
        value.as_ref().map_or_else(|| NONE.to_owned(), super::bytes::show)
    }
}

/// `300us`, `20ms`, `3s`, `2m`, `72h`, `7d`; a number alone is seconds.
pub(super) mod duration {
    use super::*;

    const UNITS: [(&str, u128); 6] = [
        ("d", 86_400_000_000),
        ("h", 3_600_000_000),
        ("m", 60_000_000),
        ("s", 1_000_000),
        ("ms", 1_000),
        ("us", 1),
    ];

    pub(in super::super) const KIND: Kind = kind("DURATION");

    /// As good as for ever, and far from where clocks run over.
    const LONGEST: Duration = Duration::from_secs(1_000_000 * 86_400);

    pub(in super::super) fn parse(text: &str) -> Result<Duration, String> {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let unit = if unit.is_empty() { "s" } else { unit };
        let Some((_, micros)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(format!("`{unit}` is no unit of time: use us, ms, s, m, h or d, as in 500ms"));
        };
        let number: f64 =
            number.parse().map_err(|_| "a number and a unit are wanted, as in 500ms".to_owned())?;
        let duration = Duration::try_from_secs_f64(number * *micros as f64 / 1e6).ok();
        let duration = duration.filter(|duration| *duration <= LONGEST);
        duration.ok_or_else(|| "that is too long: 1000000d is the most".to_owned())
    }

    pub(in super::super) fn show(value: &Duration) -> String {
        let micros = value.as_micros();
        let unit = UNITS.iter().find(|(_, unit)| micros != 0 && micros.is_multiple_of(*unit));
        unit.map_or_else(|| "0s".to_owned(), |(name, unit)| format!("{}{name}", micros / unit))
    }
}

/// A part of a hundred, below it.
pub(super) mod percent {
    use super::*;

    pub(in super::super) const KIND: Kind = Kind { placeholder: "PERCENT", words: &[], is_bare: true };

    pub(in super::super) fn parse(text: &str) -> Result<u8, String> {
        let number = text.strip_suffix('%').unwrap_or(text).trim_end();
        match number.parse() {
            Ok(percent @ 0..=99) => Ok(percent),
            _ => Err("a whole number from 0 to 99 is wanted".to_owned()),
        }
    }

    pub(in super::super) fn show(value: &u8) -> String {
        value.to_string()
    }
}

/// `1s 5s 1m 2h`.
pub(super) mod delay_levels {
    use super::*;

    pub(in super::super) const KIND: Kind = kind("DELAYS");

    pub(in super::super) fn parse(text: &str) -> Result<DelayLevels, String> {
        text.parse().map_err(|error: rocketwire_broker::InvalidDelayLevels| error.to_string())
    }

    pub(in super::super) fn show(value: &DelayLevels) -> String {
        value.to_string()
    }
}

/// Networks, separated by commas.
pub(super) mod networks {
    use super::*;

    pub(in super::super) const KIND: Kind = kind("NETWORK,..");

    pub(in super::super) fn parse(text: &str) -> Result<Vec<Network>, String> {
        let texts = text.split(',').map(str::trim).filter(|text| !text.is_empty() && *text != NONE);
        texts.map(|text| Network::from_str(text).map_err(|error| format!("{text}: {error}"))).collect()
    }

    pub(in super::super) fn show(value: &[Network]) -> String {
        let texts: Vec<String> = value.iter().map(Network::to_string).collect();
        if texts.is_empty() { NONE.to_owned() } else { texts.join(",") }
    }
}

/// A module for a type with a few named values.
macro_rules! words {
    ($(#[$doc:meta])+ $module:ident: $type:ty { $($word:literal = $value:path),+ }) => {
        $(#[$doc])+
        pub(super) mod $module {
            use super::*;

            pub(in super::super) const KIND: Kind =
                Kind { placeholder: "WORD", words: &[$($word),+], is_bare: false };

            pub(in super::super) fn parse(text: &str) -> Result<$type, String> {
                match text {
                    $($word => Ok($value),)+
                    _ => Err(format!("one of {} is wanted", KIND.words.join(", "))),
                }
            }

            pub(in super::super) fn show(value: &$type) -> String {
                match value {
                    $($value => $word.to_owned(),)+
                }
            }
        }
    };
}

words! {
    /// When a send is answered.
    flush: Flush { "sync" = Flush::Sync, "async" = Flush::Async }
}
words! {
    /// What a full disk means.
    on_full: OnFull { "refuse" = OnFull::Refuse, "drop_oldest" = OnFull::DropOldest }
}
words! {
    /// How events are printed.
    log_format: LogFormat { "text" = LogFormat::Text, "json" = LogFormat::Json }
}
