//! `jackal dev`: help for those who write packages.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::build::runtime;
use super::command_error::CommandError;
use super::connection::ConnectionArgs;
use super::exit::Exit;
use super::options::{SharedArgs, cache_folder, here, pairs, templates};
use super::output::{note, print};
use super::registry::{RegistryArgs, serve};
use super::scaffold::{self, GenerateArgs, PatchGitArgs};
use crate::app::{self, FindOptions, Found, ImageSearch, LintOptions, Target};
use crate::package::{Finding, Severity};

#[derive(Subcommand)]
pub(super) enum DevCommand {
    /// Serve a small registry on this machine, with the habits of a kind of
    /// registry and with faults, to rehearse publishing and pulling
    Registry(Box<RegistryArgs>),
    /// Find the images that manifests and charts of a package name
    #[command(visible_alias = "f")]
    FindImages(Box<FindImagesArgs>),
    /// Write a definition for a chart, with its images
    #[command(visible_alias = "g")]
    Generate(Box<GenerateArgs>),
    /// Write a configuration file with every key, all of them comments
    #[command(visible_alias = "gc")]
    GenerateConfig {
        /// The file, which must not be there; .toml, .yaml or .yml
        #[arg(default_value = "jackal-config.toml")]
        file: PathBuf,
    },
    /// Replace links to Git repositories by those of a cluster's own server
    #[command(visible_aliases = ["p", "git-links"])]
    PatchGit(PatchGitArgs),
    /// Look for mistakes and risks in definitions, and in what they import
    ///
    /// Only components for the architecture and flavor that are chosen are
    /// looked at. Exit code 1 if there is an error; warnings alone give 0.
    #[command(visible_alias = "l")]
    Lint(LintArgs),
    /// Print the SHA-256 sum of a file or of what a URL holds
    #[command(visible_alias = "s")]
    Sha256sum {
        /// A file, or an http or https address
        source: String,
    },
}

/// Arguments of `jackal dev find-images`.
#[derive(Args)]
pub(super) struct FindImagesArgs {
    /// The folder with the definition
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Value of a deploy variable (may be repeated)
    #[arg(long, value_name = "NAME=VALUE")]
    deploy_set: Vec<String>,
    /// Stands for ###JACKAL_REGISTRY###
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1:31999")]
    registry_url: String,
    /// Kubernetes version that charts are rendered for
    #[arg(long, value_name = "VERSION")]
    kube_version: Option<String>,
    /// Say which resources name this image, instead of listing images
    #[arg(long, value_name = "IMAGE")]
    why: Option<String>,
    #[command(flatten)]
    shared: SharedArgs,
}

/// Arguments of `jackal dev lint`.
#[derive(Args)]
pub(super) struct LintArgs {
    /// Folders with definitions
    #[arg(default_value = ".")]
    folders: Vec<PathBuf>,
    /// Value of a template, as for `jackal build` (may be repeated)
    #[arg(long = "set", value_name = "A=VALUE")]
    set: Vec<String>,
    /// Architecture of the package, such as amd64 or arm64
    #[arg(long, short, value_name = "ARCH")]
    architecture: Option<String>,
    /// Look at components of this flavor as well
    #[arg(long, short, value_name = "NAME", default_value = "")]
    flavor: String,
    /// Cache folder (default: ~/.cache/jackal)
    #[arg(long, value_name = "DIR", env = "JACKAL_CACHE")]
    cache_dir: Option<PathBuf>,
    /// Use no network
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Print the findings as a JSON array
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: DevCommand) -> Result<(), CommandError> {
    match command {
        DevCommand::Registry(args) => serve(*args),
        DevCommand::FindImages(args) => find_images(*args),
        DevCommand::Generate(args) => scaffold::generate(*args),
        DevCommand::GenerateConfig { file } => scaffold::generate_config(&file),
        DevCommand::PatchGit(args) => scaffold::patch_git(&args),
        DevCommand::Lint(args) => lint(args),
        DevCommand::Sha256sum { source } => sha256sum(&source),
    }
}

