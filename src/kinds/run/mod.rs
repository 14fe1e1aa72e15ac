//! `run`: determines the files that a command can access, and the action that
//! identifies its result.

mod caches;
mod cause;
mod command;
mod deliver;
mod git;
mod inputs;
mod observe;
mod programs;
mod secrets;
mod services;
mod shell;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use caches::Store;
pub(crate) use cause::MAKEFILES;
use cause::Scene;
use command::{DeclaredOutput, Keep, RunTask, Staging};
pub(crate) use observe::observe;
pub use observe::{Used, UsedName};
use programs::Programs;
pub(crate) use programs::toolchains_in;
pub use secrets::SecretValue;
use secrets::Secrets;
pub(crate) use shell::open as open_shell;
pub use shell::{OpenShell, Wanted};

use crate::action::{Action, Fields as _, Output, fields};
use crate::cas::tree::Tree;
use crate::ground::form::OutputForm;
use crate::ground::generated::Generated;
use crate::ground::inputs::Inputs;
use crate::ground::launch;
use crate::ground::marks::{Mark, Marks};
use crate::ground::reads::CheckoutReads;
use crate::ground::sandbox::Level;
use crate::ground::site::{Made, Site};
use crate::ground::source::OwnFiles;
use crate::ground::threads::blocking;
use crate::ground::tools::Declared;
use crate::ground::{Class, Failure, Readers, Reported, Withdrawal};
use crate::kinds::pins::Pin;
use crate::kinds::{Around, Context, Kind, Prepared};
use crate::oci::Platform;
use crate::pipeline::verb::Run;
use crate::pipeline::{self, DownloadCache, Instance, RenderedOutput, Sandbox, Settings};
use crate::workspace::{self, Climbing};
use crate::yaml::SourceText;

fields! {
    struct RunSettings {
        shell: String = "shell",
        workdir: String = "workdir",
        sandbox: String = "sandbox",
        network: bool = "network",
        machine: String = "machine",
    }
}

/// The name of actions that run commands.
pub(crate) const ACTION: &str = "run";

/// Version of how commands are run; incremented when results could differ.
const RUN_FORMAT: u32 = 7;

/// A command with everything it can access.
#[derive(Clone, Debug)]
pub struct RunWork {
    /// The pipeline's folder: inputs and outputs are relative to it.
    pub folder: PathBuf,
    pub verb: Run,
    /// Input patterns; `!` excludes.
    pub globs: Vec<String>,
    /// Those of them that may match nothing.
    pub optional_globs: BTreeSet<String>,
    /// Outputs of every task: never an input by pattern.
    pub generated: Arc<Generated>,
    /// Outputs of other tasks that patterns name.
    pub by_path: Vec<OutputNamed>,
    /// Where its `inputs` are written, for messages.
    pub place: Place,
    /// Tasks whose outputs are inputs.
    pub input_tasks: Vec<InputTask>,
    /// Values of inputs `param:NAME` and `env:NAME`.
    pub input_values: BTreeMap<String, String>,
    pub env: BTreeMap<String, String>,
    /// Variables passed through, with their values.
    pub pass_through: BTreeMap<String, String>,
    /// Names of variables passed through, set or not.
    pub pass_through_names: Vec<String>,
    /// Secret values; no key, log or record contains them.
    pub secrets: BTreeMap<String, SecretValue>,
    pub tools: Vec<String>,
    /// Toolchains that the pipeline declares, of those in `tools`.
    pub(crate) toolchains: BTreeMap<String, Declared>,
    /// Packages of the system whose identities are part of the key.
    pub packages: Vec<String>,
    /// Folders in which tools are looked up.
    pub path: Vec<PathBuf>,
    pub outputs: Vec<RenderedOutput>,
    /// Patterns of the reports of its tests.
    pub reports: Vec<String>,
    /// Its working directory, relative to the folder.
    pub workdir: String,
    pub timeout: Duration,
    /// Time between asking the command to stop and killing it.
    pub grace: Duration,
    /// Whether it is confined to its declared files.
    pub sandbox: Sandbox,
    /// Whether it may use the network of this machine.
    pub network: bool,
    /// Whether it sees a repository of Git.
    pub git: bool,
    /// Inputs that it may rename.
    pub writable: Vec<String>,
    /// What runs beside it.
    pub services: Vec<pipeline::Service>,
    /// Stores of downloads that it uses.
    pub caches: Vec<DownloadCache>,
    /// What is kept for its next run; `None`: nothing.
    pub kept: Option<KeptPaths>,
    /// Whether nobody reads warnings, as on a build server.
    pub unattended: bool,
    /// The platform of its outputs.
    pub platform: Platform,
}

