//! Arguments in, text out. Alone prints, reads the environment and exits.
//!
//! Results go to stdout, errors to stderr.

mod build;
mod cache;
mod command_error;
mod config;
mod connection;
mod dev;
mod doctor;
mod exit;
mod keys;
mod options;
mod output;
mod package;
mod package_delta;
mod package_diff;
mod package_sign;
mod progress;
mod publish;
mod pull;
mod registry;
mod scaffold;
mod signal;
mod signing;
mod tools;
mod trust;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

pub use exit::Exit;

use command_error::CommandError;

/// Builds, verifies and inspects packages.
#[derive(Parser)]
#[command(name = "jackal", version, about, arg_required_else_help = true)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build packages: only what changed, in parallel, reproducibly
    Build(build::BuildArgs),
    /// Say why a task would run, or why it would not
    Why(build::WhyArgs),
    /// Print the graph of tasks
    Graph(build::GraphArgs),
    /// Move the pins of jackal.lock to what references stand for now
    Update(build::UpdateArgs),
    /// Look after the cache
    Cache(cache::CacheArgs),
    /// Print a JSON Schema
    Schema {
        /// Of what
        of: SchemaOf,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Help for those who write packages
    #[command(subcommand)]
    Dev(dev::DevCommand),
    /// Make, verify, inspect and extract packages
    #[command(subcommand, visible_alias = "p")]
    Package(package::PackageCommand),
    /// Look after releases that were begun and have not ended
    #[command(subcommand)]
    Release(publish::ReleaseCommand),
    /// Ask a registry for all that publishing and pulling need
    Doctor(doctor::DoctorArgs),
    /// Make keys, and look after trusted roots
    #[command(subcommand, visible_alias = "t")]
    Tools(tools::ToolsCommand),
}

/// What there is a schema of.
#[derive(Clone, Copy, clap::ValueEnum)]
enum SchemaOf {
    /// A pipeline file
    Pipeline,
    /// A package definition, jackal.yaml
    Package,
    /// A run record, run.json
    Run,
    /// A policy file, for --policy
    Policy,
}

impl SchemaOf {
    fn text(self) -> String {
        match self {
            Self::Pipeline => crate::pipeline::schema::json_schema(),
            Self::Package => crate::package::Definition::json_schema(),
            Self::Run => crate::run::record::RunRecord::json_schema(),
            Self::Policy => crate::verify::policy_schema(),
        }
    }
}

/// The command line as clap knows it, for tests of the documentation.
#[must_use]
pub fn command() -> clap::Command {
    Args::command()
}

/// Runs the program with the process's own arguments and streams.
#[must_use]
pub fn run() -> ExitCode {
    let args = match arguments() {
        Ok(args) => args,
        Err(Unread::Arguments(error)) => {
            // A closed stream leaves nobody to tell.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage.into()
            } else {
                ExitCode::SUCCESS
            };
        }
        Err(Unread::Settings(refused)) => return finish(Err(refused)),
    };
    signal::end_at_first();
    finish(carry_out(args))
}

/// Why the command line was not understood.
enum Unread {
    /// Itself; or help was asked for.
    Arguments(clap::Error),
    /// The configuration file or a variable.
    Settings(CommandError),
}

/// The command line, with what file and environment set where it says nothing.
fn arguments() -> Result<Args, Unread> {
    let command = command();
    let given = command
        .clone()
        .try_get_matches()
        .map_err(Unread::Arguments)?;
    let settings = config::Settings::read(&command, &given).map_err(Unread::Settings)?;
    let matches = if settings.is_empty() {
        given
    } else {
        let command = settings.apply(command);
        command.try_get_matches().map_err(Unread::Arguments)?
    };
    let mut args = Args::from_arg_matches(&matches).map_err(Unread::Arguments)?;
    if let Command::Package(package::PackageCommand::Create(create)) = &mut args.command {
        create.add_templates(settings.templates());
    }
    Ok(args)
}

fn carry_out(args: Args) -> Result<(), CommandError> {
    match args.command {
        Command::Build(args) => build::build(args),
        Command::Why(args) => build::why(args),
        Command::Graph(args) => build::graph(args),
        Command::Update(args) => build::update(args),
        Command::Cache(args) => cache::run(args),
        Command::Schema { of } => output::print(&of.text()),
        Command::Completions { shell } => completions(shell),
        Command::Dev(command) => dev::run(command),
        Command::Package(command) => package::run(command),
        Command::Release(command) => publish::release(command),
        Command::Doctor(args) => doctor::run(args),
        Command::Tools(command) => tools::run(command),
    }
}

fn finish(done: Result<(), CommandError>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&error.to_string());
            error.exit().into()
        }
    }
}

fn completions(shell: clap_complete::Shell) -> Result<(), CommandError> {
    let mut script = Vec::new();
    let mut command = Args::command();
    clap_complete::generate(shell, &mut command, "jackal", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}
