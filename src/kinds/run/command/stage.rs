//! The stage of one command: places inputs and finds outputs.

use std::io::BufReader;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::{fs, io};

use rayon::prelude::*;
use rustix::fs::{AtFlags, CWD, FileType, utimensat};

use crate::action::InputNode;
use crate::archive::SafePath;
use crate::cas::tree::{Tree, TreeEntry, TreeError, TreeKind, make_parents, stays_inside};
use crate::cas::{STAGED_AT, staged_times};
use crate::disk::{self, Enclosure, at};
use crate::ground::folders::{lexical, relative_to};
use crate::ground::inputs::Inputs;
use crate::ground::{apart, is_of_disk};
use crate::kinds::run::command::{DeclaredOutput, RunError, named, relative};

/// Bytes copied at a time: 128 KiB, beyond which copying gets no faster.
const BUFFER_BYTES: usize = 128 << 10;

/// The folder of a stage that is the workspace of the command.
pub(crate) const ROOT: &str = "root";
pub(crate) const HOME: &str = "home";
/// The folder for its temporary files.
pub(crate) const TEMPORARY: &str = "tmp";
/// An empty folder, on which the root of a sandbox is made.
pub(crate) const MADE_ON: &str = "made";

/// The folders of a new stage.
pub(crate) const PARTS: [&str; 4] = [ROOT, HOME, TEMPORARY, MADE_ON];

/// The folder for secrets that the command may only read.
pub(crate) const SECRETS: &str = "secrets";

/// Where the files of a command are.
pub(crate) struct Layout {
    stage: PathBuf,
    /// The folder that holds all of them.
    top: PathBuf,
    /// The command's own folder in it; empty: the same.
    place: String,
}

impl Layout {
    pub(crate) fn new(stage: &Path, place: &str) -> Self {
        Self {
            stage: stage.to_owned(),
            top: stage.join(ROOT),
            place: place.to_owned(),
        }
    }

    /// The folder with the top in it, which the command cannot change.
    pub(crate) fn stage(&self) -> &Path {
        &self.stage
    }

    pub(crate) fn top(&self) -> &Path {
        &self.top
    }

    /// A path from the top, relative to the folder of the task.
    pub(crate) fn below_own(&self, path: &str) -> String {
        if self.place.is_empty() {
            return path.to_owned();
        }
        relative_to(Path::new(&self.place), Path::new(path))
    }

    /// The folder that paths of the task are relative to.
    pub(crate) fn own(&self) -> PathBuf {
        self.top.join(&self.place)
    }

    /// `path` of the task, from the top.
    pub(crate) fn below_top(&self, path: &str) -> String {
        let mut names = path.split('/');
        // Of many paths, few have anything to be resolved.
        if self.place.is_empty() && !names.any(|name| matches!(name, "" | "." | "..")) {
            return path.to_owned();
        }
        let full = lexical(&Path::new(&self.place).join(path));
        full.to_string_lossy().into_owned()
    }

    fn at(&self, path: &str) -> PathBuf {
        self.top.join(self.below_top(path))
    }
}

/// Fills the stage, which has [`PARTS`]; returns the working directory of the command.
///
/// Every byte is checked against its digest on the way: the command sees what the
/// key names, whatever happens to the checkout meanwhile.
pub(crate) fn prepare(
    stage: &Path,
    layout: &Layout,
    inputs: &Inputs,
    outputs: &[DeclaredOutput],
    workdir: &str,
) -> Result<PathBuf, RunError> {
    if !layout.place.is_empty() {
        let own = layout.own();
        fs::create_dir_all(&own).map_err(at(&own))?;
    }
    let entries = inputs.list(".");
    for (path, node) in &entries {
        // A path that climbs is there already, as far as it climbs.
        if matches!(node, InputNode::Directory(_)) && path.rsplit('/').next() != Some("..") {
            let folder = layout.at(path);
            fs::create_dir_all(&folder).map_err(at(&folder))?;
        }
    }
    entries
        .par_iter()
        .try_for_each(|(path, node)| put(inputs, path, node, layout))?;
    let cwd = places(layout, outputs, workdir)?;
    if !apart::has_usual_umask() {
        open_folders(stage)?;
    }
    // Last, as what is put into a folder changes its time.
    entries.par_iter().try_for_each(|(path, node)| {
        let path = layout.at(path);
        match node {
            InputNode::Directory(_) if has_time(&path) => Ok(()),
            _ => fix_time(&path),
        }
    })?;
    Ok(cwd)
}

