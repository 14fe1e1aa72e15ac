//! `--affected`: the tasks that changes affect, and the plan of only those.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::build::Prepared;
use super::build_error::BuildError;
use crate::ground::commit::{path_in, version};
use crate::ground::lockfile::{LOCK_FILE, lock_folder};
use crate::ground::published::Earlier;
use crate::ground::reads::Changed;
use crate::ground::revision::{self, RevisionError};
use crate::ground::source::WORKSPACE_FILE;
use crate::kinds::{Kind as _, Work};
use crate::oci::{Reference, is_tag};
use crate::package::manifest;
use crate::plan::Step;
use crate::registry::RegistryError;
use crate::release::{Destination, PublishedResults};
use crate::run::{self, Baseline, Cause, upstream};
use crate::source::RemoteError;
use crate::text::{shown_address, with_causes};
use crate::workspace::checkout;

/// Version of the document; incremented when a field changes its meaning.
const VERSION: u32 = 1;

/// The earlier state that tasks are compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Since {
    /// The last run without failures in this workspace, as the cache has it.
    LastGoodRun,
    /// What was published at these places: [`OWN_PLACES`], `oci://HOST/PATH`, or
    /// `oci://HOST/PATH/NAME:TAG`.
    Published(Vec<String>),
    /// A revision of Git.
    Revision(String),
}

/// Stands for the places where the tasks of the workspace publish.
pub const OWN_PLACES: &str = "published";

/// The tasks that changes affect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Affected {
    /// The version of the format.
    pub version: u32,
    /// What the tasks are compared with.
    pub since: Compared,
    /// Those that are affected, each after those that it needs.
    pub tasks: Vec<AffectedTask>,
    /// Tasks that these need, and that are not affected.
    pub needed: Vec<String>,
    /// What should be known about the comparison.
    #[serde(skip)]
    pub notes: Vec<String>,
}

/// What tasks were compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Compared {
    /// The last good run here.
    LastGoodRun,
    /// Packages that were published.
    Published {
        /// Their references, with the tags that were found.
        packages: Vec<String>,
    },
    Revision {
        revision: String,
        /// The commit that it names.
        commit: String,
    },
}

/// A task that targets select.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChosenTask {
    pub task: String,
    /// What selects it alone on the command line, in the workspace's root.
    pub target: String,
    pub verb: &'static str,
    /// The folder of its file, relative to the workspace; `.` is the workspace.
    pub folder: String,
    /// Its pipeline file or definition, relative to the workspace.
    pub file: String,
    pub tags: Vec<String>,
    /// What it waits for: of affected tasks, the affected ones.
    pub after: Vec<String>,
}

/// A task that changes affect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AffectedTask {
    #[serde(flatten)]
    pub chosen: ChosenTask,
    /// `changed`, `new`, `upstream`, or `unknown`: it cannot be compared.
    pub cause: &'static str,
    /// The same for people.
    pub reason: String,
    /// The affected tasks whose results it reads, if that is why.
    pub upstream: Vec<String>,
}

impl Affected {
    #[must_use]
    pub fn to_json(&self) -> String {
        format!("{:#}\n", json!(self))
    }

    /// The JSON Schema of that.
    #[must_use]
    pub fn json_schema() -> String {
        let text = json!({"type": "string"});
        let texts = json!({"type": "array", "items": text});
        let object = |properties: Value| {
            let required: Vec<&String> = properties
                .as_object()
                .into_iter()
                .flat_map(|all| all.keys())
                .collect();
            json!({
                "type": "object",
                "required": required,
                "properties": properties,
                "additionalProperties": false,
            })
        };
        let since = json!({"oneOf": [
            object(json!({"kind": {"const": "lastGoodRun"}})),
            object(json!({"kind": {"const": "published"}, "packages": texts})),
            object(json!({"kind": {"const": "revision"}, "revision": text, "commit": text})),
        ]});
        let task = object(json!({
            "task": text, "target": text, "verb": text, "folder": text, "file": text,
            "tags": texts, "after": texts,
            "cause": {"enum": ["changed", "new", "upstream", "unknown"]},
            "reason": text, "upstream": texts,
        }));
        let mut schema = object(json!({
            "version": {"const": VERSION},
            "since": since,
            "tasks": {"type": "array", "items": task},
            "needed": texts,
        }));
        schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
        schema["title"] =
            json!("Tasks that changes affect (jackal build --affected --dry-run=json)");
        format!("{schema:#}\n")
    }
}

