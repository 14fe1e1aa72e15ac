//! `jackal dev generate`, `generate-config` and `patch-git`: files to start from.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory as _};

use super::build::runtime;
use super::command_error::CommandError;
use super::config;
use super::options::SharedArgs;
use super::output::{note, print};
use crate::app::{self, FindOptions, GenerateOptions, Target};
use crate::disk;
use crate::package::patch_git_links;

/// Largest file that links are replaced in, in bytes: 64 MiB.
const MAX_PATCHED_BYTES: u64 = 64 << 20;

/// Arguments of `jackal dev generate`.
#[derive(Args)]
pub(super) struct GenerateArgs {
    /// Name of the package and of its chart
    name: String,
    /// Where the chart is: a repository of charts, oci://, or a Git repository
    #[arg(long)]
    url: String,
    /// Version of the chart
    #[arg(long)]
    version: String,
    /// Folder of the chart in a Git repository
    #[arg(long = "gitPath", alias = "git-path", default_value = "")]
    git_path: String,
    /// Folder that the definition is written to
    #[arg(long, value_name = "DIR")]
    output_directory: PathBuf,
    /// Kubernetes version that the chart is rendered for
    #[arg(long, value_name = "VERSION")]
    kube_version: Option<String>,
    #[command(flatten)]
    shared: SharedArgs,
}

/// Arguments of `jackal dev patch-git`.
#[derive(Args)]
pub(super) struct PatchGitArgs {
    /// Address of the Git server, such as https://git.example.com
    host: String,
    /// The file whose links are replaced
    file: PathBuf,
    /// Account that the repositories belong to there
    #[arg(long, default_value = "jackal-git-user")]
    git_account: String,
    /// Write the file; without it the difference is shown only
    #[arg(long)]
    confirm: bool,
}

pub(super) fn generate(args: GenerateArgs) -> Result<(), CommandError> {
    let output = args.output_directory;
    let build = args
        .shared
        .into_options(Target::Package(output.clone()), PathBuf::from("."))?;
    let options = GenerateOptions {
        name: args.name,
        url: args.url,
        version: args.version,
        git_path: args.git_path,
        output,
        find: FindOptions {
            build,
            deploy_set: Default::default(),
            registry_url: "127.0.0.1:31999".to_owned(),
            kube_version: args.kube_version,
        },
    };
    let generated = app::generate(options)?;
    let (search, _folder) = generated.search()?;
    let found = runtime()?.block_on(search.run());
    let generated = generated.complete(&found)?;
    for error in &generated.errors {
        note(&format!("warning: {error}"));
    }
    note(&format!("{} images", generated.images));
    print(&format!("{}\n", generated.file.display()))
}

pub(super) fn generate_config(file: &Path) -> Result<(), CommandError> {
    let ending = file.extension().and_then(|ending| ending.to_str());
    let command = super::Args::command();
    let text = config::example(&command, ending.unwrap_or_default()).ok_or_else(|| {
        let message = format!(
            "`{}` ends in no form that can hold comments: name a .toml, .yaml or .yml file",
            file.display()
        );
        CommandError::usage(message)
    })?;
    disk::write_new(file, text.as_bytes()).map_err(|error| match error.source.kind() {
        std::io::ErrorKind::AlreadyExists => {
            let message = format!("`{}` is there already: remove it first", file.display());
            CommandError::usage(message)
        }
        _ => CommandError::file(file)(error.source),
    })?;
    print(&format!("{}\n", file.display()))
}

pub(super) fn patch_git(args: &PatchGitArgs) -> Result<(), CommandError> {
    let shown = args.file.display();
    let io = CommandError::file(&args.file);
    if std::fs::metadata(&args.file).map_err(&io)?.len() > MAX_PATCHED_BYTES {
        return Err(CommandError::usage(format!(
            "`{shown}` is larger than 64 MiB"
        )));
    }
    let text = std::fs::read_to_string(&args.file).map_err(&io)?;
    let patched = patch_git_links(&text, &args.host, &args.git_account);
    let changes: String = text
        .lines()
        .zip(patched.lines())
        .filter(|(old, new)| old != new)
        .map(|(old, new)| format!("-{old}\n+{new}\n"))
        .collect();
    print(&changes)?;
    if changes.is_empty() {
        note(&format!("`{shown}` has no link to replace"));
        return Ok(());
    }
    if !args.confirm {
        note("nothing was written: give --confirm to write the file");
        return Ok(());
    }
    let mut file = disk::NewFile::begin(&args.file).map_err(|error| io(error.source))?;
    let mode = std::fs::metadata(&args.file).map_err(&io)?.permissions();
    file.write_all(patched.as_bytes())
        .and_then(|()| file.file().set_permissions(mode))
        .map_err(&io)?;
    file.keep().map_err(|error| io(error.source))
}
