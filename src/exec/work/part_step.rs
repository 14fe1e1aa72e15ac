//! Steps that make one part of a component: a repository, a member of an
//! archive, a rendered kustomization. Charts have a file of their own.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{component_step, inputs, run_step};
use crate::action::{Action, Input, InputKind, Output};
use crate::cas::Stage;
use crate::exec::executors::{self, Git};
use crate::exec::plan::{PartKind, PartWork};
use crate::exec::process::{Ending, Process, Stream};
use crate::exec::site::{Made, Site, Tool, blocking};
use crate::exec::{Again, Class, Failure};
use crate::package::{File, RepoUrl, Wanted};
use crate::workspace;

/// Versions of what is written; raised when its bytes change.
const REPOSITORY_FORMAT: u32 = 2;
const MEMBER_FORMAT: u32 = 1;
const KUSTOMIZATION_FORMAT: u32 = 1;

/// Longest time that kustomize may take.
const KUSTOMIZE_TIMEOUT: Duration = Duration::from_secs(10 * 60);

pub(super) async fn action(site: &Arc<Site>, work: &PartWork) -> Result<Action, Failure> {
    match &work.kind {
        PartKind::Repository(url) => repository_action(site, work, url).await,
        PartKind::Member(file) => {
            let mut action = Action::new("member", MEMBER_FORMAT);
            for (key, value) in [
                ("extractPath", &file.extract_path),
                ("shasum", &file.shasum),
            ] {
                action.settings.push((key.to_owned(), value.clone()));
            }
            action.inputs = archive_input(site, work, &file.source).await?;
            Ok(action)
        }
        PartKind::Kustomization { source, any_folder } => {
            kustomization_action(site, work, source, *any_folder).await
        }
    }
}

pub(super) async fn make(site: &Arc<Site>, work: &PartWork) -> Result<Made, Failure> {
    let output = match &work.kind {
        PartKind::Repository(url) => repository_made(site, work, url).await?,
        PartKind::Member(file) => {
            let (shared, work, file) = (Arc::clone(site), work.clone(), file.clone());
            let archive = component_step::archive(&shared, &work.folders, &file.source).await?;
            blocking(move || {
                let (cas, name, wanted) = (&shared.cas, &file.source, &file.extract_path);
                let taken = match archive {
                    component_step::Archive::Blob(digest) => {
                        // Verified while it is copied; a zip is read from its end.
                        let stage = cas.stage()?;
                        let mut plain = std::fs::File::options()
                            .read(true)
                            .write(true)
                            .create_new(true)
                            .open(stage.path().join("archive"))?;
                        std::io::copy(&mut cas.open_blob(&digest)?, &mut plain)?;
                        std::io::Seek::rewind(&mut plain)?;
                        executors::extract_member(cas, name, plain, wanted)
                    }
                    component_step::Archive::File(path) => {
                        let file = std::fs::File::open(&path)?;
                        executors::extract_member(cas, name, file, wanted)
                    }
                };
                summed(taken?, &file)
            })
            .await?
        }
        PartKind::Kustomization { source, any_folder } => {
            kustomization_made(site, work, source, *any_folder).await?
        }
    };
    Ok(vec![output].into())
}

/// Compares what was taken out with the file's `shasum`.
fn summed(taken: Output, file: &File) -> Result<Output, Failure> {
    let expected = file.shasum.to_ascii_lowercase();
    if expected.is_empty() || taken.digest.hex() == expected {
        return Ok(taken);
    }
    let message = format!(
        "`{}` of `{}` has the SHA-256 sum {}, expected {expected} by its `shasum`: \
         correct the one or restore the other",
        file.extract_path,
        file.source,
        taken.digest.hex()
    );
    Err(Failure::new(Class::Verification, message))
}

async fn archive_input(
    site: &Arc<Site>,
    work: &PartWork,
    source: &str,
) -> Result<Vec<Input>, Failure> {
    if component_step::remote(source) {
        let digest = component_step::pinned_url(site, &work.folders.own, source).await?;
        return Ok(vec![Input {
            path: source.to_owned(),
            kind: InputKind::Blob { digest },
        }]);
    }
    listed(site, work, source).await
}

