//! Stores of downloads that outlive a run: `caches:` of a task.
//!
//! They are in no key, so another task may see only what is checked. Every task has
//! folders of its own, in which the tool may do what it likes. What tasks share are
//! single downloads whose digest a lock file among the inputs states: they are copied
//! into the folders before the command, and from there into the cache after it, each
//! checked against that lock file. See adr/0049, "Download caches".

mod locks;

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use locks::{Expected, Place};

use crate::archive::SafePath;
use crate::cas::{Cas, CasError, Flush, Kept, Key};
use crate::disk::{Enclosure, Rights, at};
use crate::ground::inputs::Inputs;
use crate::oci::Digest;
use crate::pipeline::DownloadCache;

/// What is known of a tool's store of downloads.
struct Row {
    name: &'static str,
    /// Its folders in the home of the command. All that is in them is the task's own.
    folders: &'static [&'static str],
    /// The variable that names the store, and where in the home that is.
    variable: Option<(&'static str, &'static str)>,
    /// The downloads in it that tasks share: those that lock files state.
    shared: fn(&Inputs) -> Vec<Expected>,
}

/// A store of which nothing is shared.
const OWN: Row = Row {
    name: "",
    folders: &[],
    variable: None,
    shared: |_| Vec::new(),
};

/// The store of Go, below the home.
const GO: &str = "go/pkg/mod";
/// The store of npm, below the home.
const NPM: &str = ".npm";

/// Every tool's store.
///
/// Cargo checks a crate only while it downloads it, and `registry/src` never: a crate is
/// shared if `Cargo.lock` states its digest, which is checked here; the index is not
/// shared. Go checks a zip against `go.sum` unless a `.ziphash` beside it says that it
/// did, so that is not shared. npm checks content when it reads it. The others check
/// downloads never, or only against a list that they downloaded too.
const ROWS: [Row; 10] = [
    Row {
        name: "cargo",
        folders: &[".cargo/registry", ".cargo/git"],
        variable: Some(("CARGO_HOME", ".cargo")),
        shared: locks::cargo,
    },
    Row {
        name: "go",
        folders: &[GO],
        variable: Some(("GOMODCACHE", GO)),
        shared: locks::go,
    },
    Row {
        name: "npm",
        folders: &[NPM],
        variable: Some(("npm_config_cache", NPM)),
        shared: locks::npm,
    },
    Row {
        name: "pip",
        folders: &[".cache/pip"],
        variable: Some(("PIP_CACHE_DIR", ".cache/pip")),
        ..OWN
    },
    Row {
        name: "uv",
        folders: &[".cache/uv"],
        variable: Some(("UV_CACHE_DIR", ".cache/uv")),
        ..OWN
    },
    Row {
        name: "maven",
        folders: &[".m2/repository"],
        ..OWN
    },
    Row {
        name: "gradle",
        folders: &[".gradle"],
        variable: Some(("GRADLE_USER_HOME", ".gradle")),
        ..OWN
    },
    Row {
        name: "yarn",
        folders: &[".cache/yarn"],
        variable: Some(("YARN_CACHE_FOLDER", ".cache/yarn")),
        ..OWN
    },
    Row {
        name: "pnpm",
        folders: &[".cache/pnpm"],
        variable: Some(("npm_config_store_dir", ".cache/pnpm")),
        ..OWN
    },
    Row {
        name: "nuget",
        folders: &[".nuget/packages"],
        variable: Some(("NUGET_PACKAGES", ".nuget/packages")),
        ..OWN
    },
];

/// A store of downloads that a task uses.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    /// As the pipeline calls it.
    pub name: String,
    /// The kept folder with the task's own part.
    pub kept: String,
    /// Relative to the home of the command.
    pub folders: Vec<String>,
    /// A variable, and the folder in the home that it names.
    pub variable: Option<(String, String)>,
    expected: Vec<Expected>,
}

impl Store {
    /// The store `cache` of the task that `kept` names, which reads `inputs`.
    pub(crate) fn of(cache: &DownloadCache, kept: &str, inputs: &Inputs) -> Self {
        let row = ROWS.iter().find(|row| row.name == cache.name);
        let row = row.unwrap_or(&OWN);
        let owned = |text: &&str| (*text).to_owned();
        Self {
            name: cache.name.clone(),
            kept: kept.to_owned(),
            folders: match &cache.path {
                Some(path) => vec![path.clone()],
                None => row.folders.iter().map(owned).collect(),
            },
            // At another path, the tool is told of it by the task.
            variable: match (&cache.path, row.variable) {
                (None, Some((name, path))) => Some((name.to_owned(), path.to_owned())),
                _ => None,
            },
            expected: match &cache.path {
                None => (row.shared)(inputs),
                Some(_) => Vec::new(),
            },
        }
    }
}

