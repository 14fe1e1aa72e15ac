//! The sources of a definition on the disk: listed, and never outside of the
//! repository that the definition is in.
//!
//! The repository is the Git root or the workspace, whichever is higher; without
//! either, the definition's own folder. Files of a skeleton, which is not trusted,
//! must be in the skeleton's folder.

use std::io;
use std::path::{Component as Part, Path, PathBuf};

use super::folders::{Folders, Found, lexical};
use crate::disk::{self, TEMPORARY_PREFIX, look};
use crate::package::is_archive_name;
use crate::workspace::{self, Entry, Identity, Links, Rules, WalkError, Written};

/// Marks the root of a workspace.
pub(crate) const WORKSPACE_FILE: &str = "jackal-workspace.yaml";

/// Why a source cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum LocalSourceError {
    /// A source is absolute, or leads out of a folder that it may not leave.
    #[error("`{0}` points outside its folder: use a path in the folder")]
    Outside(String),
    /// A source leads out of the repository.
    #[error(
        "`{path}` leads out of `{bound}`: copy what it names into that folder, or put a \
         {WORKSPACE_FILE} into a folder above both"
    )]
    LeadsOut { path: String, bound: PathBuf },
    /// Nothing is there.
    #[error("`{0}` does not exist: create it, or correct the path in the definition")]
    Absent(String),
    #[error("cannot read `{path}`")]
    Io {
        /// The file or folder.
        path: PathBuf,
        source: io::Error,
    },
    /// An entry that cannot be packed.
    #[error(transparent)]
    Walk(WalkError),
}

disk::from_disk_error!(LocalSourceError);

impl From<WalkError> for LocalSourceError {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::Io { path, source } => Self::Io { path, source },
            other => Self::Walk(other),
        }
    }
}

/// Folders with files that jackal itself writes, which must not be packed by
/// accident.
#[derive(Clone, Debug, Default)]
pub struct OwnFiles {
    pub cache: PathBuf,
    pub output: PathBuf,
}

/// The root of the workspace of `folder`: the nearest folder with a workspace file, else
/// the root of the Git repository, if there is one.
#[must_use]
pub(crate) fn workspace_root(folder: &Path) -> Option<&Path> {
    let marked = |name: &str| {
        folder
            .ancestors()
            .find(|folder| look::exists(&folder.join(name)))
    };
    marked(WORKSPACE_FILE).or_else(|| marked(".git"))
}

/// What the sources of a definition in `root` may not leave; canonical.
///
/// # Errors
///
/// [`LocalSourceError::Io`]
pub(crate) fn bound(root: &Path, cache: &Path) -> Result<PathBuf, LocalSourceError> {
    let real = look::canonicalize(root).map_err(disk::at(root))?;
    if look::canonicalize(cache).is_ok_and(|cache| real.starts_with(cache)) {
        return Ok(real);
    }
    let marked = |name| {
        let mut above = real.ancestors();
        above.find(|folder| look::exists(&folder.join(name)))
    };
    let repository = [marked(".git"), marked(WORKSPACE_FILE)];
    let highest = repository.into_iter().flatten();
    let highest = highest.min_by_key(|folder| folder.as_os_str().len());
    Ok(highest.map_or_else(|| real.clone(), Path::to_owned))
}

/// Where `source`, which a definition in `root` names, really is: in `bound`, with
/// every link resolved.
///
/// # Errors
///
/// [`LocalSourceError`]; one that leads out of the bound is refused even if it does not
/// exist.
pub(crate) fn located(
    root: &Path,
    bound: &Path,
    source: &str,
) -> Result<PathBuf, LocalSourceError> {
    if source.is_empty() || Path::new(source).is_absolute() {
        return Err(outside(source));
    }
    let leads_out = || LocalSourceError::LeadsOut {
        path: source.to_owned(),
        bound: bound.to_owned(),
    };
    let full = root.join(source.trim_end_matches('/'));
    match look::canonicalize(&full) {
        Ok(real) if real.starts_with(bound) => Ok(real),
        Ok(_) => Err(leads_out()),
        Err(error) => {
            let root = look::canonicalize(root).map_err(disk::at(root))?;
            if !normal(&root.join(source)).starts_with(bound) {
                return Err(leads_out());
            }
            match look::read_link(&full) {
                Ok(target) => Err(LocalSourceError::Walk(WalkError::Dangling {
                    link: full,
                    target,
                })),
                Err(_) if error.kind() == io::ErrorKind::NotFound => {
                    Err(LocalSourceError::Absent(source.to_owned()))
                }
                Err(_) => Err(disk::at(&full)(error).into()),
            }
        }
    }
}