/// What of a command's folder and home is kept for its next run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptPaths {
    All,
    /// Paths below its folder, or `~/...` in its home; and the inputs.
    Some(Vec<String>),
}

impl KeptPaths {
    fn of(settings: &Settings) -> Option<Self> {
        match (settings.incremental, settings.keep.as_slice()) {
            (true, _) => Some(Self::All),
            (false, []) => None,
            (false, paths) => Some(Self::Some(paths.to_vec())),
        }
    }

    /// As the key has it.
    fn written(&self) -> String {
        match self {
            Self::All => "all".to_owned(),
            Self::Some(paths) => paths.join("\n"),
        }
    }
}

/// An output of another task, and the patterns that begin in it.
#[derive(Clone, Debug)]
pub struct OutputNamed {
    /// The step that makes it.
    pub task: String,
    /// Its name among the step's outputs.
    pub output: String,
    /// Its path relative to the command's folder.
    pub path: String,
    /// The patterns, and those that exclude.
    pub globs: Vec<String>,
}

/// A task whose outputs are inputs.
#[derive(Clone, Debug)]
pub struct InputTask {
    pub task: String,
    /// The folder of its outputs, relative to the command's; `None`: the same.
    pub outputs: Option<String>,
}

/// Where a key of a task is written.
#[derive(Clone, Debug, Default)]
pub struct Place {
    pub source: Option<SourceText>,
    pub instance: String,
}

impl Place {
    /// The file, line and column of `key`, with what separates it from a message.
    fn of(&self, key: &str) -> String {
        let source = self.source.as_ref();
        source.map_or_else(String::new, |source| {
            format!("{}: ", pipeline::place(source, &self.instance, key))
        })
    }

    /// The same at the end of a sentence.
    fn at(&self, key: &str) -> String {
        let source = self.source.as_ref();
        source.map_or_else(String::new, |source| {
            format!(" in {}", pipeline::place(source, &self.instance, key))
        })
    }
}

impl RunWork {
    /// The command of a task.
    pub(crate) fn of(instance: &Instance, verb: &Run, around: Around<'_>) -> Self {
        let environment = around.environment;
        let names = instance.pass_through.iter();
        let passed = names.filter_map(|name| Some((name.clone(), environment.get(name)?.clone())));
        let settings = &instance.settings;
        let secrets = settings.secrets.iter().map(|(name, secret)| {
            let variable = |name: &str| environment.get(name).cloned();
            let value = SecretValue::of(secret, around.folder, variable);
            (name.clone(), value)
        });
        let home = environment.get("HOME").map_or("", String::as_str);
        let declared = &instance.toolchains;
        let toolchains = programs::toolchains(declared, &settings.tools, around.folder, home);
        let own = toolchains.values().flat_map(|toolchain| &toolchain.path);
        let path = own.chain(around.path).cloned();
        let path: Vec<PathBuf> = path.collect();
        Self {
            folder: around.folder.to_owned(),
            verb: verb.clone(),
            globs: instance.input_globs.clone(),
            optional_globs: instance.optional_globs.clone(),
            generated: Arc::clone(around.generated),
            by_path: around.by_path,
            place: Place {
                source: around.source.cloned(),
                instance: instance.id.clone(),
            },
            input_tasks: around.input_tasks,
            input_values: instance.input_values.clone(),
            env: instance.env.clone(),
            pass_through: passed.collect(),
            pass_through_names: instance.pass_through.clone(),
            secrets: secrets.collect(),
            tools: settings.tools.clone(),
            packages: settings.packages.clone(),
            path,
            toolchains,
            outputs: instance.outputs.clone(),
            reports: settings.reports.clone(),
            workdir: instance.workdir.clone(),
            timeout: settings.command_timeout(),
            grace: settings.grace,
            sandbox: settings.sandbox,
            network: settings.network,
            git: settings.git,
            writable: settings.writable.clone(),
            services: settings.services.clone(),
            caches: settings.caches.clone(),
            kept: KeptPaths::of(settings),
            unattended: environment.get("CI").is_some_and(|ci| ci == "true"),
            platform: around.platform,
        }
    }
}

