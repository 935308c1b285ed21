//! Layers, one over the other.

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::{
    ConfigError, SETTINGS, ServeOptions, Setting,
    file::{parse_properties, parse_toml},
    java::{self, Meaning},
    options, settings,
};

/// Where a value comes from. What is further down counts more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// Nobody said anything.
    Default,
    /// This file.
    File(Arc<str>),
    /// This variable of the environment.
    Environment(String),
    /// This flag of the command line.
    Flag(&'static str),
}

impl Source {
    pub(super) fn rank(&self) -> u8 {
        match self {
            Source::Default => 0,
            Source::File(_) => 1,
            Source::Environment(_) => 2,
            Source::Flag(_) => 3,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File(name) => f.write_str(name),
            Source::Environment(name) => f.write_str(name),
            Source::Flag(flag) => write!(f, "--{flag}"),
        }
    }
}

/// A file that was read.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    /// Its name: the end says how it is written (`.toml`; `.conf` or `.properties` as Java's brokers have it), and
    /// errors repeat it.
    pub name: &'a str,
    /// What is in it.
    pub bytes: &'a [u8],
}

/// A configuration that is complete and does not contradict itself.
#[derive(Clone)]
pub struct Config {
    pub(super) options: ServeOptions,
    sources: BTreeMap<&'static str, Source>,
    warnings: Vec<String>,
}

impl Config {
    /// Puts the layers together. `environment` may have foreign variables; `flags` are those of [`SETTINGS`].
    ///
    /// # Errors
    /// [`ConfigError`], in one sentence that says where the fault stands.
    pub fn load(
        file: Option<File<'_>>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<Config, ConfigError> {
        let mut config =
            Config { options: ServeOptions::default(), sources: BTreeMap::new(), warnings: Vec::new() };
        if let Some(file) = file {
            config.read_file(file)?;
        }
        config.read_environment(environment)?;
        for (flag, value) in flags {
            let setting = SETTINGS.iter().find(|setting| setting.flag == flag);
            config.put(setting, Source::Flag(flag), flag, &value)?;
        }
        options::finish(&mut config)?;
        Ok(config)
    }

    /// What it comes to.
    pub fn options(&self) -> &ServeOptions {
        &self.options
    }

    /// Where the value of a setting comes from; its name is that of a file.
    pub fn source(&self, name: &str) -> &Source {
        self.sources.get(name.replace('_', "-").as_str()).unwrap_or(&Source::Default)
    }

    /// What was understood and left aside: one line each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// All settings with their sources; a TOML file that says the same.
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        let mut section = None;
        for setting in SETTINGS {
            if section.replace(setting.section) != Some(setting.section) {
                let gap = if out.is_empty() { "" } else { "\n" };
                out.push_str(&format!("{gap}# {}\n", setting.section.title()));
            }
            let source = self.sources.get(setting.flag).unwrap_or(&Source::Default);
            // In memory they have no meaning, and a file that says both is refused.
            let is_idle = self.options.memory && matches!(setting.flag, "data" | "flush");
            // What the limit of open files leaves may be something else where the file is used.
            let is_of_here = setting.flag == "max-connections" && *source == Source::Default;
            let mark = if is_idle || is_of_here { "# " } else { "" };
            let line = format!("{mark}{}", setting.line(&self.options));
            out.push_str(&format!("{line:<44} # {source}\n"));
        }
        out
    }

    fn read_file(&mut self, file: File<'_>) -> Result<(), ConfigError> {
        let end = file.name.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase());
        let (format, entries) = match end.as_deref() {
            Some("toml") => ("TOML", parse_toml(file.bytes)),
            Some("conf" | "properties") => ("Java properties", parse_properties(file.bytes)),
            _ => return Err(ConfigError::Format(file.name.to_owned())),
        };
        let entries =
            entries.map_err(|reason| ConfigError::Syntax { file: file.name.to_owned(), format, reason })?;
        let source = Source::File(file.name.into());
        for (name, value) in entries {
            match settings::find(&name) {
                None if format != "TOML" => self.read_java(&source, &name, &value)?,
                setting => self.put(setting, source.clone(), &name, &value)?,
            }
        }
        Ok(())
    }

    fn read_java(&mut self, source: &Source, name: &str, value: &str) -> Result<(), ConfigError> {
        let wrong = |reason| ConfigError::Value {
            source_of: source.clone(),
            name: name.to_owned(),
            value: value.to_owned(),
            reason,
        };
        match java::meaning(name, value).map_err(wrong)? {
            Meaning::Setting(ours, ours_value) => {
                let Some(setting) = settings::find(ours) else { return Ok(()) };
                (setting.set)(&mut self.options, &ours_value).map_err(wrong)?;
                self.sources.insert(setting.flag, source.clone());
            }
            Meaning::Granted => {}
            Meaning::Ignored(why) => {
                self.warnings.push(format!("{source}: `{name}` is ignored: {why}"));
            }
        }
        Ok(())
    }

    fn read_environment(
        &mut self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        for (variable, value) in environment {
            let Some(name) = variable.strip_prefix("ROCKETWIRE_") else { continue };
            // Kubernetes tells every container of a namespace the address of a service of our name.
            if name == "CONFIG" || name == "PORT" && value.starts_with("tcp://") {
                continue;
            }
            let name = name.to_ascii_lowercase();
            match settings::find(&name) {
                Some(setting) => {
                    self.put(Some(setting), Source::Environment(variable.clone()), &name, &value)?;
                }
                // The prefix is not ours alone. What looks like a slip of the pen is said.
                None => {
                    if let Some(near) = nearest(&name, 2) {
                        let meant = near.variable();
                        self.warnings.push(format!("{variable} is ignored: did you mean {meant}?"));
                    }
                }
            }
        }
        Ok(())
    }

    fn put(
        &mut self,
        setting: Option<&'static Setting>,
        source: Source,
        name: &str,
        value: &str,
    ) -> Result<(), ConfigError> {
        let Some(setting) = setting else {
            let nearest = nearest(name, 1 + name.len() / 3).map(Setting::name);
            return Err(ConfigError::Unknown { source_of: source, name: name.to_owned(), nearest });
        };
        (setting.set)(&mut self.options, value).map_err(|reason| ConfigError::Value {
            source_of: source.clone(),
            name: name.to_owned(),
            value: value.to_owned(),
            reason,
        })?;
        self.sources.insert(setting.flag, source);
        Ok(())
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("sources", &self.sources)
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}

/// The setting whose name is not further than `limit` letters away.
fn nearest(name: &str, limit: usize) -> Option<&'static Setting> {
    let distances = SETTINGS.iter().map(|setting| (distance(name, &setting.name()), setting));
    let nearest = distances.min_by_key(|(distance, _)| *distance);
    nearest.filter(|(distance, _)| *distance <= limit).map(|(_, setting)| setting)
}

/// Letters to add, drop or change. Names are short, or as long as none of ours.
fn distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 64;
    if a.len() > LONGEST {
        return a.len();
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (above, b) in row.iter_mut().skip(1).zip(b.bytes()) {
            let changed = diagonal + usize::from(a != b);
            diagonal = *above;
            left = changed.min(diagonal + 1).min(left + 1);
            *above = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
