//! Opens the package that a user names, and judges what is read of it.
//!
//! [`SOURCES`] says which file of this room opens which names. No other code
//! assembles evidence about a package that exists already, and only this room may
//! call [`verify::verify`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use super::error::{OpenError, PackageSourceError};
use super::heartbeat::{Heartbeat, HeartbeatError};
use super::opening::{Opening, ReadOptions};
use super::package::Package;
use super::{file, image_layout, registry, web};
use crate::archive::Listing;
use crate::layout;
use crate::oci::place;
use crate::registry::{Connection, Registry};
use crate::text::{shown_address, without_logins};
use crate::verify::{
    self, Attached, Check, Contents, Evidence, Policy, Refusal, Scope, VerifiedPackage,
};

/// Opens the package that a name names.
type Open = fn(&str, &Opening<'_>) -> Result<Box<dyn Package>, OpenError>;

/// Lists the tags beside a name.
type Tags = fn(&str, &Opening<'_>) -> Result<Vec<String>, OpenError>;

/// A kind of places that packages are found at.
struct PackageSource {
    /// How names of such packages begin; empty: they are paths.
    begins: &'static [&'static str],
    /// What such a name looks like, for help and messages.
    form: &'static str,
    /// Opens the package that a name names.
    open: Open,
    /// Lists the tags beside it, if it has any.
    tags: Option<Tags>,
}

/// Every kind; the first whose beginning fits opens a name.
const SOURCES: [PackageSource; 4] = [
    PackageSource {
        begins: &[place::REGISTRY],
        form: "oci://HOST/PATH:TAG",
        open: registry::open,
        tags: Some(registry::tags),
    },
    PackageSource {
        begins: &[place::LAYOUT, place::SKOPEO_LAYOUT],
        form: "oci-layout:DIR:TAG",
        open: image_layout::open,
        tags: Some(image_layout::tags),
    },
    PackageSource {
        begins: &["https://", "http://"],
        form: "https://URL@sha256:HEX",
        open: web::open,
        tags: None,
    },
    PackageSource {
        begins: &[],
        form: "path",
        open: file::open,
        tags: None,
    },
];

impl PackageSource {
    fn begins(&self, name: &str) -> bool {
        self.begins.iter().any(|begin| name.starts_with(begin))
    }

    /// The kind of the package called `name`.
    fn of(name: &str) -> Result<&'static Self, OpenError> {
        let mut sources = SOURCES.iter();
        let path = !name.contains("://");
        let found = sources.find(|source| source.begins(name) || path && source.begins.is_empty());
        found.ok_or_else(|| OpenError::Scheme {
            name: name.to_owned(),
            expected: forms(),
        })
    }
}

/// Whether `name` is the path of a file or folder.
#[must_use]
pub fn is_path(name: &str) -> bool {
    PackageSource::of(name).is_ok_and(|source| source.begins.is_empty())
}

/// What names of packages look like, for help and messages.
#[must_use]
pub fn forms() -> String {
    let (paths, others): (Vec<_>, Vec<_>) =
        (SOURCES.iter()).partition(|source| source.begins.is_empty());
    listed(paths.into_iter().chain(others))
}

fn listed(sources: impl Iterator<Item = &'static PackageSource>) -> String {
    let forms: Vec<&str> = sources.map(|source| source.form).collect();
    match &forms[..] {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [one, other] => format!("{one} or {other}"),
        [most @ .., last] => format!("{}, or {last}", most.join(", ")),
    }
}

/// Every tag beside the package called `name`.
///
/// # Errors
///
/// [`OpenError`]
pub fn tags(name: &str, options: &ReadOptions) -> Result<Vec<String>, OpenError> {
    let tags = PackageSource::of(name)?.tags;
    let tags = tags.ok_or_else(|| OpenError::NoTags {
        name: shown_address(name),
        expected: listed(SOURCES.iter().filter(|source| source.tags.is_some())),
    })?;
    tags(name, &Opening::new(options, None))
}

/// Why a package was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// Bundles beside the package cannot be read.
    #[error(transparent)]
    Source(#[from] PackageSourceError),
    /// It must not be trusted; every reason is given.
    #[error("{}", Refusal::list(.0))]
    Refused(Vec<Refusal>),
    /// What has this name is no package.
    #[error("`{name}`")]
    NotPackage {
        /// As the user called it.
        name: String,
        /// What it lacks.
        source: Refusal,
    },
}