/// Everything at `source`, a path as the definition has it.
async fn listed(site: &Arc<Site>, work: &PartWork, source: &str) -> Result<Vec<Input>, Failure> {
    let (site, folders, source) = (Arc::clone(site), work.folders.clone(), source.to_owned());
    blocking(move || {
        let found = folders.find(&source);
        executors::inside(found.below).map_err(|_| executors::outside(&source))?;
        let entries = workspace::list(found.root, found.below.trim_end_matches('/'))?;
        let mut inputs = inputs(&site, found.root, &entries)?;
        for input in &mut inputs {
            input.path = found.named(&input.path);
        }
        Ok(inputs)
    })
    .await
}

/// What the repository stands for: by its pin, else by asking.
pub(super) async fn pinned(
    site: &Arc<Site>,
    folder: &Path,
    url: &RepoUrl,
) -> Result<String, Failure> {
    if let Wanted::Commit(commit) = &url.wanted {
        return Ok(commit.clone());
    }
    let name = url.to_string();
    if let Some(pin) = site.pins(folder, |lock| lock.repository(&name).map(str::to_owned))? {
        return Ok(pin);
    }
    if let Some(failure) = site.unpinned(&name, folder) {
        return Err(failure);
    }
    let pin = git(site)?.resolve(url).await?;
    site.pins(folder, |lock| lock.pin_repository(&name, &pin))?;
    Ok(pin)
}

async fn repository_action(
    site: &Arc<Site>,
    work: &PartWork,
    url: &RepoUrl,
) -> Result<Action, Failure> {
    let mut action = Action::new("repository", REPOSITORY_FORMAT);
    action.settings = vec![
        ("address".to_owned(), url.address.clone()),
        ("wanted".to_owned(), format!("{:?}", url.wanted)),
        (
            "pin".to_owned(),
            pinned(site, &work.folders.own, url).await?,
        ),
    ];
    Ok(action)
}

async fn repository_made(
    site: &Arc<Site>,
    work: &PartWork,
    url: &RepoUrl,
) -> Result<Output, Failure> {
    if site.wishes.offline && !url.address.starts_with("file://") {
        let message = format!(
            "`{url}` is not in the cache and --offline forbids fetching it: \
             build once with network access"
        );
        return Err(Failure::new(Class::Environment, message));
    }
    let pin = pinned(site, &work.folders.own, url).await?;
    let stage = staged(site).await?;
    let git = git(site)?;
    Ok(git.clone_to(url, &pin, stage.path(), &site.cas).await?)
}

/// An empty folder of the cache, which goes away when it is dropped, or with
/// the next run if this one is killed.
pub(super) async fn staged(site: &Arc<Site>) -> Result<Stage, Failure> {
    let cas = Arc::clone(&site.cas);
    blocking(move || Ok(cas.stage()?)).await
}

/// Variables that tell programs where credentials, keys and proxies are.
const PASSED: &[&str] = &[
    "HOME",
    "PATH",
    "SSH_AUTH_SOCK",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSL_CAINFO",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
];

fn passed(site: &Site) -> BTreeMap<String, String> {
    let known = PASSED.iter().filter_map(|name| {
        let value = site.wishes.environment.get(*name)?;
        Some(((*name).to_owned(), value.clone()))
    });
    known.collect()
}

/// The folders that programs are looked up in.
fn folders_of_path(site: &Site) -> Vec<PathBuf> {
    let path = site.wishes.environment.get("PATH");
    let folders = path.map_or("", String::as_str).split(':');
    folders
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from)
        .collect()
}

pub(in crate::exec) fn git(site: &Site) -> Result<Git, Failure> {
    let tool = tool(site, "git")?.ok_or_else(|| {
        let message = "Git repositories need `git`, which is not on PATH: install it";
        Failure::new(Class::Environment, message)
    })?;
    Ok(Git {
        program: tool.path,
        env: passed(site),
    })
}