impl Prepared {
    /// The chosen tasks that differ from an earlier state, and those that follow them.
    ///
    /// # Errors
    ///
    /// [`BuildError`]: the earlier state cannot be read.
    pub async fn affected(&self, since: &Since) -> Result<Affected, BuildError> {
        let mut notes = Vec::new();
        let (compared, causes) = match since {
            Since::LastGoodRun => {
                let good = self.site.good(&self.variant).unwrap_or_default();
                if good.is_empty() {
                    let note = "no good run of this workspace is in the cache: everything counts as affected";
                    notes.push(note.to_owned());
                }
                let baseline = Baseline::Run(good);
                let causes = run::differing(&self.site, &self.plan, &baseline).await?;
                (Compared::LastGoodRun, causes)
            }
            Since::Published(places) => {
                let found = self.published(places, &mut notes).await?;
                let packages = found.iter().map(|one| format!("oci://{}", one.reference));
                let compared = Compared::Published {
                    packages: packages.collect(),
                };
                let baseline = Baseline::Published(Earlier::new(found));
                let causes = run::differing(&self.site, &self.plan, &baseline).await?;
                (compared, causes)
            }
            Since::Revision(revision) => self.since_revision(revision).await?,
        };
        let chosen = self.listed(|id| causes.contains_key(id))?.into_iter();
        let with_causes = chosen.filter_map(|chosen| {
            let cause = causes.get(&chosen.task)?;
            let (reason, upstream) = match cause {
                Cause::Changed(why) | Cause::New(why) | Cause::Unknown(why) => {
                    (why.clone(), Vec::new())
                }
                Cause::Upstream(tasks) => (format!("it reads {}", tasks.join(", ")), tasks.clone()),
            };
            Some(AffectedTask {
                chosen,
                cause: cause.word(),
                reason,
                upstream,
            })
        });
        let tasks: Vec<AffectedTask> = with_causes.collect();
        let all = tasks.iter().map(|task| task.chosen.task.clone());
        let named: BTreeSet<&str> = (tasks.iter())
            .map(|task| task.chosen.task.as_str())
            .collect();
        let needed = self.plan.with_ancestors(&all.collect::<Vec<_>>());
        let needed = needed.into_iter().filter(|id| !named.contains(id.as_str()));
        Ok(Affected {
            version: VERSION,
            since: compared,
            needed: needed.collect(),
            tasks,
            notes,
        })
    }

    /// All tasks that targets select, each after those that it needs.
    ///
    /// # Errors
    ///
    /// [`BuildError::Graph`]
    pub fn chosen(&self) -> Result<Vec<ChosenTask>, BuildError> {
        self.listed(|id| self.plan.chosen.contains(id))
    }

    /// The chosen tasks that `is` is true for, in the order of the graph.
    fn listed(&self, is: impl Fn(&str) -> bool) -> Result<Vec<ChosenTask>, BuildError> {
        let root = &self.workspace;
        let shown = |path: &Path| match path.strip_prefix(root).unwrap_or(path) {
            below if below.as_os_str().is_empty() => ".".to_owned(),
            below => below.display().to_string(),
        };
        let graph = self.plan.graph()?;
        let chosen = graph.tasks().filter(|id| self.plan.chosen.contains(*id));
        let listed = chosen.filter(|id| is(id)).filter_map(|id| {
            let step = self.plan.steps.get(id)?;
            Some(ChosenTask {
                task: id.clone(),
                target: format!("{}:{}", shown(&step.home), step.name),
                verb: step.verb(),
                folder: shown(&step.home),
                file: shown(&step.file),
                tags: step.tags.clone(),
                after: step.after.iter().filter(|on| is(on)).cloned().collect(),
            })
        });
        Ok(listed.collect())
    }

    /// Leaves only these tasks in the plan, and those that they need.
    pub fn narrow_to(&mut self, affected: &Affected) {
        let tasks = affected.tasks.iter().map(|task| task.chosen.task.clone());
        self.plan.retain_chosen(tasks.collect());
    }

    /// Leaves only these tasks in the plan, to show them.
    pub fn show_only(&mut self, affected: &Affected) {
        self.narrow_to(affected);
        let plan = &mut self.plan;
        let chosen = plan.chosen.clone();
        plan.steps.retain(|id, _| chosen.contains(id));
        for step in plan.steps.values_mut() {
            step.after.retain(|on| chosen.contains(on));
        }
    }
}

