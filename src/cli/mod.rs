//! The command line: arguments in, text out.
//!
//! The only room that prints, reads the environment and exits. Results go to
//! stdout; progress, warnings and errors go to stderr. A command is one file here
//! and one in `app`, which does the work.

mod absent;
mod affected;
mod build;
mod cache;
mod carry_out;
mod ci;
mod ci_matrix;
mod clean;
mod command_error;
mod config;
mod connection;
mod create;
mod dev;
mod dev_tools;
mod doctor;
mod environment;
mod exit;
mod explain;
mod extract;
mod find_images;
mod generate;
mod generate_config;
mod globals;
mod graph;
mod heartbeat;
mod init;
mod inputs;
mod inspect;
mod internal;
mod keys;
mod lint;
mod list;
mod list_tags;
mod live;
mod lsp;
mod make_legacy;
mod opened;
mod options;
mod output;
mod overview;
mod package;
mod package_delta;
mod package_diff;
mod package_migrate;
mod package_sign;
mod paint;
mod patch_git;
mod prepare;
mod progress;
mod publish;
mod pull;
mod read;
mod registry;
mod release;
mod remote;
mod run;
mod sbom;
mod schedule;
mod screen;
mod shell;
mod signal;
mod signing;
mod tools;
mod tools_registry;
mod trust;
mod update;
mod uri;
mod values;
mod verify;
mod version;
mod wait_for;
mod watch;
mod why;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

pub use exit::Exit;

use command_error::CommandError;
use globals::{GLOBAL_HELP, GlobalArgs, as_scripts_write_it};

use crate::app;

/// Build, verify, publish and inspect packages
#[derive(Parser)]
#[command(name = "jackal", version, after_help = GLOBAL_HELP)]
struct Program {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    global: GlobalArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Build packages, rebuilding only what changed
    Build(Box<build::BuildArgs>),
    /// Run a task's program on the terminal, once all before it is built
    ///
    /// For programs that run until they are stopped, or that ask for input. The result is
    /// neither taken from the cache nor kept. Ctrl-C goes to the program, and its exit code
    /// is that of this command.
    Run(Box<run::RunTaskArgs>),
    /// Write a first pipeline for the project in a folder
    ///
    /// Recognizes the usual files of common toolchains. Writes jackal.pipeline.yaml and,
    /// unless the folder has a definition, jackal.yaml.
    Init(init::InitArgs),
    /// Explain why a task would run, or why it is up to date
    Why(why::WhyArgs),
    /// Explain the code of an error or finding, such as `missing-file`
    ///
    /// Codes stand in brackets after a message. Without one, lists all codes.
    Explain(explain::ExplainArgs),
    /// Print the task graph
    Graph(graph::GraphArgs),
    /// List the tasks that targets select
    List(list::ListArgs),
    /// Remove the outputs and archives that builds wrote
    ///
    /// Only what is as jackal wrote it: other files stay. The cache still has the results, so
    /// that the next build puts them back.
    Clean(Box<clean::CleanArgs>),
    /// Print jobs for CI services
    #[command(subcommand)]
    Ci(ci_matrix::CiCommand),
    /// List the software in a folder, image or package
    ///
    /// Scans a folder or file as the files of a component are, and an image layer by layer;
    /// layers that were scanned before are not scanned again. Of a package, only its SBOMs are
    /// read.
    Sbom(Box<sbom::SbomCommandArgs>),
    /// Update the pins in jackal.lock
    Update(update::UpdateArgs),
    /// List schedules, and write the configuration of schedulers
    #[command(subcommand)]
    Schedule(schedule::ScheduleCommand),
    /// Manage the cache
    Cache(cache::CacheArgs),
    /// Print the version
    #[command(visible_alias = "v")]
    Version(version::VersionArgs),
    /// Print a JSON Schema
    Schema {
        /// File format to describe
        #[arg(value_name = "FORMAT")]
        of: SchemaOf,
    },
    /// Print a shell completion script
    #[command(alias = "completion")]
    Completions {
        /// Shell
        shell: clap_complete::Shell,
        /// A flag of Jackal and Zarf without effect.
        #[arg(long, hide = true)]
        no_descriptions: bool,
    },
    /// Serve an editor over stdin and stdout (Language Server Protocol)
    ///
    /// Reports mistakes while you type, completes keys, tasks, files and components, explains
    /// keys, and finds tasks and imported components. Never writes, runs a command or uses
    /// the network.
    Lsp(Box<lsp::LspArgs>),
    /// Write a manual page for each command
    Man {
        /// Existing folder to write to, such as /usr/local/share/man/man1
        folder: PathBuf,
    },
    /// Tools for package authors
    #[command(subcommand, visible_alias = "d", aliases = ["prepare", "prep"])]
    Dev(dev::DevCommand),
    /// Create, verify, publish and inspect packages
    #[command(subcommand, visible_alias = "p")]
    Package(package::PackageCommand),
    /// Manage unfinished releases
    #[command(subcommand)]
    Release(release::ReleaseCommand),
    /// Check that a registry supports publishing and pulling
    Doctor(doctor::DoctorArgs),
    /// Parts of a build, for other programs and for tests
    #[command(subcommand, hide = true)]
    Internal(internal::InternalCommand),
    /// Manage signing keys and trusted roots
    #[command(subcommand, visible_alias = "t")]
    Tools(tools::ToolsCommand),
}