/// A package that was opened, with the policy to judge it by.
pub struct Opened {
    /// As the user called it.
    pub name: String,
    pub package: Arc<dyn Package>,
    /// Set once writing must end.
    pub stop: Arc<AtomicBool>,
    policy: Arc<Policy>,
    /// Bundles that the user gave.
    given: Vec<Vec<u8>>,
    /// Bundles beside the package, once they have been read.
    beside: OnceLock<Attached<Vec<u8>>>,
    /// Set once it was judged to have no checksums.
    unlisted: OnceLock<String>,
}

impl Opened {
    /// Opens the package called `name`.
    ///
    /// # Errors
    ///
    /// [`OpenError`]
    pub fn open(name: &str, options: &ReadOptions) -> Result<Self, OpenError> {
        Self::with_client(name, options, None)
    }

    /// Opens the package called `name` through the client `registry`, if one is
    /// needed and given.
    ///
    /// # Errors
    ///
    /// [`OpenError`]
    pub fn with_client(
        name: &str,
        options: &ReadOptions,
        registry: Option<&Arc<Registry>>,
    ) -> Result<Self, OpenError> {
        let source = PackageSource::of(name)?;
        let opening = Opening::new(options, registry);
        Self::new(name.to_owned(), (source.open)(name, &opening)?, options)
    }

    /// Opens the package in a file or folder.
    ///
    /// # Errors
    ///
    /// [`OpenError`]
    pub fn here(path: &Path, options: &ReadOptions) -> Result<Self, OpenError> {
        let opening = Opening::new(options, None);
        let package = file::at(path, Some(layout::bundles_beside(path)), &opening)?;
        Self::new(path.display().to_string(), package, options)
    }

    /// Opens the package in a file or folder to verify its content only, not its
    /// signature.
    ///
    /// # Errors
    ///
    /// [`OpenError`]
    pub fn unsigned(path: &Path) -> Result<Self, OpenError> {
        let policy = Policy::without_signers(Check::Look);
        Self::here(path, &ReadOptions::new(Connection::default(), policy))
    }

    fn new(
        name: String,
        package: Box<dyn Package>,
        options: &ReadOptions,
    ) -> Result<Self, OpenError> {
        let mut given = Vec::new();
        for path in &options.bundles {
            given.extend(layout::read_bundles(path).map_err(PackageSourceError::from)?);
        }
        Ok(Self {
            // An address may hold a login, and the name is shown and kept.
            name: without_logins(&name),
            package: package.into(),
            stop: Arc::clone(&options.stop),
            policy: Arc::clone(&options.policy),
            given,
            beside: OnceLock::new(),
            unlisted: OnceLock::new(),
        })
    }

    /// The warning that the package was judged, and has no checksums.
    #[must_use]
    pub fn without_checksums(&self) -> Option<&str> {
        self.unlisted.get().map(String::as_str)
    }

    /// Whether the policy may need bundles beside the package.
    #[must_use]
    pub fn wants_bundles(&self) -> bool {
        self.policy.wants_attached()
    }

    /// Bundles beside the package, read once. Anyone may have put them there.
    ///
    /// # Errors
    ///
    /// [`PackageSourceError`]
    pub fn bundles(&self) -> Result<&Attached<Vec<u8>>, PackageSourceError> {
        if let Some(bundles) = self.beside.get() {
            return Ok(bundles);
        }
        let bundles = self.package.bundles()?;
        Ok(self.beside.get_or_init(|| bundles))
    }

    /// The heartbeat beside the package `name`, signed by a key of the policy it was opened
    /// with.
    ///
    /// # Errors
    ///
    /// [`HeartbeatError`]
    pub fn heartbeat(&self, name: &str) -> Result<Heartbeat, HeartbeatError> {
        let found = self.package.heartbeat()?;
        let (Some((bundle, asked)), Some(manifest)) = (found, self.package.manifest()) else {
            return Err(HeartbeatError::Absent);
        };
        Heartbeat::verified(&bundle, (name, &manifest), &self.policy)?.about(&asked)
    }

