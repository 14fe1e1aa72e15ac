//! The one table of exit codes: what each kind of error ends the program with,
//! and the next steps that it suggests.
//!
//! Source: docs/spec/pipeline.md, "Exit codes".

use std::error::Error;
use std::io;
use std::process::ExitCode;

use crate::app::errors::{
    ArtifactError, BuildError, CasError, Class, DeltaError, DocumentsError, DownloadError,
    ExportError, Failure, GenerateError, GraphError, HeartbeatError, InitError, JournalError,
    KeyFileError, LayoutError, OpenError, PackageDeltaError, PackageMigrateError, PackageReadError,
    PackageSignError, PackageSourceError, PublishError, PullError, RegistryError, ReleaseError,
    RemoteError, SkeletonMakeError, TreeError, TrustError, WatchError,
};

/// The exit code of a command that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// A task failed, or `dev lint` found an error.
    Task = 1,
    /// The command line is wrong.
    Usage = 2,
    /// A definition or pipeline is wrong.
    Configuration = 3,
    /// The disk or the network failed.
    Environment = 4,
    /// Verification failed: the data must not be trusted.
    Verification = 5,
    /// Something took too long.
    Timeout = 6,
    /// A tag names another package and must not be moved.
    Conflict = 7,
    /// The terminal was closed (128 + SIGHUP).
    HungUp = 129,
    /// A signal stopped the run (128 + SIGINT).
    Interrupted = 130,
    /// SIGQUIT stopped the run.
    Quit = 131,
    /// SIGTERM stopped the run.
    Terminated = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error that a command can fail with.
pub(super) trait ToExit: Error {
    fn exit(&self) -> Exit;

    /// Next steps for the user.
    fn hints(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What to do about a folder for results that a checkout leads elsewhere.
pub(super) const NAME_THE_FOLDER: &str = "name the folder with --output, or remove the link";

/// What to do about a package without a tag.
fn hint_of_tag(error: &ArtifactError) -> String {
    match error {
        ArtifactError::Tag(tag) if tag.contains('+') => {
            format!("pass --tag, such as --tag {}", tag.replace('+', "_"))
        }
        ArtifactError::Tag(_) => "pass --tag".to_owned(),
        _ => "set `metadata.version`, or pass --tag".to_owned(),
    }
}

fn hint(text: &str) -> Vec<String> {
    vec![text.to_owned()]
}

/// What to do about an error of the system.
pub(super) fn hint_of_system(kind: io::ErrorKind) -> Option<&'static str> {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("free some space, or choose other folders with --cache-dir and --output")
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            Some("choose folders on a writable disk with --cache-dir and --output")
        }
        io::ErrorKind::PermissionDenied => Some("check the permissions of the file or folder"),
        io::ErrorKind::NotFound => Some("check the path"),
        _ => None,
    }
}

impl From<Class> for Exit {
    fn from(class: Class) -> Self {
        match class {
            Class::Task => Self::Task,
            Class::Configuration => Self::Configuration,
            Class::Environment => Self::Environment,
            Class::Verification => Self::Verification,
            Class::Timeout => Self::Timeout,
            Class::Conflict => Self::Conflict,
            Class::Cancelled => Self::Interrupted,
        }
    }
}

