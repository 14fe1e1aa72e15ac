//! `kustomization`: renders resources with kustomize. It runs in the checkout, because
//! only the kustomization itself says which files it reads.

mod closure;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use closure::{Closure, is_address};

use crate::action::Action;
use crate::disk::look;
use crate::ground::confine::{self, Confinement};
use crate::ground::folders::{Folders, relative_to};
use crate::ground::inputs::Inputs;
use crate::ground::process::{Ending, Process, Stream};
use crate::ground::reads::CheckoutReads;
use crate::ground::site::{Made, Site};
use crate::ground::source::{OwnFiles, bound, located};
use crate::ground::threads::blocking;
use crate::ground::tools::Tool;
use crate::ground::{Again, Class, Failure, tools};
use crate::kinds::pins::Pin;
use crate::kinds::{Context, Kind, Prepared, inputs_over};
use crate::text::{public_url, with_causes};
use crate::workspace::{self, Entry, Stat, WalkError};

/// Version of the output format; incremented when its bytes change.
const KUSTOMIZATION_FORMAT: u32 = 1;

/// Time limit of kustomize: rendering takes seconds; the rest is for the repositories
/// that it clones.
const KUSTOMIZE_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// How Git works for kustomize: as for clones, without settings of this machine but with
/// stored logins. A `ref` in an address reaches `git fetch` as an option; for a
/// repository of this machine, `--upload-pack` there is a command to run.
const GIT: [(&str, &str); 9] = [
    ("GIT_ALLOW_PROTOCOL", "git:http:https:ssh"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_CONFIG_COUNT", "2"),
    ("GIT_CONFIG_KEY_0", "credential.helper"),
    ("GIT_CONFIG_VALUE_0", "store"),
    ("GIT_CONFIG_KEY_1", "core.hooksPath"),
    ("GIT_CONFIG_VALUE_1", "/dev/null"),
];

/// Time between TERM and KILL: kustomize only removes its clones then.
const KUSTOMIZE_GRACE: Duration = Duration::from_secs(5);

/// A kustomization of a manifest.
#[derive(Clone, Debug)]
pub struct KustomizationWork {
    /// The folders of the definition.
    pub folders: Folders,
    /// A folder, or another argument that kustomize accepts.
    pub source: String,
    /// Whether it may read files outside its folder.
    pub any_folder: bool,
}

/// The program that renders kustomizations, with the arguments before the folder.
fn kustomize(site: &Site) -> Result<(Arc<Tool>, Vec<&'static str>), Failure> {
    if let Some(tool) = tools::optional(site, "kustomize")? {
        return Ok((tool, vec!["build"]));
    }
    if let Some(tool) = tools::optional(site, "kubectl")? {
        return Ok((tool, vec!["kustomize"]));
    }
    let message = "kustomizations require `kustomize` or `kubectl`, and neither is on PATH: install one of them";
    Err(Failure::new(Class::Environment, message))
}

impl KustomizationWork {
    /// The address or folder to render; a folder also as its closure.
    fn place(&self, site: &Site) -> Result<(PathBuf, Option<Closure>), Failure> {
        let source = &self.source;
        let found = self.folders.find(source);
        if !look::exists(&found.root.join(found.below)) && is_address(source) {
            return Ok((PathBuf::from(source), None));
        }
        let bound = bound(found.root, &site.own_files().cache)?;
        let full = located(found.root, &bound, found.below)?;
        let closure = Closure::of(&full)?;
        Ok((full, Some(closure)))
    }

    /// What is read, and why the result cannot be cached.
    fn read(
        &self,
        site: &Site,
        mut inputs: Inputs,
    ) -> Result<(Inputs, Option<&'static str>), Failure> {
        let (remote, unsure) = match self.place(site)? {
            (_, None) => (Some((self.source.clone(), None)), false),
            (_, Some(closure)) => {
                self.add(site, &closure, &mut inputs)?;
                let remote = closure
                    .remote
                    .map(|(address, place)| (address, Some(place)));
                (remote, closure.unsure)
            }
        };
        if let Some((address, place)) = &remote {
            self.refuse_remote(site, address, place.as_deref())?;
        }
        let why = if remote.is_some() {
            Some("it reads unpinned content from the network")
        } else {
            unsure.then_some("the files that it reads could not all be determined")
        };
        Ok((inputs, why))
    }

    /// Adds the files of a closure, by their paths from the definition's folder.
    fn add(&self, site: &Site, closure: &Closure, inputs: &mut Inputs) -> Result<(), Failure> {
        let base = look::canonicalize(&self.folders.own)?;
        let mut entries = Vec::new();
        for file in &closure.files {
            let not_utf8 = || WalkError::NotUtf8(file.clone());
            let metadata = look::metadata(file)?;
            entries.push(Entry {
                path: file.to_str().ok_or_else(not_utf8)?.to_owned(),
                kind: workspace::Kind::File { executable: false },
                stat: Stat::of(&metadata),
            });
        }
        inputs.entries(site, Path::new("/"), &entries, |path| {
            relative_to(&base, Path::new(path))
        })
    }

    /// Refuses an address if only pinned or local content may be read.
    fn refuse_remote(
        &self,
        site: &Site,
        address: &str,
        place: Option<&str>,
    ) -> Result<(), Failure> {
        let option = match (site.options.offline, site.options.locked) {
            (true, _) => "--offline",
            (_, true) => "--locked",
            _ => return Ok(()),
        };
        let place = place.map_or_else(String::new, |place| format!("{place}: "));
        let message = format!(
            "{place}kustomization `{}` reads `{}`, which has no pin, and {option} forbids that: \
             copy it into the repository",
            public_url(&self.source),
            public_url(address),
        );
        Err(Failure::new(Class::Configuration, message))
    }
}

impl Kind for KustomizationWork {
    fn verb(&self) -> &'static str {
        "kustomization"
    }

    fn reads(&self, own: &OwnFiles) -> CheckoutReads {
        let mut reads = CheckoutReads::nothing();
        let found = self.folders.find(&self.source);
        let full = found.root.join(found.below);
        if !look::exists(&full) && is_address(&self.source) {
            return reads;
        }
        reads.add_place(&full);
        let bound = bound(found.root, &own.cache).ok();
        let located = bound.and_then(|bound| located(found.root, &bound, found.below).ok());
        if let Some(closure) = located.and_then(|full| Closure::of(&full).ok()) {
            if closure.unsure {
                return CheckoutReads::anything(
                    "the files that it reads could not all be determined",
                );
            }
            closure.files.iter().for_each(|file| reads.add_place(file));
        }
        reads
    }

    fn pins(&self) -> Result<Vec<Pin>, Failure> {
        Ok(Vec::new())
    }

    async fn action(&self, cx: &Context<'_>) -> Result<Prepared, Failure> {
        let mut action = Action::new("kustomization", KUSTOMIZATION_FORMAT);
        let (tool, arguments) = kustomize(cx.site)?;
        action.tools.insert(arguments.concat(), tool.digest);
        action.settings.put("source", public_url(&self.source));
        action.settings.put("anyFolder", self.any_folder);
        let (site, own) = (Arc::clone(cx.site), self.clone());
        let inputs = inputs_over(cx, &self.folders.made)?;
        let (inputs, uncached) = blocking(move || own.read(&site, inputs)).await?;
        Ok(Prepared {
            uncached,
            ..Prepared::of(action, inputs)
        })
    }

    async fn make(&self, cx: &Context<'_>, prepared: &Prepared) -> Result<Made, Failure> {
        let (site, any_folder) = (cx.site, self.any_folder);
        let shown = public_url(&self.source);
        let (tool, arguments) = kustomize(site)?;
        let (own, shared) = (self.clone(), Arc::clone(site));
        let (place, _) = blocking(move || own.place(&shared)).await?;
        let mut argv = vec![tool.path.to_string_lossy().into_owned()];
        argv.extend(arguments.iter().map(|text| (*text).to_owned()));
        if any_folder {
            argv.push("--load-restrictor=LoadRestrictionsNone".to_owned());
        }
        argv.push(place.to_string_lossy().into_owned());
        let scratch = site.stage().await?;
        let folder = look::canonicalize(scratch.path())?;
        let mut env = tools::environment(site);
        let fixed = GIT
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        env.extend(fixed);
        let temporary = folder.to_string_lossy().into_owned();
        env.insert("TMPDIR".to_owned(), temporary);
        let process = Process {
            argv,
            env,
            cwd: self.folders.own.clone(),
            timeout: Some(KUSTOMIZE_TIMEOUT),
            grace: KUSTOMIZE_GRACE,
            // It says itself what it reads; all that it has to write is its clones.
            confinement: confine::supported().then(|| Confinement {
                readable: vec![PathBuf::from("/")],
                writable: vec![folder],
            }),
            root: None,
            observed: None,
            services: Vec::new(),
            through: site.options.program.clone(),
        };
        let finished = process.run(site.stopped()).await.map_err(|error| {
            Failure::new(
                Class::Task,
                format!("kustomize: {error}", error = with_causes(&error)),
            )
        })?;
        let text = |stream| -> Vec<u8> {
            let pieces = finished.log.iter().filter(|piece| piece.stream == stream);
            pieces.flat_map(|piece| &piece.bytes).copied().collect()
        };
        match finished.ending {
            Ending::Exited(0) if finished.dropped == 0 => {}
            Ending::Exited(0) => {
                let message = format!("kustomization `{shown}` renders to more than 16 MiB");
                return Err(Failure::new(Class::Task, message));
            }
            Ending::TimedOut => {
                let message = format!("kustomization `{shown}` took longer than 10 minutes");
                return Err(Failure {
                    again: Some(Again::Timeout),
                    ..Failure::new(Class::Timeout, message)
                });
            }
            _ => {
                let stderr = String::from_utf8_lossy(&text(Stream::Stderr)).into_owned();
                // Its output repeats the address, with any login in it.
                let stderr = stderr.replace(&self.source, &shown);
                let message = format!(
                    "kustomization `{shown}` could not be rendered: {}",
                    stderr.trim()
                );
                return Err(Failure::new(Class::Task, message));
            }
        }
        // It has read what the key names only if nothing was written in the meantime.
        let (shared, own) = (Arc::clone(site), self.clone());
        let now = inputs_over(cx, &self.folders.made)?;
        let (now, _) = blocking(move || own.read(&shared, now)).await?;
        if now.tree != prepared.inputs.tree {
            return Err(Failure::changed(place));
        }
        let (cas, bytes) = (Arc::clone(&site.cas), text(Stream::Stdout));
        blocking(move || Ok(vec![cas.store("kustomization.yaml", &bytes)?].into())).await
    }
}