/// The folder of a kept folder that the command sees parts of.
const FILES: &str = "files";

/// The form of a store's folder: another value empties all of them.
const FORM: &str = "downloads 2";

/// A store that a command uses now.
pub(crate) struct Open {
    kept: Kept,
    store: Store,
}

impl Open {
    /// Opens a store and fills it with what other tasks downloaded. `None`: another
    /// process uses the task's part, so the command starts with an empty one.
    pub(crate) fn new(cas: &Cas, store: Store) -> Result<Option<Self>, CasError> {
        // At another path, what a command left would be on the way to the new one.
        let identity = format!("{FORM}\0{}", store.folders.join("\0"));
        let Some(kept) = cas.kept(&store.kept, &identity)? else {
            return Ok(None);
        };
        let files = kept.path().join(FILES);
        fs::create_dir_all(&files).map_err(at(&files))?;
        let enclosure = Enclosure::open(&files).map_err(at(&files))?;
        for folder in &store.folders {
            let path = files.join(folder);
            let made = safe(folder).and_then(|folder| enclosure.replace_with_folder(&folder));
            made.map_err(at(&path))?;
        }
        let open = Self { kept, store };
        for expected in &open.store.expected {
            // What cannot be brought is downloaded.
            let _ = open.bring(cas, &enclosure, expected);
        }
        Ok(Some(open))
    }

    /// Each folder on this machine, and where it is in the home.
    pub(crate) fn folders(&self) -> impl Iterator<Item = (PathBuf, &str)> {
        let files = self.kept.path().join(FILES);
        let folders = self.store.folders.iter();
        folders.map(move |folder| (files.join(folder), folder.as_str()))
    }

    fn bring(&self, cas: &Cas, files: &Enclosure, expected: &Expected) -> io::Result<()> {
        let Some(path) = self.path(cas, expected) else {
            return Ok(());
        };
        if files.kind(&path).is_ok() {
            return Ok(());
        }
        let Some(digest) = known(cas, &expected.name) else {
            return Ok(());
        };
        let mut blob = cas.open_blob(&digest)?;
        let mut file = files.file(&path, Rights::Plain)?;
        io::copy(&mut blob, &mut file)
            .map(drop)
            .inspect_err(|_| drop(files.remove(&path)))
    }

    /// Where a download is in the files.
    fn path(&self, cas: &Cas, expected: &Expected) -> Option<SafePath> {
        let path = match &expected.place {
            Place::At(path) => path.clone(),
            Place::InRegistry { source, file } => {
                let folder = cas.result(&registry_key(source)).ok()??;
                let folder = String::from_utf8(folder).ok()?;
                format!("{CRATES}/{folder}/{file}")
            }
        };
        SafePath::parse(&path).ok()
    }

    /// Shares what is new and is what a lock file states, and keeps the folder.
    pub(crate) fn settle(self, cas: &Cas) -> Result<(), CasError> {
        let files = self.kept.path().join(FILES);
        if let Ok(enclosure) = Enclosure::open(&files) {
            for expected in &self.store.expected {
                // What is not shared is downloaded again.
                let _ = self.share(cas, &enclosure, expected);
            }
        }
        self.kept.keep()
    }