/// A program on `PATH`, if it is there.
fn tool(site: &Site, name: &str) -> Result<Option<Tool>, Failure> {
    match site.tool(name, || run_step::look(site, &folders_of_path(site), name)) {
        Ok(tool) => Ok(Some(tool)),
        Err(failure) if failure.class == Class::Configuration => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// The program that renders kustomizations, with the arguments before the folder.
fn kustomize(site: &Site) -> Result<(Tool, Vec<&'static str>), Failure> {
    if let Some(tool) = tool(site, "kustomize")? {
        return Ok((tool, vec!["build"]));
    }
    if let Some(tool) = tool(site, "kubectl")? {
        return Ok((tool, vec!["kustomize"]));
    }
    let message = "kustomizations need `kustomize` or `kubectl`, and neither is on PATH: \
                   install one of them";
    Err(Failure::new(Class::Environment, message))
}

async fn kustomization_action(
    site: &Arc<Site>,
    work: &PartWork,
    source: &str,
    any_folder: bool,
) -> Result<Action, Failure> {
    let mut action = Action::new("kustomization", KUSTOMIZATION_FORMAT);
    let (tool, arguments) = kustomize(site)?;
    action.tools.insert(arguments.concat(), tool.digest);
    action.settings = vec![
        ("source".to_owned(), source.to_owned()),
        ("anyFolder".to_owned(), any_folder.to_string()),
    ];
    // It may read whatever is in the definition's folder, by paths that only
    // its own files tell.
    let (shared, folders, source) = (Arc::clone(site), work.folders.clone(), source.to_owned());
    action.inputs = blocking(move || {
        let found = folders.find(&source);
        let entries = shared.snapshot(found.root)?;
        let mut inputs = inputs(&shared, found.root, &entries)?;
        for input in &mut inputs {
            input.path = found.named(&input.path);
        }
        Ok(inputs)
    })
    .await?;
    Ok(action)
}

async fn kustomization_made(
    site: &Arc<Site>,
    work: &PartWork,
    source: &str,
    any_folder: bool,
) -> Result<Output, Failure> {
    let (tool, arguments) = kustomize(site)?;
    let found = work.folders.find(source);
    let place = if source.contains("://") {
        PathBuf::from(source)
    } else {
        executors::inside(found.below).map_err(|_| executors::outside(source))?;
        found.root.join(found.below)
    };
    let mut argv = vec![tool.path.to_string_lossy().into_owned()];
    argv.extend(arguments.iter().map(|text| (*text).to_owned()));
    if any_folder {
        argv.push("--load-restrictor=LoadRestrictionsNone".to_owned());
    }
    argv.push(place.to_string_lossy().into_owned());
    let process = Process {
        argv,
        env: passed(site),
        cwd: work.folders.own.clone(),
        timeout: Some(KUSTOMIZE_TIMEOUT),
        grace: Duration::from_secs(5),
        confinement: None,
    };
    let finished = process
        .run(site.stopped())
        .await
        .map_err(|error| Failure::new(Class::Task, format!("kustomize: {error}")))?;
    let text = |stream| -> Vec<u8> {
        let pieces = finished.log.iter().filter(|piece| piece.stream == stream);
        pieces.flat_map(|piece| &piece.bytes).copied().collect()
    };
    match finished.ending {
        Ending::Exited(0) if finished.dropped == 0 => {}
        Ending::Exited(0) => {
            let message = format!("kustomization `{source}` renders to more than 16 MiB");
            return Err(Failure::new(Class::Task, message));
        }
        Ending::TimedOut => {
            let message = format!("kustomization `{source}` took longer than 10 minutes");
            return Err(Failure {
                again: Some(Again::Timeout),
                ..Failure::new(Class::Timeout, message)
            });
        }
        _ => {
            let said = String::from_utf8_lossy(&text(Stream::Stderr)).into_owned();
            let message = format!("kustomization `{source}` was not rendered: {}", said.trim());
            return Err(Failure::new(Class::Task, message));
        }
    }
    let (cas, bytes) = (Arc::clone(&site.cas), text(Stream::Stdout));
    blocking(move || {
        let mut ingest = cas.ingest()?;
        ingest.write_all(&bytes)?;
        let (digest, size) = ingest.commit()?;
        let name = "kustomization.yaml".to_owned();
        Ok(Output { name, digest, size })
    })
    .await
}
