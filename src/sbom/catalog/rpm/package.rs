//! From the header of a package to the package.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::header::{Header, tag};
use super::{Found, RPM, System};
use crate::archive::MAX_PATH_BYTES;
use crate::sbom::document::{Ecosystem, Evidence, License, Package};
use crate::sbom::purl::{distro_of, purl};

/// What a file takes while it is held as a value of JSON, in bytes.
pub(super) const FILE_COST: usize = 700;
/// What a name takes while it is held as a value of JSON, in bytes.
const NAME_COST: usize = 100;

/// Flags of files, and the letters by which they are written.
const FLAGS: [(u64, char); 9] = [
    (1 << 1, 'd'),
    (1, 'c'),
    (1 << 5, 's'),
    (1 << 3, 'm'),
    (1 << 4, 'n'),
    (1 << 6, 'g'),
    (1 << 7, 'l'),
    (1 << 8, 'r'),
    (1 << 12, 'a'),
];

/// Name, version and the other facts that make the identity of a package.
pub(super) struct Identity {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) release: String,
    pub(super) epoch: Option<u64>,
    pub(super) arch: String,
    pub(super) source: String,
}

impl Identity {
    pub(super) fn of(header: &Header<'_>) -> Self {
        Self {
            name: header.text(tag::NAME),
            version: header.text(tag::VERSION),
            release: header.text(tag::RELEASE),
            epoch: header.number(tag::EPOCH),
            arch: header.text(tag::ARCH),
            source: header.text(tag::SOURCE_RPM),
        }
    }

    fn version_release(&self) -> String {
        format!("{}-{}", self.version, self.release)
    }

    /// A package of this identity.
    pub(super) fn package(&self, ecosystem: Ecosystem) -> Package {
        let version = match self.epoch {
            Some(epoch) => format!("{epoch}:{}", self.version_release()),
            None => self.version_release(),
        };
        Package::new(ecosystem, &self.name, &version)
    }

    /// The package URL, for a package of `distro`.
    pub(super) fn package_url(&self, distro: &Value) -> String {
        let (id, word) = distro_of(distro);
        let namespace = match id.as_str() {
            "rhel" => "redhat",
            id if id.starts_with("opensuse") => "opensuse",
            id => id,
        };
        let epoch = self.epoch.map(|epoch| epoch.to_string());
        let qualifiers = [
            ("arch", self.arch.as_str()),
            ("distro", &word),
            ("epoch", epoch.as_deref().unwrap_or_default()),
            ("upstream", &self.source),
        ];
        purl(
            "rpm",
            namespace,
            &self.name,
            &self.version_release(),
            &qualifiers,
        )
    }

    /// The facts that a document has about it.
    pub(super) fn facts(&self) -> Value {
        json!({
            "name": self.name, "version": self.version, "epoch": self.epoch,
            "architecture": self.arch, "release": self.release, "sourceRpm": self.source,
        })
    }
}

/// The installed package that `header` in the database at `path` has. Of its files,
/// those count as names that are `wanted`.
pub(super) fn installed(
    system: &System<'_>,
    path: &str,
    header: &Header<'_>,
    wanted: &HashSet<Vec<u8>>,
    found: &mut Found,
) -> Option<Package> {
    let identity = Identity::of(header);
    if identity.name.is_empty() {
        return None;
    }
    let mut package = identity.package(RPM);
    let location = system.view.location(path, Evidence::Primary);
    package.locations.extend(location);
    package.purl = identity.package_url(&system.distro);
    let mut files = Vec::new();
    for file in files_of(header) {
        if !system.view.has(&system.path(&file.path)) {
            continue;
        }
        if !found.text(FILE_COST + 4 * file.path.len()) {
            return None;
        }
        package.owns.push(system.absolute(&file.path));
        if wanted.contains(file.path.as_bytes()) {
            package.provides.push(system.name(&file.path));
        }
        files.push(file.facts());
    }
    describe(&mut package, &identity, header, files, found)?;
    for name in package.provides.iter_mut().chain(&mut package.requires) {
        if !name.contains('\0') {
            *name = system.name(name);
        }
    }
    Some(package)
}