    fn share(&self, cas: &Cas, files: &Enclosure, expected: &Expected) -> io::Result<()> {
        if known(cas, &expected.name).is_some() {
            return Ok(());
        }
        let candidates: Vec<(String, Option<String>)> = match &expected.place {
            Place::At(path) => vec![(path.clone(), None)],
            Place::InRegistry { file, .. } => {
                let names = files.inside(&safe(CRATES)?)?.names()?.into_iter();
                let names = names.filter_map(|name| name.into_string().ok());
                names
                    .map(|name| (format!("{CRATES}/{name}/{file}"), Some(name)))
                    .collect()
            }
        };
        for (path, folder) in candidates {
            let Ok(path) = SafePath::parse(&path) else {
                continue;
            };
            let Ok(file) = files.read(&path) else {
                continue;
            };
            let mut ingest = cas.ingest()?;
            io::copy(&mut file.take(MAX_BYTES), &mut ingest)?;
            let (digest, size) = ingest.commit()?;
            // The blob, which no command can change any more, is what is checked.
            if !expected.is(&cas.path_of(&digest))? {
                continue;
            }
            let value = format!("{} {size}", digest.hex());
            cas.put_result(
                &key(&expected.name),
                value.as_bytes(),
                &[(digest, size)],
                Flush::Now,
            )?;
            if let (Place::InRegistry { source, .. }, Some(folder)) = (&expected.place, folder) {
                cas.replace_result(&registry_key(source), folder.as_bytes(), &[], Flush::Now)?;
            }
            return Ok(());
        }
        Ok(())
    }
}

/// Where Cargo keeps crates, below a folder for each registry.
const CRATES: &str = ".cargo/registry/cache";

/// Maximum size of a shared download, in bytes: 2 GiB.
const MAX_BYTES: u64 = 2 << 30;

fn key(name: &str) -> Key {
    Key(*blake3::hash(format!("download\0{name}").as_bytes()).as_bytes())
}

/// Under which the name of Cargo's folder for a registry is stored.
fn registry_key(source: &str) -> Key {
    Key(*blake3::hash(format!("registry folder\0{source}").as_bytes()).as_bytes())
}

/// The blob of a shared download.
fn known(cas: &Cas, name: &str) -> Option<Digest> {
    let value = String::from_utf8(cas.result(&key(name)).ok()??).ok()?;
    let (hex, size) = value.split_once(' ')?;
    let digest = Digest::from_hex(hex).ok()?;
    let held = cas.contains(&digest, size.parse().ok()?);
    held.is_ok_and(|held| held).then_some(digest)
}

/// Makes places for the folders of `open` in `home`, which may have been kept: folders to
/// mount on, or links for commands that have no root of their own.
pub(crate) fn place(open: &Open, home: &Path, linked: bool) -> Result<(), CasError> {
    let inside = Enclosure::open(home).map_err(at(home))?;
    for (folder, below) in open.folders() {
        let make = || {
            let to = safe(below)?;
            if !linked {
                return inside.replace_with_folder(&to);
            }
            if let Some((above, _)) = below.rsplit_once('/') {
                inside.replace_with_folder(&safe(above)?)?;
            }
            inside.remove_all(&to)?;
            inside.link(&to, folder.as_os_str().as_bytes())
        };
        make().map_err(at(&home.join(below)))?;
    }
    Ok(())
}

fn safe(path: &str) -> io::Result<SafePath> {
    SafePath::parse(path).map_err(io::Error::other)
}

/// Two stores whose folders lie in one another.
#[derive(Debug, thiserror::Error)]
#[error(
    "the caches `{}` at `~/{}` and `{}` at `~/{}` lie in one another: give each its own `path`",
    .0[0].0, .0[0].1, .0[1].0, .0[1].1
)]
pub(crate) struct Nested([(String, String); 2]);