impl RunWork {
    /// The warnings about files that are no reports, and about patterns that match none.
    fn about_reports(&self, reported: &Reported) -> Vec<String> {
        if reported.warnings.is_empty() && reported.missing.is_empty() {
            // To find the place means to read the whole pipeline file.
            return Vec::new();
        }
        let place = self.place.of("reports");
        let missing = reported.missing.iter().map(|pattern| {
            format!("{place}`{pattern}` in `reports` matches nothing that the command made")
        });
        let warnings = reported.warnings.iter();
        warnings
            .map(|warning| format!("{place}{warning}"))
            .chain(missing)
            .collect()
    }
}

impl RunWork {
    /// Its patterns; `None`: one is wrong, which is reported when the command is to run.
    pub(crate) fn patterns(&self) -> Option<Climbing> {
        Climbing::new(&self.folder, &self.globs).ok()
    }
}

impl Kind for RunWork {
    fn verb(&self) -> &'static str {
        "run"
    }

    fn reads(&self, _: &OwnFiles) -> CheckoutReads {
        let mut reads = CheckoutReads::nothing();
        let named = self.by_path.iter().flat_map(|named| &named.globs);
        let named: BTreeSet<&String> = named.filter(|glob| !glob.starts_with('!')).collect();
        let own = self.globs.iter().filter(|glob| !named.contains(glob));
        // A pattern that cannot be read is an error of the build itself.
        let own: Vec<String> = own.cloned().collect();
        if reads.add_patterns(&self.folder, &own).is_err() {
            return CheckoutReads::anything("a pattern of its `inputs` is invalid");
        }
        programs::read(self, &mut reads);
        if self.git {
            reads.add_commit();
        }
        reads
    }

    fn pins(&self) -> Result<Vec<Pin>, Failure> {
        Ok(Vec::new())
    }

    async fn action(&self, cx: &Context<'_>) -> Result<Prepared, Failure> {
        let (site, work, results) = (Arc::clone(cx.site), self.clone(), cx.results.clone());
        blocking(move || {
            let mut action = Action::new(ACTION, RUN_FORMAT);
            action.platform = Some(work.platform.clone());
            action.argv = work.verb.argv.clone();
            action.env = work.env.clone();
            action.pass_through = work.pass_through_names.iter().cloned().collect();
            // A secret is visible to the command, but only its name is in the key.
            let secrets = work.secrets.iter();
            let secrets = secrets.map(|(name, secret)| secret.in_key(name));
            action.pass_through.extend(secrets);
            action.outputs = work.outputs.iter().map(written).collect();
            let level = level(&site, &work)?;
            let settings = RunSettings {
                shell: work.verb.shell.clone().unwrap_or_default(),
                workdir: work.workdir.clone(),
                // It determines which files the command could read.
                sandbox: level.to_string(),
                network: work.network,
                // A caller can start this program as if on another one.
                machine: machine(),
            };
            settings.write("", &mut action.settings);
            services::enter(&work.services, &mut action.settings);
            // Only there can the command see what its own folder is called.
            let beside = place(&work);
            if !beside.is_empty() {
                action.settings.put("place", beside);
            }
            if let Some(kept) = &work.kept {
                action
                    .settings
                    .put(Mark::Incremental.name(), kept.written());
            }
            if !work.reports.is_empty() {
                // They are part of the result.
                action.settings.put("reports", work.reports.join("\n"));
            }
            for (name, value) in &work.input_values {
                action.settings.put(name.clone(), value);
            }
            programs::enter(&site, &work, &mut action)?;
            let above = level.above().filter(|_| work.kept.is_none());
            let mut inputs = inputs::read(&site, &work, &results)?;
            if work.git {
                git::add(&site, &work, &mut inputs)?;
            }
            Ok(Prepared {
                form: OutputForm::Trees,
                levels_above: above.collect(),
                marks: Marks::with(Mark::Incremental, work.kept.is_some())
                    | Marks::with(Mark::Unpinned, work.network),
                ..Prepared::of(action, inputs)
            })
        })
        .await
    }

    async fn make(&self, cx: &Context<'_>, prepared: &Prepared) -> Result<Made, Failure> {
        let site = cx.site;
        // Only files of secrets, and lock files of stores, are read for it.
        let task = match self.secrets.is_empty() && self.caches.is_empty() {
            true => task(site, self, prepared)?,
            false => {
                let (shared, own, ready) = (Arc::clone(site), self.clone(), prepared.clone());
                blocking(move || task(&shared, &own, &ready)).await?
            }
        };
        // A request for more processors than available counts as all of them.
        let processors = u32::try_from(site.options.jobs.max(1)).unwrap_or(u32::MAX);
        let wanted = cx.cpu.clamp(1, processors);
        let _held = tokio::select! {
            held = site.cpu.acquire_many(wanted) => held,
            () = site.stopped() => {
                return Err(Failure::new(Class::Cancelled, "stopped before it started"));
            }
        };
        let scene = Scene::of(site, self, &task);
        // It read what the key names. If that is outdated by now, or the command was
        // free to read the checkout itself, the step is run once more.
        let (shared, own, ready) = (Arc::clone(site), self.clone(), prepared.clone());
        let check = move || {
            ready.inputs.check_again(&shared)?;
            programs::check_again(&shared, &own, &ready.action)
        };
        let (ran, checked) = match command::run(&site.cas, task, site.stopped(), check).await {
            Ok(ran) => ran,
            Err(failed) => return Err(scene.failure(failed)),
        };
        let mut warnings = scene.warnings(&ran.log_text, &ran.lost);
        warnings.extend(self.about_reports(&ran.reported));
        checked?;
        Ok(Made {
            outputs: ran
                .outputs
                .iter()
                .map(|(output, _)| output.clone())
                .collect(),
            also: ran.also,
            log: ran.log,
            text: ran.log_text,
            fetched: 0,
            warnings,
            report: ran.reported.report,
        })
    }

    /// Its outputs are trees, which refer to further blobs.
    fn travels(&self) -> bool {
        false
    }

    /// What a command made with a secret may hold it.
    fn is_shared(&self) -> bool {
        self.secrets.is_empty()
    }

    /// The command gets its grace period.
    fn stops_itself(&self) -> bool {
        true
    }

    fn deliver(
        &self,
        site: &Site,
        outputs: &[Output],
        trees: &[Tree],
        _: Readers,
    ) -> Result<Vec<String>, Failure> {
        deliver::deliver(site, self, outputs, trees)?;
        Ok(Vec::new())
    }

    fn withdraw(&self, site: &Site, withdrawal: &mut Withdrawal) -> Result<(), Failure> {
        deliver::withdraw(site, self, withdrawal)
    }

    /// Outputs of commands have the mode that the definition gives them, whatever the
    /// commands may read.
    fn readers(&self, _: Readers) -> Readers {
        Readers::default()
    }
}

