//! `rocketwire completion`.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::{args::Cli, failure::Failure, output::Output};

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rocketwire completion bash > ~/.local/share/bash-completion/completions/rocketwire
  rocketwire completion zsh  > \"${fpath[1]}/_rocketwire\"
  rocketwire completion fish > ~/.config/fish/completions/rocketwire.fish")]
pub(crate) struct Args {
    /// Which shell
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    // Into memory first: a closed pipe must not panic the generator.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "rocketwire", &mut script);
    let mut out = Output::new();
    out.line(script.trim_ascii_end())?;
    out.flush()
}
