//! Lists a source of a package completely: files that a definition names literally are
//! not subject to `.gitignore`.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{Entry, WalkError};
use crate::archive::{MAX_DEPTH, stays_inside};
use crate::disk::{self, look};

/// Lists `path` below `root`, then everything in it, parents first and names
/// sorted bytewise. Symbolic links are listed, never followed.
///
/// # Errors
///
/// [`WalkError`]: something cannot be read, is not a file, folder or link, or has a name
/// that is not UTF-8.
pub fn list(root: &Path, path: &str) -> Result<Vec<Entry>, WalkError> {
    let rules = Rules {
        links: Links::Kept,
        bound: root,
        made: &|_| false,
        cache: None,
        output: None,
        written: &|_, _| false,
    };
    list_by(root, path, &rules)
}

/// Which links are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// None: each is an entry.
    Kept,
    /// The listed path itself; those below it are entries.
    Named,
    /// As a package needs it: the listed path itself, and those below that lead out of
    /// it. One that stays in it is an entry; what it names is listed as well.
    Packed,
}

/// What a listing does with links, and what it leaves out.
pub struct Rules<'r> {
    /// Which links are followed.
    pub links: Links,
    /// Canonical; a followed link leads to what is in it, or is refused.
    pub bound: &'r Path,
    /// Whether tasks write to the place, which no link may lead to.
    pub made: &'r dyn Fn(&Path) -> bool,
    /// A folder that is left out, as the program keeps its own files there.
    pub cache: Option<Identity>,
    /// A folder in which `written` names files that are left out.
    pub output: Option<Identity>,
    /// Whether the program wrote a file of this name: into the output folder, or
    /// elsewhere.
    pub written: &'r dyn Fn(&str, Written) -> bool,
}

/// The place of a file that the program may have written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// In the folder that archives are written to now.
    Here,
    /// In any other folder.
    Elsewhere,
}

/// The identity of a folder, whatever its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// The identity of the folder at `path`, if there is one.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        look::metadata(path).ok().map(|found| Self::from(&found))
    }
}

impl From<&fs::Metadata> for Identity {
    fn from(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// Lists `path` below `root` and everything in it, as [`list`] does, by `rules`.
///
/// A folder that holds nothing but what is left out is left out too, so that the
/// first archive written into a listed folder changes nothing.
///
/// # Errors
///
/// As [`list`]; and a link leads out of the bound, to nothing, or to a folder that
/// contains it.
pub fn list_by(root: &Path, path: &str, rules: &Rules<'_>) -> Result<Vec<Entry>, WalkError> {
    let mut listing = Listing {
        root,
        top: path,
        rules,
        entries: Vec::new(),
        above: Vec::new(),
    };
    listing.visit(path)?;
    Ok(listing.entries)
}

struct Listing<'l> {
    root: &'l Path,
    top: &'l str,
    rules: &'l Rules<'l>,
    entries: Vec<Entry>,
    /// The folders that lead to what is listed.
    above: Vec<Identity>,
}

impl Listing<'_> {
    /// Lists what is at `path`; `false`: it is left out.
    fn visit(&mut self, path: &str) -> Result<bool, WalkError> {
        let full = self.root.join(path);
        let io = disk::at(&full);
        let found = look::symlink_metadata(&full).map_err(io)?;
        let metadata = match found.is_symlink() && self.follows(path, &full)? {
            true => self.behind(&full)?,
            false => found,
        };
        let at = self.entries.len();
        self.entries.push(Entry::of(path, &full, &metadata)?);
        if !metadata.is_dir() {
            return Ok(true);
        }
        let own = Identity::from(&metadata);
        if self.above.contains(&own) {
            return Err(WalkError::LinkCycle(full));
        }
        if self.above.len() >= MAX_DEPTH {
            let error = std::io::Error::other("folders are nested deeper than 255 levels");
            return Err(io(error).into());
        }
        let top = self.above.is_empty();
        if !top && self.rules.cache == Some(own) {
            self.entries.truncate(at);
            return Ok(false);
        }
        self.above.push(own);
        let here = match self.rules.output == Some(own) {
            true => Written::Here,
            false => Written::Elsewhere,
        };
        let (mut kept, mut left_out) = (0, usize::from(here == Written::Here));
        for name in names(&full)? {
            let hidden = (self.rules.written)(&name, here);
            match !hidden && self.visit_listed(&format!("{path}/{name}"))? {
                true => kept += 1,
                false => left_out += 1,
            }
        }
        self.above.pop();
        if !top && kept == 0 && left_out > 0 {
            self.entries.truncate(at);
            return Ok(false);
        }
        Ok(true)
    }