/// By a revision of Git.
impl Prepared {
    async fn since_revision(
        &self,
        revision: &str,
    ) -> Result<(Compared, BTreeMap<String, Cause>), BuildError> {
        let (root, revision) = (self.workspace.clone(), revision.to_owned());
        let path = path_in(&self.site.options.environment).to_owned();
        let listed = tokio::task::spawn_blocking(move || {
            let Some(checkout) = checkout(&root) else {
                return Err(RevisionError::NoCheckout(root, revision));
            };
            let changes = revision::changes_since(&checkout, &revision, &path)?;
            Ok((checkout.root, revision, changes))
        });
        let listed = listed.await.map_err(std::io::Error::other);
        let (top, revision, changes) = listed.map_err(RevisionError::Io).flatten()?;
        let (moved, commit) = (changes.moved, changes.commit);
        let paths = changes.paths.into_iter().map(|path| top.join(path));
        let changed = Changed::of(paths.filter(|path| !self.is_made(path)));
        let causes = self.touched(&changed, moved, &top)?;
        Ok((Compared::Revision { revision, commit }, causes))
    }

    /// Whether jackal or a task of the workspace makes this file.
    pub(super) fn is_made(&self, path: &Path) -> bool {
        let mut commands = self
            .plan
            .steps
            .values()
            .filter_map(|step| match &step.work {
                Work::Run(work) => Some(work),
                _ => None,
            });
        // Each pipeline knows what those of all others make.
        commands
            .next()
            .is_some_and(|work| work.generated.makes(path))
            || self
                .plan
                .archives
                .iter()
                .any(|(archive, _)| archive == path)
            || path.ancestors().any(|path| self.site.is_own(path))
    }

    /// The steps that read what has changed, and those that follow them.
    fn touched(
        &self,
        changed: &Changed,
        moved: bool,
        top: &Path,
    ) -> Result<BTreeMap<String, Cause>, BuildError> {
        let own = self.site.own_files();
        let settings = self.workspace.join(WORKSPACE_FILE);
        let mut causes: BTreeMap<String, Cause> = BTreeMap::new();
        for id in self.plan.graph()?.tasks() {
            let Some(step) = self.plan.steps.get(id).filter(|step| !step.skipped) else {
                continue;
            };
            if !step.home.starts_with(top) {
                let why = format!("its folder is not in the Git checkout `{}`", top.display());
                causes.insert(id.clone(), Cause::Unknown(why));
                continue;
            }
            let files = self.places.files_of(step);
            let mut files = files.iter().chain([&settings]);
            let file = files.find(|file| changed.has(file));
            let found = file.map(|file| file.display().to_string());
            let found = found
                .or_else(|| {
                    lock_of(step)
                        .filter(|lock| changed.has(lock))
                        .map(|lock| lock.display().to_string())
                })
                .or_else(|| step.work.reads(&own).affected_by(changed, moved));
            if let Some(found) = found {
                let below = Path::new(&found).strip_prefix(&self.workspace).ok();
                let shown = below.map_or(found.clone(), |below| below.display().to_string());
                causes.insert(id.clone(), Cause::Changed(format!("changed: {shown}")));
                continue;
            }
            let upstream = upstream(step, |on| causes.contains_key(on));
            if !upstream.is_empty() {
                causes.insert(id.clone(), Cause::Upstream(upstream));
            }
        }
        Ok(causes)
    }
}

/// The lock file with the pins of a step.
fn lock_of(step: &Step) -> Option<PathBuf> {
    let pins = step.work.pins().ok()?;
    let first = pins.first()?;
    Some(lock_folder(&first.folder).join(LOCK_FILE))
}

/// By what was published.
impl Prepared {
    /// The results that were published with the packages of this plan.
    async fn published(
        &self,
        places: &[String],
        notes: &mut Vec<String>,
    ) -> Result<Vec<PublishedResults>, BuildError> {
        let mut running = JoinSet::new();
        for (at, wanted) in self.wanted(places, notes)?.into_iter().enumerate() {
            let (site, architecture) = (Arc::clone(&self.site), self.architecture.clone());
            running.spawn(async move {
                // The semaphore is never closed.
                let _permit = site.transfers.acquire().await.ok();
                (at, wanted.load(&site.registry, &architecture).await)
            });
        }
        let mut found = BTreeMap::new();
        while let Some(loaded) = running.join_next().await {
            let (at, loaded) = loaded.map_err(|error| BuildError::Save(error.to_string()))?;
            let loaded = loaded.map_err(|source| BuildError::Against(Box::new(source)))?;
            found.extend(
                loaded
                    .into_iter()
                    .enumerate()
                    .map(|(n, one)| ((at, n), one)),
            );
        }
        let found: Vec<PublishedResults> = found.into_values().collect();
        for package in found.iter().filter(|package| package.is_empty()) {
            notes.push(format!(
                "{} was published without build results: what it was made from counts as affected",
                package.reference
            ));
        }
        Ok(found)
    }