fn find_images(args: FindImagesArgs) -> Result<(), CommandError> {
    let target = Target::Package(args.folder);
    let options = FindOptions {
        deploy_set: pairs("--deploy-set", &args.deploy_set)?,
        registry_url: args.registry_url,
        kube_version: args.kube_version,
        build: args.shared.into_options(target, PathBuf::from("."))?,
    };
    let search = ImageSearch::new(options, &mut |_| None)?;
    let found = runtime()?.block_on(search.run());
    match &args.why {
        Some(image) => print(&why(&found, image))?,
        None => print(&listing(&found))?,
    }
    let errors: Vec<String> = found
        .iter()
        .flat_map(|found| {
            found
                .errors
                .iter()
                .map(|e| format!("{}: {e}", found.component))
        })
        .collect();
    if errors.is_empty() {
        return Ok(());
    }
    Err(CommandError::new(Exit::Task, errors.join("\nerror: ")))
}

/// YAML that can be pasted into a definition.
fn listing(all: &[Found]) -> String {
    let mut text = "components:\n".to_owned();
    for found in all {
        if found.images.is_empty() && found.possible.is_empty() {
            continue;
        }
        text.push_str(&format!("- name: {}\n  images:\n", found.component));
        let mut list = |title: &str, images: &mut dyn Iterator<Item = &String>| {
            for (index, image) in images.enumerate() {
                if index == 0 && !title.is_empty() {
                    text.push_str(&format!("  # {title}\n"));
                }
                text.push_str(&format!("  - {image}\n"));
            }
        };
        list("", &mut found.images.keys());
        list(
            "These only look like images, and a registry has them:",
            &mut found.possible.keys(),
        );
        list("Signatures and attestations:", &mut found.cosign.iter());
    }
    text
}

fn why(all: &[Found], image: &str) -> String {
    let mut text = String::new();
    for found in all {
        for places in [found.images.get(image), found.possible.get(image)] {
            for place in places.into_iter().flatten() {
                text.push_str(&format!("{}: {place}\n", found.component));
            }
        }
    }
    if text.is_empty() {
        note(&format!("no resource names `{image}`"));
    }
    text
}

fn sha256sum(source: &str) -> Result<(), CommandError> {
    let sum = runtime()?.block_on(app::sha256sum(source))?;
    print(&format!("{}\n", sum.hex()))
}

fn lint(args: LintArgs) -> Result<(), CommandError> {
    let options = LintOptions {
        here: here()?,
        folders: args.folders,
        cache: cache_folder(args.cache_dir)?,
        architecture: args.architecture,
        flavor: args.flavor,
        set: templates(&args.set)?,
        offline: args.offline,
        connection: args.connection.into_connection()?,
    };
    let findings = app::lint(&options)?;
    print(&match args.json {
        true => json_text(&findings),
        false => text(&findings),
    })?;
    let count = |severity| findings.iter().filter(|f| f.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let counted = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    let told = format!(
        "{}, {}",
        counted(errors, "error"),
        counted(warnings, "warning")
    );
    if errors > 0 {
        return Err(CommandError::new(Exit::Task, told));
    }
    note(&told);
    Ok(())
}

fn text(findings: &[Finding]) -> String {
    let lines = findings.iter().map(|found| {
        format!(
            "{}:{}:{}: {}: {} [{}]\n  help: {}\n",
            found.file,
            found.line,
            found.column,
            found.severity.word(),
            found.message,
            found.rule,
            found.help,
        )
    });
    lines.collect()
}

fn json_text(findings: &[Finding]) -> String {
    let list: Vec<_> = findings
        .iter()
        .map(|found| {
            json!({
                "severity": found.severity.word(),
                "rule": found.rule,
                "file": found.file,
                "line": found.line,
                "column": found.column,
                "message": found.message,
                "help": found.help,
            })
        })
        .collect();
    format!("{:#}\n", serde_json::Value::from(list))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_listed_as_a_definition_has_it() {
        let place = || [("a:1".to_owned(), ["m.yaml: Pod p".to_owned()].into())].into();
        let found = [
            Found {
                component: "empty".into(),
                ..Found::default()
            },
            Found {
                component: "web".into(),
                images: place(),
                possible: [("b:2".to_owned(), ["x".to_owned()].into())].into(),
                ..Found::default()
            },
        ];
        assert_eq!(
            listing(&found),
            "components:\n- name: web\n  images:\n  - a:1\n  \
             # These only look like images, and a registry has them:\n  - b:2\n"
        );
        assert_eq!(why(&found, "a:1"), "web: m.yaml: Pod p\n");
    }
}