    /// The same for a name that was there a moment ago: if it is gone, it is as if it had
    /// not been there.
    fn visit_listed(&mut self, path: &str) -> Result<bool, WalkError> {
        let (entries, above) = (self.entries.len(), self.above.len());
        match self.visit(path) {
            Err(WalkError::Io { path: gone, source })
                if source.kind() == std::io::ErrorKind::NotFound
                    && gone == self.root.join(path) =>
            {
                self.entries.truncate(entries);
                self.above.truncate(above);
                Ok(false)
            }
            visited => visited,
        }
    }

    /// Whether the link at `path` is followed.
    fn follows(&self, path: &str, full: &Path) -> Result<bool, WalkError> {
        if self.above.is_empty() || self.rules.links != Links::Packed {
            return Ok(self.above.is_empty() && self.rules.links != Links::Kept);
        }
        let target = look::read_link(full).map_err(disk::at(full))?;
        let below = path[self.top.len()..].trim_start_matches('/');
        let stays = target
            .to_str()
            .is_some_and(|target| stays_inside(below, target));
        // Where it stays inside, it must still lead to something.
        match stays && !look::exists(full) {
            true => Err(WalkError::Dangling {
                link: full.to_owned(),
                target,
            }),
            false => Ok(!stays),
        }
    }

    /// What the link at `full` leads to.
    fn behind(&self, full: &Path) -> Result<fs::Metadata, WalkError> {
        let target = || look::read_link(full).unwrap_or_default();
        let real = look::canonicalize(full).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => WalkError::Dangling {
                link: full.to_owned(),
                target: target(),
            },
            _ => disk::at(full)(source).into(),
        })?;
        if !real.starts_with(self.rules.bound) {
            return Err(WalkError::LeadsOut {
                link: full.to_owned(),
                target: target(),
                bound: self.rules.bound.to_owned(),
            });
        }
        if (self.rules.made)(&real) {
            return Err(WalkError::Made {
                link: full.to_owned(),
                real,
            });
        }
        Ok(look::metadata(&real).map_err(disk::at(&real))?)
    }
}

