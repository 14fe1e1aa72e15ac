//! `jackal package extract`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::command_error::CommandError;
use super::opened::{note_partly, note_warnings, open_to_write, package_help};
use super::output::{note, print};
use super::read::ReadArgs;
use crate::app::{self, Check, ExtractOptions, Scope};

/// Arguments of `jackal package extract`.
#[derive(Args)]
pub(super) struct ExtractArgs {
    #[arg(help = package_help())]
    source: String,
    /// Only these files or folders, such as `sboms.tar` or `images`
    paths: Vec<String>,
    /// Folder to create [default: the package's file name without extension]
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Unpack the tar files of components and SBOMs
    #[arg(long, visible_alias = "unarchive-all")]
    unarchive: bool,
    /// Replace a folder that jackal made, if nothing in it has changed
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    read: ReadArgs,
}

pub(super) fn run(args: ExtractArgs) -> Result<(), CommandError> {
    let options = ExtractOptions {
        to: args.output.unwrap_or_else(|| bare_name(&args.source)),
        only: args.paths,
        unarchive: args.unarchive,
        force: args.force,
    };
    let opened = open_to_write(&args.source, args.read, Check::Use)?;
    let package = app::package_extract(&opened, &options)?;
    note_warnings(&package);
    match package.scope() {
        Scope::Given if !options.only.is_empty() && package.has_checksums() => {
            note_partly(&args.source, "the extracted files were verified");
        }
        _ => note(&format!(
            "{}: {}",
            args.source,
            package.signature().summary()
        )),
    }
    print(&format!("{}\n", options.to.display()))
}

/// Unpacks the whole package to `folder`.
pub(super) fn unpack(
    source: String,
    folder: PathBuf,
    unarchive: bool,
    read: ReadArgs,
) -> Result<(), CommandError> {
    run(ExtractArgs {
        source,
        paths: Vec::new(),
        output: Some(folder),
        unarchive,
        force: false,
        read,
    })
}

/// The file name without the extensions of archives.
fn bare_name(source: &str) -> PathBuf {
    let address = !app::is_path(source);
    // Not the layout itself, which is a folder here.
    if let Some(layout) = app::place::layout_path(source) {
        let place = layout.split('@').next().unwrap_or(layout);
        let name = place.rsplit('/').find(|name| !name.is_empty());
        let name = name.unwrap_or("layout").replace(':', "-");
        return match place
            .rsplit('/')
            .next()
            .is_some_and(|end| end.contains(':'))
        {
            true => PathBuf::from(name),
            false => PathBuf::from(format!("{name}-package")),
        };
    }
    // The last part of a URL, without tag or digest.
    let source = match address {
        true => source.split('@').next().unwrap_or(source),
        false => source,
    };
    let name = Path::new(source).file_name().unwrap_or_default();
    let name = name.to_string_lossy();
    let name = match name.split_once(':') {
        Some((name, _)) if address => name.to_owned(),
        _ => name.into_owned(),
    };
    let whole = match name.rsplit_once(".part") {
        Some((whole, number)) if number.len() == 3 => whole,
        _ => name.as_str(),
    };
    let bare = whole.strip_suffix(".zst").unwrap_or(whole);
    PathBuf::from(bare.strip_suffix(".tar").unwrap_or(bare))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_named_after_the_package_and_is_never_its_layout() {
        for (source, folder) in [
            ("a/p-1.0.tar.zst", "p-1.0"),
            ("p.tar.part000", "p"),
            ("oci://h.io:5000/a/p:1.0", "p"),
            ("https://h.io/p.tar.zst@sha256:00", "p"),
            ("oci-layout:a/lay:1.0", "lay-1.0"),
            ("oci:lay:1.0", "lay-1.0"),
            ("oci-layout:a/lay/", "lay-package"),
            ("oci-layout:lay@sha256:00", "lay-package"),
        ] {
            assert_eq!(bare_name(source), Path::new(folder), "{source}");
        }
    }
}