/// Adds licence, names and facts to `package`.
fn describe(
    package: &mut Package,
    identity: &Identity,
    header: &Header<'_>,
    files: Vec<Value>,
    found: &mut Found,
) -> Option<()> {
    let license = header.text(tag::LICENSE);
    if !license.is_empty() && license.len() <= MAX_TEXT {
        package.licenses.insert(License::new(license));
    }
    let provides = names(header, tag::PROVIDES, found)?;
    let requires = names(header, tag::REQUIRES, found)?;
    if !provides.contains(&identity.name) {
        package.provides.push(identity.name.clone());
    }
    package.provides.extend(provides.iter().cloned());
    // Rich dependencies are expressions of names.
    let plain = requires.iter().filter(|name| !name.starts_with('('));
    package.requires.extend(plain.cloned());
    let mut facts = identity.facts();
    let size = header.number(tag::LONG_SIZE).or(header.number(tag::SIZE));
    facts["size"] = json!(size.unwrap_or(0));
    facts["vendor"] = json!(header.text(tag::VENDOR));
    facts["modularityLabel"] = json!(header.text(tag::MODULARITY));
    if !provides.is_empty() {
        facts["provides"] = json!(provides);
    }
    if !requires.is_empty() {
        facts["requires"] = json!(requires);
    }
    facts["files"] = Value::Array(files);
    package.describe(&facts);
    Some(())
}

/// Longest licence that is taken, in bytes.
const MAX_TEXT: usize = 10_000;

/// The names of a tag.
fn names(header: &Header<'_>, tag: u32, found: &mut Found) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for name in header.texts(tag).filter(|name| !name.is_empty()) {
        if !found.text(NAME_COST + 4 * name.len()) {
            return None;
        }
        names.push(String::from_utf8_lossy(name).into_owned());
    }
    Some(names)
}

/// A file of a package.
pub(super) struct File<'h> {
    pub(super) path: String,
    mode: u64,
    size: u64,
    digest: &'h [u8],
    algorithm: &'static str,
    user: &'h [u8],
    group: &'h [u8],
    flags: u64,
}

/// The files of a package, in its order.
pub(super) fn files_of<'h>(header: &Header<'h>) -> impl Iterator<Item = File<'h>> + use<'h> {
    let folders: Vec<&[u8]> = header.texts(tag::DIR_NAMES).collect();
    let algorithm = match header.number(tag::DIGEST_ALGORITHM) {
        Some(2) => "sha1",
        Some(8) => "sha256",
        Some(9) => "sha384",
        Some(10) => "sha512",
        Some(11) => "sha224",
        _ => "md5",
    };
    let sizes = match header.has(tag::LONG_FILE_SIZES) {
        true => tag::LONG_FILE_SIZES,
        false => tag::FILE_SIZES,
    };
    let mut folder_of = header.numbers(tag::DIR_INDEXES);
    let mut sizes = header.numbers(sizes);
    let mut modes = header.numbers(tag::FILE_MODES);
    let mut flags = header.numbers(tag::FILE_FLAGS);
    let mut digests = header.texts(tag::FILE_DIGESTS);
    let mut users = header.texts(tag::FILE_USER);
    let mut groups = header.texts(tag::FILE_GROUP);
    let names = header.texts(tag::BASE_NAMES);
    names.filter_map(move |name| {
        let index = folder_of.next();
        let file = File {
            path: String::new(),
            mode: modes.next().unwrap_or(0),
            size: sizes.next().unwrap_or(0),
            digest: digests.next().unwrap_or_default(),
            algorithm,
            user: users.next().unwrap_or_default(),
            group: groups.next().unwrap_or_default(),
            flags: flags.next().unwrap_or(0),
        };
        let folder = folders.get(usize::try_from(index?).ok()?)?;
        // A long folder may have many files.
        if folder.len() + name.len() > MAX_PATH_BYTES {
            return None;
        }
        let path = String::from_utf8_lossy(folder) + String::from_utf8_lossy(name);
        Some(File {
            path: path.into_owned(),
            ..file
        })
    })
}

impl File<'_> {
    pub(super) fn facts(&self) -> Value {
        let text = |bytes| String::from_utf8_lossy(bytes);
        let flags = FLAGS.iter().filter(|(bit, _)| self.flags & bit != 0);
        let flags: String = flags.map(|(_, letter)| letter).collect();
        json!({
            "path": self.path, "mode": self.mode, "size": self.size,
            "digest": {"algorithm": self.algorithm, "value": text(self.digest)},
            "userName": text(self.user), "groupName": text(self.group), "flags": flags,
        })
    }
}