/// The names in a folder, sorted bytewise.
fn names(folder: &Path) -> Result<Vec<String>, WalkError> {
    let io = disk::at(folder);
    let mut names = Vec::new();
    for found in look::read_dir(folder).map_err(io)? {
        let name = found.map_err(io)?.file_name();
        let name = name
            .into_string()
            .map_err(|name| WalkError::NotUtf8(folder.join(name)))?;
        names.push(name);
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Kind;

    #[test]
    fn a_folder_is_listed_whole_even_where_git_ignores_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("t/.git/empty")).unwrap();
        fs::write(dir.path().join("t/a.log"), "a").unwrap();
        fs::write(dir.path().join("t/.gitignore"), "*.log\n").unwrap();
        let entries = list(dir.path(), "t").unwrap();
        let paths: Vec<_> = entries.iter().map(|e| e.path.as_str()).collect();
        assert_eq!(
            paths,
            ["t", "t/.git", "t/.git/empty", "t/.gitignore", "t/a.log"]
        );
    }

    #[test]
    fn a_missing_source_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let error = list(dir.path(), "absent").unwrap_err().to_string();
        assert!(error.contains("absent"), "{error}");
    }

    fn by(root: &Path, path: &str, links: Links, bound: &Path) -> Result<Vec<String>, WalkError> {
        let rules = Rules {
            links,
            bound: &fs::canonicalize(bound).unwrap(),
            made: &|_| false,
            cache: Identity::of(&root.join("t/cache")),
            output: Identity::of(&root.join("t/out/dist")),
            written: &|name, place| name.ends_with(".zst") && place == Written::Here,
        };
        let shown = |entry: Entry| match entry.kind {
            Kind::Link { target } => format!("{} -> {target}", entry.path),
            Kind::Directory => format!("{}/", entry.path),
            Kind::File { .. } => entry.path,
        };
        Ok(list_by(root, path, &rules)?
            .into_iter()
            .map(shown)
            .collect())
    }

    #[test]
    fn links_that_lead_out_are_followed_within_the_bound_and_no_further() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("t/real")).unwrap();
        fs::create_dir_all(root.join("beside")).unwrap();
        fs::write(root.join("t/real/f"), "f").unwrap();
        fs::write(root.join("beside/g"), "g").unwrap();
        symlink("../beside", root.join("t/folder")).unwrap();
        symlink("real/f", root.join("t/file")).unwrap();
        symlink("t", root.join("top")).unwrap();
        symlink("../file", root.join("t/real/back")).unwrap();
        let packed = [
            "t/",
            "t/file -> real/f",
            "t/folder/",
            "t/folder/g",
            "t/real/",
            "t/real/back -> ../file",
            "t/real/f",
        ];
        assert_eq!(by(root, "t", Links::Packed, root).unwrap(), packed);
        fs::remove_file(root.join("t/real/back")).unwrap();
        let kept = [
            "top/",
            "top/file -> real/f",
            "top/folder -> ../beside",
            "top/real/",
            "top/real/f",
        ];
        assert_eq!(by(root, "top", Links::Named, root).unwrap(), kept);
        let error = by(root, "t", Links::Packed, &root.join("t")).unwrap_err();
        assert!(matches!(error, WalkError::LeadsOut { .. }), "{error}");
        fs::remove_file(root.join("t/folder")).unwrap();
        symlink("gone", root.join("t/nothing")).unwrap();
        let error = by(root, "t", Links::Packed, root).unwrap_err();
        assert!(matches!(error, WalkError::Dangling { .. }), "{error}");
        fs::remove_file(root.join("t/nothing")).unwrap();
        symlink("../..", root.join("t/real/up")).unwrap();
        let error = by(root, "t", Links::Packed, root).unwrap_err();
        assert!(matches!(error, WalkError::LinkCycle(_)), "{error}");
    }

    #[test]
    fn what_the_program_wrote_is_left_out_with_the_folders_made_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("t/empty")).unwrap();
        fs::write(root.join("t/a.zst"), "").unwrap();
        let before = by(root, "t", Links::Packed, root).unwrap();
        assert_eq!(before, ["t/", "t/a.zst", "t/empty/"]);
        fs::create_dir_all(root.join("t/out/dist")).unwrap();
        fs::create_dir_all(root.join("t/cache/v1")).unwrap();
        assert_eq!(by(root, "t", Links::Packed, root).unwrap(), before);
        fs::write(root.join("t/out/dist/b.zst"), "").unwrap();
        assert_eq!(by(root, "t", Links::Packed, root).unwrap(), before);
        fs::write(root.join("t/out/dist/site.html"), "").unwrap();
        let with_site = by(root, "t", Links::Packed, root).unwrap();
        assert_eq!(
            with_site[3..],
            ["t/out/", "t/out/dist/", "t/out/dist/site.html"]
        );
        // What is named itself is listed, whatever it is.
        assert_eq!(
            by(root, "t/out/dist/b.zst", Links::Packed, root)
                .unwrap()
                .len(),
            1
        );
        assert_eq!(by(root, "t/cache", Links::Packed, root).unwrap().len(), 2);
    }
}