/// Where `path`, which has neither `.` nor `..`, is without the links on the way, as far as
/// that exists; `None`: there are none.
pub(crate) fn behind_links(path: &Path) -> Option<PathBuf> {
    let mut above = path.ancestors();
    let real = above.find_map(|above| {
        let real = look::canonicalize(above).ok()?;
        Some(real.join(path.strip_prefix(above).ok()?))
    })?;
    // Joined with nothing, a path ends with a slash.
    (lexical(&real) != path).then(|| lexical(&real))
}

/// What jackal wrote into the folders that it packs.
pub(crate) struct LeftOut<'f> {
    cache: Option<Identity>,
    output: Option<Identity>,
    folders: &'f Folders,
}

impl<'f> LeftOut<'f> {
    /// Looks at the folders as they are now.
    pub(crate) fn new(own: &OwnFiles, folders: &'f Folders) -> Self {
        Self {
            cache: Identity::of(&own.cache),
            output: Identity::of(&own.output),
            folders,
        }
    }

    /// Whether the file `name` in `folder` is left out.
    pub(crate) fn file(&self, folder: Identity, name: &str) -> bool {
        let here = self.output == Some(folder);
        let place = if here {
            Written::Here
        } else {
            Written::Elsewhere
        };
        self.written(name, place)
    }

    /// Whether `folder` is left out.
    pub(crate) fn folder(&self, folder: Identity) -> bool {
        self.cache == Some(folder)
    }

    fn written(&self, name: &str, place: Written) -> bool {
        let archive = match place {
            Written::Here => is_archive_name(name),
            Written::Elsewhere => self.folders.wrote(name),
        };
        archive || name.starts_with(TEMPORARY_PREFIX)
    }
}

/// Lists `source` and everything in it, without what jackal itself wrote there.
///
/// # Errors
///
/// [`LocalSourceError`]
pub(crate) fn listed_in<'f>(
    folders: &'f Folders,
    source: &'f str,
    links: Links,
    own: &OwnFiles,
) -> Result<(Found<'f>, Vec<Entry>), LocalSourceError> {
    let found = folders.find(source);
    let bound = bound(found.root, &own.cache)?;
    let full = lexical(&found.root.join(found.below));
    let made = &folders.made.all;
    if let Some(real) = behind_links(&full).filter(|real| made.touches(real)) {
        return Err(WalkError::Made { link: full, real }.into());
    }
    located(found.root, &bound, found.below).map_err(|error| match error {
        LocalSourceError::LeadsOut { bound, .. } => LocalSourceError::LeadsOut {
            path: source.to_owned(),
            bound,
        },
        LocalSourceError::Outside(_) => outside(source),
        LocalSourceError::Absent(_) => LocalSourceError::Absent(source.to_owned()),
        other => other,
    })?;
    let left_out = LeftOut::new(own, folders);
    let rules = Rules {
        links,
        bound: &bound,
        made: &|real| made.touches(real),
        cache: left_out.cache,
        output: left_out.output,
        written: &|name, place| left_out.written(name, place),
    };
    let below = found.below.trim_end_matches('/');
    let entries = workspace::list_by(found.root, below, &rules)?;
    Ok((found, entries))
}

