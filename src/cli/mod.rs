//! Arguments in, text out. Alone prints, reads the environment and exits.
//!
//! Results go to stdout, errors to stderr.

mod build;
mod cache;
mod exit;
mod progress;
mod signal;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::app::{self, VerifyError};
use crate::verify::Signature;

pub use exit::Exit;

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
    /// Work with finished packages
    #[command(subcommand)]
    Package(PackageCommand),
}

/// What there is a schema of.
#[derive(Clone, Copy, clap::ValueEnum)]
enum SchemaOf {
    /// A package definition, jackal.yaml
    Package,
    /// A run record, run.json
    Run,
}

impl SchemaOf {
    fn text(self) -> String {
        match self {
            Self::Package => crate::package::Definition::json_schema(),
            Self::Run => crate::exec::record::RunRecord::json_schema(),
        }
    }
}

#[derive(Subcommand)]
enum PackageCommand {
    /// Check every file of a package against its checksums and definition
    Verify {
        /// A package: folder, `.tar` or `.tar.zst`, made by jackal or Zarf
        source: PathBuf,
    },
    /// Verify a package, then print its definition
    Inspect {
        /// A package: folder, `.tar` or `.tar.zst`, made by jackal or Zarf
        source: PathBuf,
    },
}

/// Runs the program with the process's own arguments and streams.
#[must_use]
pub fn run() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // A closed stream leaves nobody to tell.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage.into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let done = match args.command {
        Command::Build(args) => build::build(args),
        Command::Why(args) => build::why(args),
        Command::Graph(args) => build::graph(args),
        Command::Update(args) => build::update(args),
        Command::Cache(args) => cache::run(args),
        Command::Schema { of } => build::print(&of.text()),
        Command::Completions { shell } => completions(shell),
        Command::Package(PackageCommand::Verify { source }) => package(&source, false),
        Command::Package(PackageCommand::Inspect { source }) => package(&source, true),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err((exit, message)) => {
            let _ = writeln!(std::io::stderr(), "error: {message}");
            exit.into()
        }
    }
}

fn completions(shell: clap_complete::Shell) -> Result<(), (Exit, String)> {
    let mut script = Vec::new();
    let mut command = <Args as clap::CommandFactory>::command();
    clap_complete::generate(shell, &mut command, "jackal", &mut script);
    build::print(&String::from_utf8_lossy(&script))
}

fn package(source: &std::path::Path, definition: bool) -> Result<(), (Exit, String)> {
    let verified = app::package_verify(source).map_err(|error| {
        let exit = match &error {
            VerifyError::Layout(_) => Exit::Environment,
            VerifyError::Refused(_) => Exit::Verification,
        };
        (exit, error.to_string())
    })?;
    let signature = match verified.signature() {
        Signature::Absent => "not signed",
        Signature::NotChecked => "signature NOT checked",
    };
    let mut out = std::io::stdout().lock();
    let written = if definition {
        let _ = writeln!(std::io::stderr(), "{}: {signature}", source.display());
        out.write_all(verified.definition())
    } else {
        let bytes: u64 = verified.files().values().map(|(_, size)| size).sum();
        writeln!(
            out,
            "{}: {} files, {bytes} bytes, all as listed; {signature}",
            source.display(),
            verified.files().len(),
        )
    };
    written.map_err(|error| (Exit::Environment, format!("stdout: {error}")))
}