/// File formats with a schema.
#[derive(Clone, Copy, clap::ValueEnum)]
enum SchemaOf {
    /// Pipeline files
    Pipeline,
    /// Workspace files, jackal-workspace.yaml
    Workspace,
    /// Package definitions, jackal.yaml
    Package,
    /// Run records, run.json
    Run,
    /// Affected tasks, of --affected --dry-run=json
    Affected,
    /// Policy files, for --policy
    Policy,
}

impl SchemaOf {
    fn text(self) -> String {
        match self {
            Self::Pipeline => app::schema::pipeline(),
            Self::Workspace => app::schema::workspace(),
            Self::Package => app::schema::package(),
            Self::Run => app::schema::run(),
            Self::Affected => app::schema::affected(),
            Self::Policy => app::schema::policy(),
        }
    }
}

/// The command line as clap knows it, for tests of the documentation.
#[must_use]
pub fn command() -> clap::Command {
    Program::command()
}

/// Runs the program with the process's own arguments and streams.
#[must_use]
pub fn run() -> ExitCode {
    if let Some(code) = internal::at_once() {
        return code;
    }
    let args = match arguments() {
        Ok(args) => args,
        Err(Unread::Arguments(error)) => {
            if error.use_stderr() {
                // The flag counts wherever the mistake is.
                if std::env::args_os().any(|arg| arg == "--no-color") {
                    paint::turn_off();
                }
                // It repeats what the user wrote, which may hold a login.
                output::note(error.render().to_string().trim_end());
                return Exit::Usage.into();
            }
            // A closed stream cannot be reported.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(Unread::Settings(error)) => return finish(Err(error)),
    };
    signal::end_at_first();
    let done = run_command(args);
    crate::app::finish_commands();
    finish(done)
}

/// Why there are no arguments.
enum Unread {
    /// The command line is wrong, or asks for help.
    Arguments(clap::Error),
    /// The configuration file or an environment variable is wrong.
    Settings(CommandError),
}

/// The command line, with defaults from the configuration file and environment.
fn arguments() -> Result<Program, Unread> {
    let command =
        environment::without_empty_variables(absent::with_absent(as_scripts_write_it(command())));
    let given = (command.clone().try_get_matches()).map_err(|error| {
        let asks = matches!(error.kind(), ErrorKind::DisplayHelp);
        // Help is of the command without what only scripts write.
        let help = asks.then(|| self::command().try_get_matches().err());
        Unread::Arguments(help.flatten().unwrap_or(error))
    })?;
    if let Some(refusal) = absent::refusal(&given) {
        return Err(Unread::Settings(refusal));
    }
    let look = GlobalArgs::from_arg_matches(&given).map_err(Unread::Arguments)?;
    // What is wrong in a file is reported in that way too.
    look.take_effect();
    let settings = config::Settings::read(&command, &given).map_err(Unread::Settings)?;
    let matches = if settings.is_empty() {
        given
    } else {
        let command = settings.apply(command);
        command.try_get_matches().map_err(Unread::Arguments)?
    };
    let mut args = Program::from_arg_matches(&matches).map_err(Unread::Arguments)?;
    args.global.take_effect();
    args.global.begin().map_err(Unread::Settings)?;
    if let Some(Command::Package(package::PackageCommand::Create(create))) = &mut args.command {
        let of_checkout = create::OfCheckout {
            output: settings.of_checkout("output"),
            sbom_out: settings.of_checkout("sbom_out"),
        };
        create.add_settings(settings.templates(), of_checkout);
    }
    Ok(args)
}

fn run_command(args: Program) -> Result<(), CommandError> {
    let Some(command) = args.command else {
        return overview::overview();
    };
    match command {
        Command::Build(args) => build::build(*args),
        Command::Run(args) => run::run(*args),
        Command::Why(args) => why::why(args),
        Command::Explain(args) => explain::run(&args),
        Command::Graph(args) => graph::graph(args),
        Command::List(args) => list::list(args),
        Command::Clean(args) => clean::clean(*args),
        Command::Ci(command) => ci_matrix::run(command),
        Command::Sbom(args) => sbom::run(*args),
        Command::Update(args) => update::update(args),
        Command::Schedule(command) => schedule::run(command),
        Command::Cache(args) => cache::run(args),
        Command::Version(args) => version::run(&args),
        Command::Schema { of } => output::print(&of.text()),
        Command::Completions { shell, .. } => completions(shell),
        Command::Lsp(args) => lsp::run(*args),
        Command::Man { folder } => manual(&folder),
        Command::Dev(command) => dev::run(command),
        Command::Package(command) => package::run(command),
        Command::Release(command) => release::run(command),
        Command::Init(args) => init::run(&args),
        Command::Internal(command) => internal::internal(command),
        Command::Doctor(args) => doctor::run(args),
        Command::Tools(command) => tools::run(command),
    }
}

fn finish(result: Result<(), CommandError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&error.to_string());
            ci::annotate(&error.to_string());
            match error.exit() {
                Exit::Interrupted => signal::exit().into(),
                exit => exit.into(),
            }
        }
    }
}

/// Writes `jackal.1`, `jackal-build.1` and so on.
fn manual(folder: &Path) -> Result<(), CommandError> {
    let pages = clap_mangen::generate_to(Program::command(), folder);
    pages.map_err(CommandError::file(folder))
}

fn completions(shell: clap_complete::Shell) -> Result<(), CommandError> {
    let mut script = Vec::new();
    let mut command = Program::command();
    clap_complete::generate(shell, &mut command, "jackal", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}