/// Checks that no store is in another one: what is in one could be a link that leads
/// the other one elsewhere.
pub(crate) fn check(stores: &[Store]) -> Result<(), Nested> {
    let all = stores.iter().enumerate();
    let all = all.flat_map(|(at, store)| store.folders.iter().map(move |folder| (at, folder)));
    let all: Vec<(usize, &String)> = all.collect();
    for (at, outer) in &all {
        for (other, inner) in &all {
            if at != other && Path::new(inner).starts_with(outer) {
                let named = |at: usize, folder: &str| (stores[at].name.clone(), folder.to_owned());
                return Err(Nested([named(*at, outer), named(*other, inner)]));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::CACHES;

    #[test]
    fn every_name_that_a_pipeline_may_use_has_a_row_here_and_in_the_guide() {
        assert_eq!(ROWS.map(|row| row.name), CACHES);
        let guide = include_str!("../../../docs/guide/pipelines.md");
        let (_, guide) = guide.split_once("## Caches of downloads").unwrap();
        for name in CACHES {
            assert!(guide.contains(&format!("`{name}`")), "{name}");
        }
    }

    fn store(expected: Vec<Expected>) -> Store {
        Store {
            name: "cargo".into(),
            kept: "a".into(),
            folders: vec![".cargo/registry".into()],
            variable: None,
            expected,
        }
    }

    #[test]
    fn only_a_download_with_the_stated_digest_is_shared() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path()).unwrap();
        let expected = Expected {
            name: format!("sha256-{}", Digest::of(b"good").hex()),
            place: Place::InRegistry {
                source: "registry+https://r".into(),
                file: "c-1.0.0.crate".into(),
            },
            check: locks::Check::Sha256(Digest::of(b"good")),
        };
        let run = |name: &str, found: Option<&str>, left: Option<&str>| {
            let mut store = store(vec![expected.clone()]);
            name.clone_into(&mut store.kept);
            let open = Open::new(&cas, store).unwrap().unwrap();
            let (folder, _) = open.folders().next().unwrap();
            let file = folder.join("cache/r-1/c-1.0.0.crate");
            assert_eq!(fs::read_to_string(&file).ok().as_deref(), found, "{name}");
            if let Some(left) = left {
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(&file, left).unwrap();
            }
            open.settle(&cas).unwrap();
        };
        run("evil", None, Some("evil"));
        run("first", None, Some("good"));
        run("second", Some("good"), Some("evil"));
        // The task itself sees what it left, others do not.
        run("second", Some("evil"), None);
        run("third", Some("good"), None);
    }

    #[test]
    fn a_store_at_another_path_does_not_follow_what_was_left() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path().join("cas")).unwrap();
        let victim = dir.path().join("victim");
        fs::create_dir(&victim).unwrap();
        let at = |path: &str| {
            let mut store = store(Vec::new());
            store.folders = vec![path.to_owned()];
            Open::new(&cas, store).unwrap().unwrap()
        };
        let first = at("a");
        let (folder, _) = first.folders().next().unwrap();
        std::os::unix::fs::symlink(&victim, folder.join("b")).unwrap();
        first.settle(&cas).unwrap();
        let second = at("a/b/c");
        let (folder, _) = second.folders().next().unwrap();
        assert_eq!(fs::canonicalize(&folder).unwrap(), folder);
        assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
    }

    #[test]
    fn no_place_is_made_through_a_link_in_the_home() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path().join("cas")).unwrap();
        let (home, victim) = (dir.path().join("home"), dir.path().join("victim"));
        fs::create_dir_all(victim.join("registry")).unwrap();
        let open = Open::new(&cas, store(Vec::new())).unwrap().unwrap();
        for linked in [true, false] {
            fs::create_dir(&home).unwrap();
            std::os::unix::fs::symlink(&victim, home.join(".cargo")).unwrap();
            place(&open, &home, linked).unwrap();
            let made = fs::symlink_metadata(home.join(".cargo/registry")).unwrap();
            assert_eq!(made.is_symlink(), linked);
            let kept = fs::symlink_metadata(victim.join("registry")).unwrap();
            assert!(kept.is_dir());
            fs::remove_dir_all(&home).unwrap();
        }
    }

    #[test]
    fn stores_that_lie_in_one_another_are_refused() {
        let mut other = store(Vec::new());
        other.name = "own".into();
        for (path, nested) in [
            (".cargo", true),
            (".cargo/registry", true),
            (".cargo/registry/x", true),
            (".cargo/registry-x", false),
        ] {
            other.folders = vec![path.to_owned()];
            let found = check(&[store(Vec::new()), other.clone()]);
            assert_eq!(found.is_err(), nested, "{path}");
            let Err(error) = found else { continue };
            let error = error.to_string();
            assert!(
                error.contains("`cargo`") && error.contains("`own`"),
                "{error}"
            );
        }
    }

    #[test]
    fn nothing_is_brought_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path().join("cas")).unwrap();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        let expected = |place: &str| Expected {
            name: format!("sha256-{}", Digest::of(b"good").hex()),
            place: Place::At(place.to_owned()),
            check: locks::Check::Sha256(Digest::of(b"good")),
        };
        let open = |store| Open::new(&cas, store).unwrap().unwrap();
        let first = open(store(vec![expected(".cargo/registry/f")]));
        let (folder, _) = first.folders().next().unwrap();
        fs::write(folder.join("f"), "good").unwrap();
        std::os::unix::fs::symlink(&outside, folder.join("l")).unwrap();
        first.settle(&cas).unwrap();
        let second = open(store(vec![expected(".cargo/registry/l/g")]));
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        second.settle(&cas).unwrap();
    }
}