/// Makes the command's own folder, those that its outputs are in, and its working
/// directory, which is returned.
pub(crate) fn places(
    layout: &Layout,
    outputs: &[DeclaredOutput],
    workdir: &str,
) -> Result<PathBuf, RunError> {
    let own = layout.own();
    let below = layout.below_top("");
    if !below.is_empty() {
        make_parents(&layout.top, &format!("{below}/x"))?;
    }
    for output in outputs {
        make_parents(&own, named(&output.path)?.as_str())?;
    }
    let Some(path) = relative(workdir)? else {
        return Ok(own);
    };
    make_parents(&own, &format!("{path}/x"))?;
    Ok(own.join(path.as_path()))
}

/// What the stage holds, from its top.
pub(crate) fn tree(layout: &Layout, inputs: &Inputs) -> Tree {
    let place = &layout.place;
    let above = place.match_indices('/').map(|(end, _)| &place[..end]);
    let above = above.chain([place.as_str()]).map(|folder| TreeEntry {
        path: folder.to_owned(),
        kind: TreeKind::Directory,
    });
    let listed = inputs.list(".").into_iter();
    let listed = listed.map(|(path, node)| TreeEntry {
        path: layout.below_top(&path),
        kind: match node {
            InputNode::Directory(_) => TreeKind::Directory,
            InputNode::Link(target) => TreeKind::Symlink {
                target: target.clone(),
            },
            InputNode::File(file) => TreeKind::File {
                digest: file.digest,
                size: file.size,
                executable: file.executable,
            },
        },
    });
    let mut entries: Vec<TreeEntry> = above.chain(listed).collect();
    entries.retain(|entry| !entry.path.is_empty());
    entries.sort_by(|one, other| one.path.cmp(&other.path));
    // A path that climbs names folders that are there already.
    entries.dedup_by(|one, other| one.path == other.path);
    Tree { entries }
}

