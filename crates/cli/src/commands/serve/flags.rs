//! The flags of all settings, out of their table.

use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches, builder::PossibleValuesParser};

use rocketwire_node::config::{SETTINGS, Setting};

/// What the command line says of settings: flag and value.
#[derive(Clone, Debug, Default)]
pub(super) struct Flags(pub(super) Vec<(&'static str, String)>);

/// Short for `--X=false`, where that is what people want to say.
const SWITCHED_OFF: [(&str, &str); 2] =
    [("no-auto-create-topic", "auto-create-topic"), ("no-name-server", "name-server")];

impl clap::Args for Flags {
    fn augment_args(command: Command) -> Command {
        let command = SETTINGS.iter().fold(command, |command, setting| command.arg(arg(setting)));
        SWITCHED_OFF.into_iter().fold(command, |command, (no, flag)| {
            let no = Arg::new(no).long(no).action(ArgAction::SetTrue);
            command.arg(no.hide(true).conflicts_with(flag))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Flags::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Flags, clap::Error> {
        let mut flags = Flags::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for setting in SETTINGS {
            if let Some(value) = matches.get_one::<String>(setting.flag) {
                self.0.push((setting.flag, value.clone()));
            }
        }
        let off = SWITCHED_OFF.into_iter().filter(|(no, _)| matches.get_flag(no));
        self.0.extend(off.map(|(_, flag)| (flag, "false".to_owned())));
        Ok(())
    }
}

fn arg(setting: &'static Setting) -> Arg {
    let mut arg = Arg::new(setting.flag)
        .long(setting.flag)
        .value_name(setting.placeholder())
        .help_heading(setting.section.title())
        .hide_short_help(setting.is_rare);
    let mut help = setting.help.to_owned();
    if setting.is_switch() {
        // `--memory` is enough.
        arg =
            arg.num_args(0..=1).require_equals(true).default_missing_value("true").hide_possible_values(true);
    }
    let default = setting.default();
    // A switch that is off says so by not being there.
    if default != "false" && default != "none" {
        help.push_str(&format!(" [default: {default}]"));
    }
    arg = match setting.words() {
        [] => arg.value_parser(|text: &str| setting.check(text).map(|()| text.to_owned())),
        words => arg.value_parser(PossibleValuesParser::new(words)),
    };
    match setting.short {
        Some(short) => arg.short(short).help(help),
        None => arg.help(help),
    }
}
