//! The root that a command sees, as a plan.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};

use super::overlay::Overlay;
use crate::ground::confine::{Confinement, DEVICES, SYSTEM, settings};
use crate::workspace::Stat;

/// Where the workspace of a command is.
pub(crate) const WORK: &str = "/jackal/work";
pub(crate) const HOME: &str = "/jackal/home";
/// The folder for its temporary files.
pub(crate) const TEMPORARY: &str = "/tmp";
/// Where files that only one command sees are.
pub(crate) const PRIVATE: &str = "/jackal/secrets";

/// Maximum size of a file of `/etc` that is copied instead of mounted, in bytes: 16 KiB.
/// A mount costs more than the copy of a small file, and less than that of a large one.
const MAX_COPIED: u64 = 16 << 10;

/// The user and group of every command.
pub(super) const USER: u32 = 1000;
/// The name of the machine that a command sees.
pub(super) const HOST: &str = "jackal";

/// Files of `/etc` that are not those of this machine, and the same for everybody.
fn own() -> [(&'static str, String); 4] {
    let passwd = format!(
        "root:x:0:0:root:/root:/bin/sh\n\
         build:x:{USER}:{USER}:build:{HOME}:/bin/sh\n\
         nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
    );
    let group = format!("root:x:0:\nbuild:x:{USER}:\nnogroup:x:65534:\n");
    [
        ("/etc/passwd", passwd),
        ("/etc/group", group),
        (
            "/etc/hosts",
            format!("127.0.0.1 localhost {HOST}\n::1 localhost\n"),
        ),
        ("/etc/hostname", format!("{HOST}\n")),
    ]
}

/// Packages have many small files here, and few elsewhere.
const ETC: &str = "/etc";

/// Settings of the machine's network, for commands that use it.
const NETWORK: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// A root to make.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Root {
    /// The working directory, in the root.
    pub cwd: PathBuf,
    /// An empty folder, on which the shared part is made.
    #[serde(skip)]
    pub at: PathBuf,
    /// What many commands see alike. It is made once and not sent with each command.
    #[serde(skip)]
    pub shared: Shared,
    /// Folders that the command may change.
    pub mounts: Vec<Mount>,
    pub overlays: Vec<Overlay>,
    /// Files that only this command sees: path, and content.
    pub private: Vec<(PathBuf, String)>,
}

/// The part of a root that no command can change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shared {
    #[serde(with = "counted")]
    base: Arc<Base>,
    /// A folder of this machine, in which is all that commands get for themselves.
    pub store: PathBuf,
    /// Where commands have folders of their own.
    pub folders: BTreeSet<PathBuf>,
    /// Further symbolic links, which hide files: target, and path.
    pub links: Vec<(PathBuf, PathBuf)>,
}

/// What commands with the same tools see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Base {
    /// Whether commands use the network of this machine.
    network: bool,
    mounts: Vec<Mount>,
    /// Symbolic links: target, and path.
    links: Vec<(PathBuf, PathBuf)>,
    /// Files: path, and content.
    files: Vec<(PathBuf, String)>,
    /// Equal ones have the same, and others another.
    #[serde(skip)]
    digest: [u8; 32],
}

/// One value for many roots, written as what it is.
mod counted {
    use std::sync::Arc;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use super::Base;

    pub(super) fn serialize<S: Serializer>(base: &Arc<Base>, to: S) -> Result<S::Ok, S::Error> {
        base.as_ref().serialize(to)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Arc<Base>, D::Error> {
        Base::deserialize(from).map(Arc::new)
    }
}

/// A file or folder of this machine, with all that is mounted below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mount {
    pub from: PathBuf,
    pub to: PathBuf,
}

impl Root {
    /// The root with the system, and the declared files of `confinement` at their own
    /// paths, made on the empty folder `at`. The caller adds the folders of the command,
    /// which are all in `store`.
    pub(crate) fn new(
        at: PathBuf,
        store: PathBuf,
        confinement: &Confinement,
        network: bool,
    ) -> Self {
        Self {
            at,
            shared: Shared {
                base: Base::with(&confinement.readable, network),
                store,
                ..Shared::default()
            },
            ..Self::default()
        }
    }