/// The machine that programs see, such as `x86_64`.
fn machine() -> String {
    let name = rustix::system::uname();
    name.machine().to_string_lossy().into_owned()
}

/// What keeps the command to its declared files.
fn level(site: &Site, work: &RunWork) -> Result<Level, Failure> {
    let refuse = |message| Err(Failure::new(Class::Configuration, message));
    if work.sandbox == Sandbox::None {
        return Ok(Level::Free);
    }
    match (launch::best(site.options.program.as_deref()), work.sandbox) {
        (Level::Landlock | Level::Free, Sandbox::Strict) => refuse(
            "this machine refuses user namespaces, which `sandbox: strict` requires: allow them (in a container, with --security-opt seccomp=unconfined or similar), or set `sandbox: warn`",
        ),
        (Level::Free, _) if work.unattended => refuse(
            "this kernel cannot confine commands, which `sandbox: warn` requires under CI=true: use Linux 5.19 or later with Landlock, allow user namespaces, or set `sandbox: none`",
        ),
        (level, _) => Ok(level),
    }
}

fn written(output: &RenderedOutput) -> String {
    let directory = if output.directory { "/" } else { "" };
    let optional = if output.optional { "?" } else { "" };
    format!("{}{directory}{optional}", output.path)
}

/// The names of the command's folder and of those above it, as far up as its inputs
/// climb, its repository included; empty if they are all in the folder.
fn place(work: &RunWork) -> String {
    let globs = work.globs.iter();
    let named = (work.input_tasks.iter()).filter_map(|task| task.outputs.as_ref());
    let up = globs
        .chain(named)
        .map(|path| workspace::taken_apart(path).0);
    let up = up.chain(git::above(work)).max().unwrap_or(0);
    let top = work.folder.ancestors().nth(up);
    let below = top.and_then(|top| work.folder.strip_prefix(top).ok());
    below
        .unwrap_or(Path::new(""))
        .to_string_lossy()
        .into_owned()
}