/// Lists `source` below `root`, and everything in it. Links inside it are listed as
/// entries; a link on the path to it must not lead out of the root.
///
/// # Errors
///
/// [`LocalSourceError`]
pub(crate) fn listed(root: &Path, source: &str) -> Result<Vec<Entry>, LocalSourceError> {
    inside(source)?;
    // With a trailing slash, a link would be followed.
    let source = source.trim_end_matches('/');
    let resolved = |path: &Path| look::canonicalize(path).map_err(disk::at(path));
    let full = root.join(source);
    let parent = full.parent().filter(|parent| parent.starts_with(root));
    if !resolved(parent.unwrap_or(root))?.starts_with(resolved(root)?) {
        return Err(outside(source));
    }
    Ok(workspace::list(root, source)?)
}

/// `path` without `.` and `..`, as text.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Part::ParentDir => drop(normal.pop()),
            Part::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

/// Refuses a source that is absolute or leads out of its folder.
///
/// # Errors
///
/// [`LocalSourceError::Outside`]
pub fn inside(source: &str) -> Result<(), LocalSourceError> {
    let within = |part| matches!(part, Part::Normal(_) | Part::CurDir);
    if !source.is_empty() && Path::new(source).components().all(within) {
        Ok(())
    } else {
        Err(outside(source))
    }
}

/// The error for a source that [`inside`] would refuse.
#[must_use]
pub fn outside(source: &str) -> LocalSourceError {
    LocalSourceError::Outside(source.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_on_the_way_that_leaves_the_root_is_refused_and_one_inside_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("real")).unwrap();
        fs::write(dir.path().join("secret"), "s").unwrap();
        fs::write(root.join("real/f"), "f").unwrap();
        symlink("..", root.join("up")).unwrap();
        symlink("real", root.join("alias")).unwrap();
        let outside = listed(&root, "up/secret").unwrap_err();
        assert!(matches!(outside, LocalSourceError::Outside(_)), "{outside}");
        assert_eq!(listed(&root, "alias/f").unwrap()[0].stat.size, 1);
        let whole = listed(&root, "./").unwrap();
        let paths: Vec<&str> = whole.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(paths, [".", "./alias", "./real", "./real/f", "./up"]);
    }

    #[test]
    fn the_bound_is_the_repository_or_the_workspace_and_a_skeleton_s_own_folder() {
        let dir = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(dir.path()).unwrap();
        let package = top.join("w/repo/pkg");
        fs::create_dir_all(package.join("cache/skeletons/s")).unwrap();
        let cache = package.join("cache");
        let of = |root: &Path| bound(root, &cache).unwrap();
        assert_eq!(of(&package), package);
        fs::create_dir(top.join("w/repo/.git")).unwrap();
        assert_eq!(of(&package), top.join("w/repo"));
        fs::write(top.join("w").join(WORKSPACE_FILE), "").unwrap();
        assert_eq!(of(&package), top.join("w"));
        let skeleton = cache.join("skeletons/s");
        assert_eq!(of(&skeleton), skeleton);
    }

    #[test]
    fn a_source_may_leave_its_folder_and_not_the_bound() {
        let dir = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(dir.path()).unwrap();
        let (bound, root) = (top.join("repo"), top.join("repo/pkg"));
        fs::create_dir_all(&root).unwrap();
        fs::write(bound.join("f"), "f").unwrap();
        fs::write(top.join("secret"), "s").unwrap();
        symlink("../../secret", root.join("link")).unwrap();
        symlink("gone", root.join("dangling")).unwrap();
        let to = |source: &str| located(&root, &bound, source);
        assert_eq!(to("../f").unwrap(), bound.join("f"));
        for source in ["../../secret", "link", "../../absent", "x/../../../absent"] {
            let error = to(source).unwrap_err();
            assert!(
                matches!(error, LocalSourceError::LeadsOut { .. }),
                "{source}: {error}"
            );
        }
        for source in ["/etc/passwd", ""] {
            assert!(
                matches!(to(source), Err(LocalSourceError::Outside(_))),
                "{source}"
            );
        }
        let absent = to("absent").unwrap_err();
        assert!(matches!(absent, LocalSourceError::Absent(_)), "{absent}");
        let dangling = to("dangling").unwrap_err();
        assert!(matches!(dangling, LocalSourceError::Walk(_)), "{dangling}");
    }
}
