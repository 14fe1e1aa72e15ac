//! `kustomization`: the resources that kustomize renders. It runs here, in the
//! checkout, as it reads files that only its own files name.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::action::{Action, Output, diff};
use crate::ground::folders::Folders;
use crate::ground::inputs::Inputs;
use crate::ground::process::{Ending, Process, Stream};
use crate::ground::site::{Made, Site, Tool};
use crate::ground::threads::blocking;
use crate::ground::{Again, Class, Failure, tools};
use crate::kinds::pins::Pin;
use crate::kinds::{Context, Kind, Prepared};

/// Version of what is written; raised when its bytes change.
const KUSTOMIZATION_FORMAT: u32 = 1;

/// Longest time that kustomize may take.
const KUSTOMIZE_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// A kustomization of a manifest.
#[derive(Clone, Debug)]
pub struct KustomizationWork {
    /// Where the definition's files are.
    pub folders: Folders,
    /// A folder, or what else kustomize takes.
    pub source: String,
    /// Whether files outside of the kustomization's folder may be read.
    pub any_folder: bool,
}

/// The program that renders kustomizations, with the arguments before the folder.
fn kustomize(site: &Site) -> Result<(Tool, Vec<&'static str>), Failure> {
    if let Some(tool) = tools::optional(site, "kustomize")? {
        return Ok((tool, vec!["build"]));
    }
    if let Some(tool) = tools::optional(site, "kubectl")? {
        return Ok((tool, vec!["kustomize"]));
    }
    let message = "kustomizations need `kustomize` or `kubectl`, and neither is on PATH: \
                   install one of them";
    Err(Failure::new(Class::Environment, message))
}

impl Kind for KustomizationWork {
    fn verb(&self) -> &'static str {
        "kustomization"
    }

    fn pins(&self) -> Result<Vec<Pin>, Failure> {
        Ok(Vec::new())
    }

    async fn action(&self, cx: &Context<'_>) -> Result<Prepared, Failure> {
        let mut action = Action::new("kustomization", KUSTOMIZATION_FORMAT);
        let (tool, arguments) = kustomize(cx.site)?;
        action.tools.insert(arguments.concat(), tool.digest);
        action.settings.put("source", &self.source);
        action.settings.put("anyFolder", self.any_folder);
        // It may read everything in the definition's folder.
        let (site, own) = (Arc::clone(cx.site), self.clone());
        let inputs = blocking(move || {
            let found = own.folders.find(&own.source);
            let entries = site.snapshot(found.root)?;
            let mut inputs = Inputs::new(&site.cas);
            inputs.entries(&site, found.root, &entries, |path| found.named(path))?;
            Ok(inputs)
        })
        .await?;
        Ok(Prepared::of(action, inputs))
    }

    async fn make(&self, cx: &Context<'_>, prepared: &Prepared) -> Result<Made, Failure> {
        let (site, source, any_folder) = (cx.site, &self.source, self.any_folder);
        let (tool, arguments) = kustomize(site)?;
        let place = if source.contains("://") {
            PathBuf::from(source)
        } else {
            let found = self.folders.inside(source)?;
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
            env: tools::environment(site),
            cwd: self.folders.own.clone(),
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
                let message = format!(
                    "kustomization `{source}` could not be rendered: {}",
                    said.trim()
                );
                return Err(Failure::new(Class::Task, message));
            }
        }
        // What it read is what the key names only if nothing was written meanwhile.
        site.forget_snapshots(&self.folders.own);
        let now = self.action(cx).await?.action;
        if let Some(reason) = diff(&prepared.action.explain(), &now.explain()).first() {
            let message = format!(
                "{reason} while it was rendered: make sure that nothing writes to it, then build again"
            );
            return Err(Failure::new(Class::Task, message));
        }
        let (cas, bytes) = (Arc::clone(&site.cas), text(Stream::Stdout));
        blocking(move || {
            let mut ingest = cas.ingest()?;
            ingest.write_all(&bytes)?;
            let (digest, size) = ingest.commit()?;
            let name = "kustomization.yaml".to_owned();
            Ok(vec![Output { name, digest, size }].into())
        })
        .await
    }
}