    /// Judges what was read of the package by the policy it was opened with.
    /// Bundles beside it are read if the policy may need them.
    ///
    /// # Errors
    ///
    /// [`JudgeError`]
    pub fn judge(
        &self,
        mut evidence: Evidence,
        scope: Scope,
    ) -> Result<VerifiedPackage, JudgeError> {
        if self.wants_bundles() {
            self.bundles()?;
            evidence.attached.clone_from(&self.given);
            let Attached { found, unread } = self.package.tagged()?;
            (evidence.tagged, evidence.unread) = (found, unread);
        }
        let is_local = evidence.artifact.is_none();
        if is_local && !self.wants_bundles() {
            // To say that there are some; that they are damaged matters to a signer only.
            evidence.unread += usize::from(self.bundles().is_err());
        }
        evidence.searched = self.beside.get().is_some();
        if evidence.checksums.is_none() && evidence.definition.is_some() && scope == Scope::Given {
            // Nothing in the package lists its files.
            evidence.unlisted = self.package.survey()?.files;
        }
        if let Some(beside) = self.beside.get() {
            let new = beside.found.iter();
            let new = new.filter(|bundle| !self.given.contains(bundle));
            evidence.attached.extend(new.cloned());
            evidence.unread += beside.unread;
        }
        let mut contents = Read {
            package: &*self.package,
            documents: std::mem::take(&mut evidence.documents),
            listings: std::mem::take(&mut evidence.listings),
        };
        #[expect(clippy::disallowed_methods, reason = "the door for existing packages")]
        let judged = verify::verify(evidence, scope, &self.policy);
        let package = judged.map_err(|refusals| match &refusals[..] {
            [missing @ Refusal::NoDefinition] => JudgeError::NotPackage {
                name: shown_address(&self.name),
                source: missing.clone(),
            },
            _ => JudgeError::Refused(refusals),
        })?;
        if let Some(note) = package.notes().first().filter(|_| !package.has_checksums()) {
            let _ = self.unlisted.set(note.clone());
        }
        if scope == Scope::Whole {
            none(verify::check_contents(&package, &mut contents)?)?;
        }
        Ok(package)
    }

    /// Judges what is in the tars of a package, of which only the digests were judged
    /// before they were fetched.
    ///
    /// # Errors
    ///
    /// [`JudgeError`]
    pub fn judge_tars(
        &self,
        package: &VerifiedPackage,
        listings: BTreeMap<String, Listing>,
    ) -> Result<(), JudgeError> {
        let mut contents = Read {
            package: &*self.package,
            documents: BTreeMap::new(),
            listings,
        };
        none(verify::check_tars(package, &mut contents)?)
    }
}

fn none(refusals: Vec<Refusal>) -> Result<(), JudgeError> {
    match refusals.is_empty() {
        true => Ok(()),
        false => Err(JudgeError::Refused(refusals)),
    }
}

/// What was read of a package already, and the package for the rest.
struct Read<'p> {
    package: &'p dyn Package,
    documents: BTreeMap<String, Vec<u8>>,
    listings: BTreeMap<String, Listing>,
}

impl Contents for Read<'_> {
    type Error = PackageSourceError;

    fn documents(
        &mut self,
        names: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Vec<u8>>, PackageSourceError> {
        let mut found = BTreeMap::new();
        let mut missing = BTreeSet::new();
        for name in names {
            match self.documents.remove(name) {
                Some(bytes) => drop(found.insert(name.clone(), bytes)),
                None => drop(missing.insert(name.clone())),
            }
        }
        if !missing.is_empty() {
            found.extend(self.package.documents(&missing)?);
        }
        Ok(found)
    }

    fn listings(
        &mut self,
        names: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Listing>, PackageSourceError> {
        let mut found = BTreeMap::new();
        let mut missing = BTreeSet::new();
        for name in names {
            match self.listings.remove(name) {
                Some(listing) => drop(found.insert(name.clone(), listing)),
                None => drop(missing.insert(name.clone())),
            }
        }
        if !missing.is_empty() {
            found.extend(self.package.listings(&missing)?);
        }
        Ok(found)
    }
}
