//! `jackal dev patch-git`: Git URLs of a file point to a cluster's server.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::command_error::CommandError;
use super::output::{note, print};
use crate::app::patch_git_links;
use crate::disk;

/// Largest file to rewrite, in bytes: 64 MiB, which is far more than manifests are.
const MAX_BYTES: u64 = 64 << 20;

/// Arguments of `jackal dev patch-git`.
#[derive(Args)]
pub(super) struct PatchGitArgs {
    /// URL of the Git server, such as https://git.example.com
    host: String,
    /// File to rewrite
    file: PathBuf,
    /// Account that owns the repositories on the server
    #[arg(long, value_name = "NAME", default_value = "jackal-git-user")]
    git_account: String,
    /// Write the file instead of only showing the changes
    #[arg(long)]
    confirm: bool,
}

pub(super) fn run(args: &PatchGitArgs) -> Result<(), CommandError> {
    let shown = args.file.display();
    let io = CommandError::file(&args.file);
    if std::fs::metadata(&args.file).map_err(&io)?.len() > MAX_BYTES {
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
        note(&format!("`{shown}` has no Git URL to rewrite"));
        return Ok(());
    }
    if !args.confirm {
        note("nothing was written; pass --confirm to write the file");
        return Ok(());
    }
    let mut file = disk::NewFile::begin(&args.file).map_err(|error| io(error.source))?;
    let mode = std::fs::metadata(&args.file).map_err(&io)?.permissions();
    file.write_all(patched.as_bytes())
        .and_then(|()| file.file().set_permissions(mode))
        .map_err(&io)?;
    file.keep().map_err(|error| io(error.source))
}