/// The command with what it needs to run.
fn task(site: &Site, work: &RunWork, prepared: &Prepared) -> Result<RunTask, Failure> {
    let programs = Programs::of(site, work)?;
    let mut env = work.pass_through.clone();
    env.extend(work.env.clone());
    let level = level(site, work)?;
    let secrets = Secrets::of(work, level)?;
    env.extend(secrets.variables);
    programs.set_variables(&mut env);
    if work.git {
        git::set_variables(&mut env);
    }
    Ok(RunTask {
        argv: services::words(&work.verb, &programs),
        env,
        services: services::started(&work.services, &programs),
        inputs: prepared.inputs.clone(),
        staging: Staging {
            task: kept_name(work, "base"),
            writable: work.writable.clone(),
        },
        stores: stores(work, &prepared.inputs)?,
        keep: work
            .kept
            .as_ref()
            .map(|kept| keep(site, work, kept, &prepared.action)),
        outputs: work
            .outputs
            .iter()
            .map(|output| DeclaredOutput {
                path: output.path.clone(),
                directory: output.directory,
                optional: output.optional,
            })
            .collect(),
        reports: work.reports.clone(),
        place: place(work),
        workdir: work.workdir.clone(),
        timeout: work.timeout,
        grace: work.grace,
        level,
        network: work.network,
        shims: programs.shims(),
        readable: programs.readable,
        private: secrets.files,
        secrets: secrets.hidden,
        preserve: site
            .options
            .keep_stage
            .then(|| format!("failed-{}", kept_name(work, ""))),
        through: site.options.program.clone(),
    })
}

/// The kept folder of the command: everything of its key but the inputs says whether
/// what is in it may be used.
fn keep(site: &Site, work: &RunWork, kept: &KeptPaths, action: &Action) -> Keep {
    let same = Action {
        inputs: Arc::default(),
        ..action.clone()
    };
    Keep {
        name: kept_name(work, ""),
        identity: same.key().to_string(),
        paths: kept.clone(),
        recovers: recovers(&action.argv),
        clean: site.options.clean,
    }
}

/// The name of a kept folder of the task.
fn kept_name(work: &RunWork, what: &str) -> String {
    let mut name = blake3::Hasher::new();
    name.update(work.folder.as_os_str().as_encoded_bytes());
    for text in [&work.place.instance, what] {
        name.update(b"\0");
        name.update(text.as_bytes());
    }
    name.finalize().to_hex().to_string()
}

fn stores(work: &RunWork, inputs: &Inputs) -> Result<Vec<Store>, Failure> {
    let caches = work.caches.iter();
    let store = |cache: &DownloadCache| Store::of(cache, &kept_name(work, &cache.name), inputs);
    let stores: Vec<Store> = caches.map(store).collect();
    let checked = caches::check(&stores);
    checked.map_err(|error| Failure::caused_by(Class::Configuration, &error))?;
    Ok(stores)
}

/// Programs that continue correctly after a failure of their own: they record what is
/// done only when it is. Any other program may leave an unfinished file that it then
/// takes for finished.
const RECOVERING: [&str; 3] = ["cargo", "go", "ninja"];

fn recovers(argv: &[String]) -> bool {
    let program = argv.first().and_then(|program| program.rsplit('/').next());
    program.is_some_and(|program| RECOVERING.contains(&program))
}