impl ToExit for BuildError {
    fn exit(&self) -> Exit {
        match self {
            Self::CacheFrom { .. } | Self::AgainstForm { .. } | Self::InCache { .. } => Exit::Usage,
            error => error.class().into(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoPackage(_) => hint("name a folder with a package, or create a jackal.yaml"),
            Self::Commit(_) => {
                hint("install git, or remove `git.tag`, `git.commitTime` and `git.dirty`")
            }
            Self::Revision(error) => error.help().into_iter().collect(),
            Self::NowhereToCompare => {
                hint("name the place, as in --against oci://registry.example.com/team")
            }
            Self::IsPipeline(_) => hint("pass it on its own to `jackal build`, or with --pipeline"),
            Self::Absent(_) => hint("check the path"),
            Self::Expand { source, .. } => source.help().map(hint).unwrap_or_default(),
            Self::OutputLeadsOut(_) => hint(NAME_THE_FOLDER),
            Self::LayoutLeadsOut { .. } => {
                hint("remove the link, or write the path it leads to in the pipeline")
            }
            Self::Watch(WatchError::Watches { .. }) => hint(
                "let .gitignore name folders without sources, or raise the limit: sudo sysctl fs.inotify.max_user_watches=1048576",
            ),
            Self::Watch(WatchError::Instances) => hint(
                "end other programs that watch files, or raise the limit: sudo sysctl fs.inotify.max_user_instances=512",
            ),
            Self::Unpublishable(_) => {
                let advice = |error| {
                    let how = hint_of_tag(error);
                    format!("build an archive, then publish it: {how}")
                };
                self.untagged().map(advice).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }
}

impl ToExit for Failure {
    fn exit(&self) -> Exit {
        self.class.into()
    }

    fn hints(&self) -> Vec<String> {
        let known = self.system.and_then(hint_of_system);
        let mut hints = match known.filter(|_| self.causes.is_empty()) {
            Some(known) => hint(known),
            None => self.causes.iter().map(|cause| cause.help.clone()).collect(),
        };
        hints.extend(
            self.stage
                .as_ref()
                .map(|stage| format!("the files of the command are kept in `{}`", stage.display())),
        );
        hints.retain(|hint| !hint.is_empty());
        hints
    }
}

impl ToExit for GraphError {
    fn exit(&self) -> Exit {
        Exit::Configuration
    }
}

impl ToExit for CasError {
    fn exit(&self) -> Exit {
        Exit::Environment
    }
}

impl ToExit for OpenError {
    fn exit(&self) -> Exit {
        match self {
            Self::Scheme { .. }
            | Self::Name { .. }
            | Self::NoSum(_)
            | Self::NoTag(_)
            | Self::NoTags { .. }
            | Self::NoneInLayout { .. }
            | Self::TwoDigests(_)
            | Self::Sum(_)
            | Self::NoCache => Exit::Usage,
            Self::Source(error) => error.exit(),
            Self::Download(DownloadError::Digest { .. }) | Self::OtherDigest { .. } => {
                Exit::Verification
            }
            Self::Connection(_) => Exit::Configuration,
            _ => Exit::Environment,
        }
    }
}

impl ToExit for PackageSourceError {
    fn exit(&self) -> Exit {
        match self {
            Self::Layout(error) => error.exit(),
            Self::Remote(error) => error.exit(),
            Self::Sink(_) => Exit::Environment,
        }
    }
}

impl ToExit for LayoutError {
    fn exit(&self) -> Exit {
        match self {
            Self::InTheWay { .. } => Exit::Usage,
            Self::Absent(_)
            | Self::NoLayout(_)
            | Self::Io { .. }
            | Self::Write { .. }
            | Self::Output { .. } => Exit::Environment,
            // The package was read and breaks the rules of its format.
            _ => Exit::Verification,
        }
    }
}

impl ToExit for RemoteError {
    fn exit(&self) -> Exit {
        match self {
            Self::Registry(error) => error.exit(),
            Self::Platform { .. } => Exit::Usage,
            Self::Shape { .. } => Exit::Verification,
        }
    }
}

impl ToExit for RegistryError {
    fn exit(&self) -> Exit {
        match self {
            Self::Content { .. } | Self::Lost { .. } | Self::Source { damaged: true, .. } => {
                Exit::Verification
            }
            _ => Exit::Environment,
        }
    }
}

impl ToExit for PackageReadError {
    fn exit(&self) -> Exit {
        match self {
            Self::Layout(error) => error.exit(),
            Self::Open(error) => error.exit(),
            Self::Write { .. } | Self::Full { .. } => Exit::Environment,
            Self::Exists(_) | Self::Foreign { .. } | Self::NoFile(..) | Self::NoDocument { .. } => {
                Exit::Usage
            }
            Self::Heartbeat(HeartbeatError::Source(error)) => error.exit(),
            Self::Heartbeat(HeartbeatError::NoKey) => Exit::Usage,
            Self::Interrupted => Exit::Interrupted,
            Self::Heartbeat(_)
            | Self::Refused(_)
            | Self::NoChecksums(_)
            | Self::NotPackage { .. }
            | Self::Definition(_)
            | Self::NoSbom(_)
            | Self::Document { .. }
            | Self::Name(_) => Exit::Verification,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Exists(_) => hint("choose another folder, or pass --force to replace it"),
            Self::Foreign { .. } => hint("choose another folder, or move this one away"),
            Self::Full { .. } => hint("free space, or choose a folder on another disk"),
            Self::NoFile(..) => hint("`jackal package inspect files` lists the files"),
            Self::Document { .. } => hint("create the package again"),
            _ => Vec::new(),
        }
    }
}

impl ToExit for TreeError {
    fn exit(&self) -> Exit {
        match self {
            Self::Read { .. } | Self::Write(_) => Exit::Environment,
            Self::Name { .. } | Self::Scan { .. } => Exit::Verification,
        }
    }
}

impl ToExit for PackageDeltaError {
    fn exit(&self) -> Exit {
        match self {
            Self::Package(error) => error.exit(),
            Self::Exists(_)
            | Self::Delta(
                DeltaError::Folder(_) | DeltaError::NoFrames(_) | DeltaError::Repeats(_),
            ) => Exit::Usage,
            Self::Delta(
                DeltaError::Malformed { .. }
                | DeltaError::OtherOld { .. }
                | DeltaError::OtherNew { .. },
            ) => Exit::Verification,
            Self::Delta(_) | Self::Io { .. } => Exit::Environment,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Package(error) => error.hints(),
            Self::Exists(_) => hint("remove it, or choose another name with --output"),
            _ => Vec::new(),
        }
    }
}

impl ToExit for PackageSignError {
    fn exit(&self) -> Exit {
        match self {
            Self::Read(error) => error.exit(),
            Self::Layout(error) => error.exit(),
            Self::Split(_) | Self::Elsewhere(_) => Exit::Usage,
            Self::Documents(DocumentsError::None) | Self::Artifact(_) => Exit::Configuration,
            Self::Documents(_) => Exit::Verification,
            _ => Exit::Environment,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Read(error) => error.hints(),
            Self::Split(_) => hint("pass --output DIR to write the signed archive in one piece"),
            Self::Elsewhere(_) => hint("pull it first"),
            _ => Vec::new(),
        }
    }
}

impl ToExit for PullError {
    fn exit(&self) -> Exit {
        match self {
            Self::Read(error) => error.exit(),
            Self::Name(_) | Self::Changed(_) => Exit::Verification,
            _ if self.is_in_the_way() => Exit::Usage,
            Self::Interrupted => Exit::Interrupted,
            _ => Exit::Environment,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Read(error) => error.hints(),
            Self::NoRepository(_) => hint("check the name"),
            Self::Interrupted => hint("run the command again to continue"),
            _ => Vec::new(),
        }
    }
}

impl ToExit for PackageMigrateError {
    fn exit(&self) -> Exit {
        match self {
            Self::Read(error) => error.exit(),
            Self::Exists(_) => Exit::Usage,
            Self::Name(_)
            | Self::Definition(_)
            | Self::Checksums(_)
            | Self::Artifact(_)
            | Self::Signed => Exit::Verification,
            Self::Newer { .. } => Exit::Usage,
            Self::Export(ExportError::Stopped) => Exit::Interrupted,
            Self::Cas(_) | Self::Io(_) | Self::Export(_) => Exit::Environment,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Read(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}

impl ToExit for PublishError {
    fn exit(&self) -> Exit {
        match self {
            Self::Destination(_) | Self::Name { .. } => Exit::Usage,
            Self::Read { source, .. } => source.exit(),
            Self::Remote(error) => error.exit(),
            Self::Manifest(..) => Exit::Verification,
            Self::Artifact { .. }
            | Self::Changed(_)
            | Self::Connection(_)
            | Self::Marked { .. }
            | Self::Documents {
                source: DocumentsError::None,
                ..
            } => Exit::Configuration,
            Self::Documents { .. } => Exit::Verification,
            Self::Skeleton(error) => error.exit(),
            Self::Release(error) => error.exit(),
            _ => Exit::Environment,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Read { source, .. } => source.hints(),
            Self::Skeleton(error) => match &**error {
                SkeletonMakeError::Artifact(
                    error @ (ArtifactError::NoVersion | ArtifactError::Tag(_)),
                ) => vec![hint_of_tag(error)],
                error => error.hints(),
            },
            Self::Release(ReleaseError::Taken { .. }) => hint("pass --move-tag to move the tag"),
            Self::Artifact {
                source: error @ (ArtifactError::NoVersion | ArtifactError::Tag(_)),
                ..
            } => vec![hint_of_tag(error)],
            Self::Marked { allowed_by, .. } => vec![format!(
                "add `{allowed_by}: true` at the top of the pipeline file, and build it again"
            )],
            Self::Changed(_) => hint("start a new release, or restore the original packages"),
            Self::Journal(error) | Self::Release(ReleaseError::Journal(error)) => error.hints(),
            _ => Vec::new(),
        }
    }
}

impl ToExit for ReleaseError {
    fn exit(&self) -> Exit {
        match self {
            Self::Unproven { .. } => Exit::Verification,
            Self::Taken { .. } | Self::Registry(RegistryError::Immutable { .. }) => Exit::Conflict,
            Self::Twice { .. } => Exit::Usage,
            Self::Registry(error) => error.exit(),
            _ => Exit::Environment,
        }
    }
}

impl ToExit for SkeletonMakeError {
    fn exit(&self) -> Exit {
        match self {
            Self::Build(error) => error.exit(),
            Self::Artifact(_) | Self::Version(_) | Self::Twice(_) | Self::Component(_) => {
                Exit::Configuration
            }
            _ => Exit::Environment,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Build(error) => error.hints(),
            Self::Twice(_) => hint("choose one with --architecture or --flavor"),
            Self::Version(name) => vec![format!("pass --set {name}=VALUE")],
            _ => Vec::new(),
        }
    }
}

impl ToExit for JournalError {
    fn exit(&self) -> Exit {
        match self {
            Self::Unknown(_) => Exit::Usage,
            _ => Exit::Environment,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Io { .. } => hint("choose another folder with --state-dir or JACKAL_STATE_DIR"),
            _ => Vec::new(),
        }
    }
}

impl ToExit for InitError {
    fn exit(&self) -> Exit {
        match self {
            Self::Nothing(_) => Exit::Configuration,
            Self::Exists(_) | Self::Template(_) => Exit::Usage,
            Self::Disk(_) => Exit::Environment,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Nothing(_) => {
                hint("name another folder; `jackal init --list` lists the files it looks for")
            }
            Self::Exists(_) => hint("remove it, or name another folder"),
            Self::Template(_) => hint("`jackal init --list` lists the kinds"),
            Self::Disk(_) => Vec::new(),
        }
    }
}

impl ToExit for GenerateError {
    fn exit(&self) -> Exit {
        match self {
            Self::Exists(..) => Exit::Usage,
            Self::Write { .. } => Exit::Environment,
            Self::Build(error) => error.exit(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Exists(..) => hint("remove one of them, or choose another folder"),
            Self::Write { .. } => Vec::new(),
            Self::Build(error) => error.hints(),
        }
    }
}

impl ToExit for KeyFileError {
    fn exit(&self) -> Exit {
        match self {
            Self::Exists(_) | Self::Import { .. } => Exit::Usage,
            _ => Exit::Environment,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Exists(_) => vec![
                "choose another folder with --output".to_owned(),
                "or pass --force to overwrite the key; the old key is lost".to_owned(),
            ],
            _ => Vec::new(),
        }
    }
}

impl ToExit for TrustError {
    fn exit(&self) -> Exit {
        Exit::Usage
    }
}