    /// The root of a trial: empty, and made on a folder that every machine has.
    pub(in crate::ground) fn trial() -> Self {
        Self {
            at: "/tmp".into(),
            cwd: "/".into(),
            shared: Shared {
                store: "/tmp".into(),
                ..Shared::default()
            },
            ..Self::default()
        }
    }

    /// Adds a folder that the command may change.
    pub(crate) fn writable(&mut self, from: PathBuf, to: impl Into<PathBuf>) {
        let to = to.into();
        if !self.mounts.iter().any(|mount| to.starts_with(&mount.to)) {
            self.shared.folders.insert(to.clone());
        }
        self.mounts.push(Mount { from, to });
    }

    /// Adds folders that the command sees as one.
    pub(crate) fn overlay(&mut self, overlay: Overlay) {
        self.shared.folders.insert(overlay.to.clone());
        self.overlays.push(overlay);
    }

    /// Adds a file in [`PRIVATE`].
    pub(crate) fn private(&mut self, path: PathBuf, text: String) {
        self.shared.folders.insert(PRIVATE.into());
        self.private.push((path, text));
    }
}

impl Shared {
    /// Equal ones have the same, and others another.
    pub(in crate::ground) fn digest(&self) -> [u8; 32] {
        let Self {
            base,
            store,
            folders,
            links,
        } = self;
        let links = links.iter().flat_map(|(target, path)| [target, path]);
        let mut hasher = blake3::Hasher::new();
        hasher.update(&base.digest);
        hasher.update(&folders.len().to_le_bytes());
        for path in std::iter::once(store).chain(folders).chain(links) {
            put(&mut hasher, path.as_os_str().as_bytes());
        }
        *hasher.finalize().as_bytes()
    }

    /// Whether commands use the network of this machine.
    pub(super) fn network(&self) -> bool {
        self.base.network
    }

    pub(super) fn mounts(&self) -> &[Mount] {
        &self.base.mounts
    }

    /// Symbolic links: target, and path.
    pub(super) fn links(&self) -> impl Iterator<Item = &(PathBuf, PathBuf)> {
        self.base.links.iter().chain(&self.links)
    }

    /// Files: path, and content.
    pub(super) fn files(&self) -> impl Iterator<Item = &(PathBuf, String)> {
        let hidden = |path: &Path| self.links.iter().any(|(_, link)| link == path);
        let files = self.base.files.iter();
        files.filter(move |(path, _)| !hidden(path))
    }
}

/// Adds `bytes` with their length.
fn put(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&bytes.len().to_le_bytes());
    hasher.update(bytes);
}

/// What a base was made of: files and folders beside the system, each with what was there,
/// and of those that are copied, the metadata; and whether there is a network.
type Made = (Vec<(PathBuf, Option<There>)>, bool);

/// Device and inode of what was at a path. A mount shows that, even if something else is
/// there later.
#[derive(Clone, Debug, PartialEq, Eq)]
struct There {
    device: u64,
    inode: u64,
    copied: Option<Stat>,
}

/// Maximum number of bases that are kept: a pipeline has few sets of tools.
const MAX_BASES: usize = 64;

/// The digest of a base that was made of `made`.
fn with_places(digest: [u8; 32], made: &Made) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&digest);
    for (_, there) in &made.0 {
        let (device, inode) = there.as_ref().map_or((0, 0), |at| (at.device, at.inode));
        hasher.update(&device.to_le_bytes());
        hasher.update(&inode.to_le_bytes());
    }
    *hasher.finalize().as_bytes()
}