    /// What may have been published, without duplicates.
    fn wanted(
        &self,
        places: &[String],
        notes: &mut Vec<String>,
    ) -> Result<Vec<Wanted>, BuildError> {
        let mut all = BTreeSet::new();
        for place in places {
            if place == OWN_PLACES {
                let mut folders = BTreeSet::new();
                let mut is_published = false;
                for (step, places) in &self.plan.published_at {
                    for (to, tags) in places {
                        match to {
                            Destination::Registry(_) => is_published = true,
                            Destination::Layout(folder) => drop(folders.insert(folder)),
                        }
                        all.extend(self.package(step).and_then(|one| one.at(to, tags)));
                    }
                }
                if !is_published {
                    return Err(BuildError::NowhereToCompare);
                }
                notes.extend(folders.into_iter().map(|folder| {
                    format!(
                        "the folder {} is left out: packages are compared with those in registries",
                        folder.display()
                    )
                }));
                continue;
            }
            let wrong = |why: Option<String>| BuildError::AgainstForm {
                given: shown_address(place),
                why: why.unwrap_or_default(),
            };
            let path = Reference::url_path(place).ok_or_else(|| wrong(None))?;
            let last = path.rsplit('/').next().unwrap_or_default();
            if path.contains('/') && last.contains([':', '@']) {
                let one = Reference::hosted(path);
                let one = one.map_err(|error| wrong(Some(format!(": {}", with_causes(&error)))))?;
                all.insert(Wanted {
                    tags: vec![one.to_string()],
                    repository: None,
                });
                continue;
            }
            let to = Destination::parse(place, &self.workspace);
            let to = to.map_err(|error| wrong(Some(format!(": {}", with_causes(&error)))))?;
            if matches!(to, Destination::Layout(_)) {
                return Err(wrong(None));
            }
            for id in self.plan.steps.keys() {
                all.extend(self.package(id).and_then(|one| one.at(&to, &[])));
            }
        }
        Ok(all.into_iter().collect())
    }

    fn package(&self, step: &str) -> Option<Named> {
        let Work::Package(package) = &self.plan.steps.get(step)?.work else {
            return None;
        };
        let (metadata, build) = (&package.definition.metadata, &package.definition.build);
        Some(Named {
            name: metadata.name.clone(),
            tag: manifest::tag(&metadata.version, &build.flavor).ok(),
        })
    }
}

/// A package of the plan.
struct Named {
    name: String,
    /// The tag of its version.
    tag: Option<String>,
}

impl Named {
    fn at(self, to: &Destination, tags: &[String]) -> Option<Wanted> {
        let Destination::Registry(base) = to else {
            return None;
        };
        let tags = tags.iter().cloned().chain(self.tag);
        let repository = format!("{base}/{}", self.name);
        Some(Wanted {
            tags: tags.map(|tag| format!("{repository}:{tag}")).collect(),
            repository: Some(repository),
        })
    }
}

/// A package that may have been published.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Wanted {
    /// Under these references.
    tags: Vec<String>,
    /// Else under the highest version in this repository; `None`: it must exist.
    repository: Option<String>,
}

impl Wanted {
    async fn load(
        &self,
        registry: &crate::registry::Registry,
        architecture: &str,
    ) -> Result<Vec<PublishedResults>, RemoteError> {
        let mut found = Vec::new();
        for tag in &self.tags {
            found.extend(self.one(registry, tag, architecture).await?);
        }
        let Some(repository) = self.repository.as_ref().filter(|_| found.is_empty()) else {
            return Ok(found);
        };
        let Ok(reference) = Reference::hosted(&format!("{repository}:x")) else {
            return Ok(found);
        };
        let mut tags = match registry.tags(&reference).await {
            Ok(tags) => tags,
            Err(RegistryError::NotFound { .. }) => return Ok(found),
            Err(error) => return Err(error.into()),
        };
        // Where referrers are kept under tags, these have the form of digests.
        tags.retain(|tag| is_tag(tag) && !tag.starts_with("sha256-"));
        tags.sort_by_cached_key(|tag| version(tag));
        if let Some(last) = tags.last() {
            let last = format!("{repository}:{last}");
            found.extend(self.one(registry, &last, architecture).await?);
        }
        Ok(found)
    }

    /// The results under one reference; `None`: nothing is published there, or nothing for
    /// this architecture.
    async fn one(
        &self,
        registry: &crate::registry::Registry,
        text: &str,
        architecture: &str,
    ) -> Result<Option<PublishedResults>, RemoteError> {
        let Ok(reference) = Reference::hosted(text) else {
            return Ok(None);
        };
        match PublishedResults::load(registry, &reference, architecture).await {
            Ok(results) => Ok(Some(results)),
            Err(
                RemoteError::Registry(RegistryError::NotFound { .. })
                | RemoteError::Platform { .. },
            ) if self.repository.is_some() => Ok(None),
            Err(error) => Err(error),
        }
    }
}