/// Gives every folder in `stage` the mode that it has under the usual umask: a
/// command may copy it to its outputs.
pub(crate) fn open_folders(stage: &Path) -> Result<(), RunError> {
    let mut folders = vec![stage.to_owned()];
    while let Some(folder) = folders.pop() {
        let mode = fs::Permissions::from_mode(0o777 & !apart::UMASK);
        fs::set_permissions(&folder, mode).map_err(at(&folder))?;
        for entry in fs::read_dir(&folder).map_err(at(&folder))? {
            let entry = entry.map_err(at(&folder))?;
            if entry.file_type().map_err(at(&folder))?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(())
}

/// Variables that a command has unless its task sets them. With equal times Python
/// would take compiled files of other sources for its own.
pub(crate) const VARIABLES: [(&str, &str); 4] = [
    ("LC_ALL", "C.UTF-8"),
    ("PYTHONDONTWRITEBYTECODE", "1"),
    ("SOURCE_DATE_EPOCH", STAGED_AT),
    ("TZ", "UTC"),
];

/// Gives what is at `path` the one time of staged files, so that an archive of them
/// is the same every time.
pub(crate) fn fix_time(path: &Path) -> Result<(), RunError> {
    let done = utimensat(CWD, path, &staged_times(), AtFlags::SYMLINK_NOFOLLOW);
    Ok(done.map_err(io::Error::from).map_err(at(path))?)
}

/// Whether the folder at `path` has that time already. A stage that is used again stays
/// untouched then.
fn has_time(path: &Path) -> bool {
    let time = staged_times().last_modification;
    fs::symlink_metadata(path)
        .is_ok_and(|found| (found.mtime(), found.mtime_nsec()) == (time.tv_sec, time.tv_nsec))
}

/// The files and links that a command left, and that are neither inputs nor in an
/// output, nor `kept`. Skips what cannot be read.
pub(crate) fn dropped(
    layout: &Layout,
    inputs: &Inputs,
    outputs: &[DeclaredOutput],
    kept: &dyn Fn(&str) -> bool,
) -> Vec<String> {
    let own = Path::new(&layout.place);
    let (mut found, mut open) = (Vec::new(), vec![String::new()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(layout.top.join(&folder))
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let full = match folder.as_str() {
                "" => name.into_owned(),
                folder => format!("{folder}/{name}"),
            };
            let path = relative_to(own, Path::new(&full));
            let declared = |output: &DeclaredOutput| output.path.trim_end_matches('/') == path;
            if outputs.iter().any(declared) || kept(&path) {
                continue;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(full),
                // It hides what is in a lower folder.
                Ok(kind) if kind.is_char_device() => {}
                _ if inputs.tree.get(&path).is_none() => found.push(path),
                _ => {}
            }
        }
    }
    found.sort_unstable();
    found
}

/// Stages one file or link as `to`.
pub(crate) fn put(
    inputs: &Inputs,
    path: &str,
    node: &InputNode,
    layout: &Layout,
) -> Result<(), RunError> {
    put_at(
        inputs,
        path,
        node,
        &layout.below_top(path),
        &layout.at(path),
    )
}

/// Stages one file or link, which is at `below` from the top of a stage, as `to`.
pub(crate) fn put_at(
    inputs: &Inputs,
    path: &str,
    node: &InputNode,
    below: &str,
    to: &Path,
) -> Result<(), RunError> {
    match node {
        InputNode::Directory(_) => Ok(()),
        InputNode::Link(target) if stays_inside(below, target) => {
            Ok(symlink(target, to).map_err(at(to))?)
        }
        InputNode::Link(target) => Err(RunError::Tree(TreeError::Escapes {
            path: path.to_owned(),
            target: target.clone(),
        })),
        InputNode::File(file) => {
            let shown = Path::new(path);
            let content = inputs.open(path).map_err(at(shown))?;
            let mut content = BufReader::with_capacity(BUFFER_BYTES, content);
            let mut staged = disk::create(to).map_err(at(to))?;
            io::copy(&mut content, &mut staged).map_err(|error| {
                let of_disk = is_of_disk(error.kind());
                at(if of_disk { to } else { shown })(error)
            })?;
            let mode = if file.executable { 0o755 } else { 0o644 };
            let mode = fs::Permissions::from_mode(mode);
            Ok(staged.set_permissions(mode).map_err(at(to))?)
        }
    }
}

/// Finds an output, from `stage`; `None`: it is missing and optional. No link is followed
/// on the way: the command may have replaced any folder by one that leads out.
pub(crate) fn find(
    stage: &Enclosure,
    layout: &Layout,
    path: &str,
    output: &DeclaredOutput,
) -> Result<Option<SafePath>, RunError> {
    let below = layout.below_top(path);
    let full = named(&format!("{ROOT}/{below}"))?;
    let ends = full.as_str().match_indices('/').map(|(end, _)| end);
    for end in ends.chain([full.as_str().len()]) {
        let part = named(&full.as_str()[..end])?;
        let kind = match stage.kind(&part) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if output.optional {
                    return Ok(None);
                }
                let path = output.path.clone();
                return Err(RunError::Missing { path });
            }
            kind => kind.map_err(at(Path::new(path)))?,
        };
        let folder = output.directory || end < full.as_str().len();
        let found = kind == FileType::Directory;
        if found != folder {
            let what = |folder| if folder { "a folder" } else { "a file or link" };
            let below = part.as_str().strip_prefix(ROOT).unwrap_or_default();
            return Err(RunError::WrongKind {
                path: layout.below_own(below.trim_start_matches('/')),
                found: what(found),
                expected: what(folder),
            });
        }
    }
    Ok(Some(full))
}