impl Base {
    /// The system with `readable`, made once.
    fn with(readable: &[PathBuf], network: bool) -> Arc<Self> {
        static KNOWN: Mutex<Vec<(Made, Arc<Base>)>> = Mutex::new(Vec::new());
        let of = |path: &PathBuf| {
            let facts = fs::metadata(path).ok();
            let there = facts.map(|facts| There {
                device: facts.dev(),
                inode: facts.ino(),
                copied: path.starts_with(ETC).then(|| Stat::of(&facts)),
            });
            (path.clone(), there)
        };
        let made: Made = (readable.iter().map(of).collect(), network);
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, base)) = known.iter().find(|(of, _)| *of == made) {
            return Arc::clone(base);
        }
        let mut base = Self::new(readable, network);
        base.digest = with_places(base.digest, &made);
        let base = Arc::new(base);
        if known.len() == MAX_BASES {
            known.clear();
        }
        known.push((made, Arc::clone(&base)));
        base
    }

    fn new(readable: &[PathBuf], network: bool) -> Self {
        let mut base = system().clone();
        base.network = network;
        let own = own().into_iter();
        let own = own.filter(|(path, _)| !network || !NETWORK.contains(path));
        base.files
            .extend(own.map(|(path, text)| (PathBuf::from(path), text)));
        if network {
            for path in NETWORK {
                base.copy_or_add(Path::new(path));
            }
        }
        for path in readable {
            match path.starts_with(ETC) {
                true => base.copy_or_add(path),
                false => base.add(path),
            }
        }
        base.digest = base.digested();
        base
    }

    fn digested(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[u8::from(self.network)]);
        for count in [self.mounts.len(), self.links.len(), self.files.len()] {
            hasher.update(&count.to_le_bytes());
        }
        let mounts = self
            .mounts
            .iter()
            .flat_map(|mount| [&mount.from, &mount.to]);
        let links = self.links.iter().flat_map(|(target, path)| [target, path]);
        for path in mounts.chain(links) {
            put(&mut hasher, path.as_os_str().as_bytes());
        }
        for (path, text) in &self.files {
            put(&mut hasher, path.as_os_str().as_bytes());
            put(&mut hasher, text.as_bytes());
        }
        *hasher.finalize().as_bytes()
    }

    /// Whether the root has `path` already. Its links, such as `/bin`, lead to what is
    /// mounted.
    fn has(&self, path: &Path) -> bool {
        let mut mounts = self.mounts.iter();
        let mut links = self.links.iter();
        mounts.any(|mount| path.starts_with(&mount.to))
            || links.any(|(_, at)| path.starts_with(at))
            || self.files.iter().any(|(at, _)| at == path)
    }

    /// Adds a file or folder at its own path; a link becomes what it leads to.
    fn add(&mut self, path: &Path) {
        if self.has(path) || !path.exists() {
            return;
        }
        self.mounts.push(Mount {
            from: path.to_owned(),
            to: path.to_owned(),
        });
    }

    /// Adds a file: a small text with the content that it has now.
    fn copy_or_add(&mut self, path: &Path) {
        if self.has(path) {
            return;
        }
        let small = |facts: fs::Metadata| facts.is_file() && facts.len() <= MAX_COPIED;
        match fs::metadata(path)
            .is_ok_and(small)
            .then(|| fs::read_to_string(path))
        {
            Some(Ok(text)) => self.files.push((path.to_owned(), text)),
            _ => self.add(path),
        }
    }

    /// Adds what is at `path` as it is: a link stays one.
    fn mirror(&mut self, path: &Path) -> io::Result<()> {
        let facts = fs::symlink_metadata(path)?;
        if facts.is_symlink() {
            self.links.push((fs::read_link(path)?, path.to_owned()));
        } else {
            self.copy_or_add(path);
        }
        Ok(())
    }
}

/// What every root has; listed once.
fn system() -> &'static Base {
    static FOUND: OnceLock<Base> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mut root = Base::default();
        let own = own();
        for path in SYSTEM.map(Path::new) {
            // What is absent on this machine is absent in the root.
            let _ = root.mirror(path);
        }
        let replaced = |path: &Path| {
            let own = own.iter().map(|(own, _)| *own);
            own.chain(NETWORK).any(|own| path == Path::new(own))
        };
        for path in settings() {
            if !replaced(path) {
                let _ = root.mirror(path);
            }
        }
        for path in DEVICES.map(PathBuf::from) {
            if path.exists() {
                // What is written to a device changes no file, and the modes of the
                // machine's own are not for a command to change.
                root.mounts.push(Mount {
                    from: path.clone(),
                    to: path,
                });
            }
        }
        root
    })
}
