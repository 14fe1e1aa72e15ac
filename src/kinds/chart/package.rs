//! Packages a chart folder like `helm package`, but without times.
//!
//! Reads the files that `.helmignore` does not exclude, and writes `Chart.yaml` and
//! `Chart.lock` as Helm does, then values, schema, templates, other files, and the
//! charts below `charts/`, unpacked. Files are streamed; only archives of charts inside
//! the chart are held in memory. Never runs Helm or uses the network.

mod ignore;
pub(crate) mod metadata;
mod yaml;

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use flate2::{Compression, GzBuilder};
use ignore::Rules;
pub(crate) use metadata::Metadata;

use crate::action::InputNode;
use crate::archive::{Bounded, SafePath, TarError, TarKind, TarReader, TarWriter};
use crate::disk::{self, at, look};
use crate::ground::failures;
use crate::ground::inputs::Inputs;
use crate::ground::source::LeftOut;
use crate::package::lfs_pointer;
use crate::workspace::{Entry, Identity, Kind, Stat};

/// Maximum size of `Chart.yaml`, lock and ignore files, in bytes: 5 MiB, Helm's limit
/// for any file of a chart.
pub(crate) const MAX_DOCUMENT_BYTES: u64 = 5 << 20;

/// Maximum unpacked size of all archives inside a chart, in bytes: 100 MiB, which Helm
/// allows one. They are held in memory.
pub(crate) const MAX_INNER_BYTES: u64 = 100 << 20;

/// Maximum nesting of folders, and of charts in charts.
const MAX_DEPTH: usize = 64;

/// The byte order mark, which Helm removes from text files.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Why a folder is not a chart.
#[derive(Debug, thiserror::Error)]
pub enum ChartError {
    /// No `Chart.yaml`.
    #[error("no Chart.yaml in `{0}`: name the folder that contains it")]
    NoChart(String),
    /// A file has invalid content; the message includes the place.
    #[error("{0}")]
    Malformed(String),
    /// A file that is not what it should be.
    #[error(
        "`{0}` is a Git LFS pointer, not the file itself: run `git lfs pull`, or use a chart that has the content"
    )]
    Pointer(String),
    /// Its dependencies are missing.
    #[error(
        "chart `{chart}` depends on {missing}, missing from its charts/ folder: run `helm dependency build {folder}` first"
    )]
    Missing {
        chart: String,
        missing: String,
        /// The folder as in the definition.
        folder: String,
    },
    /// Something that is not a file.
    #[error("`{0}` cannot be in a chart: expected files, folders and links to them")]
    Kind(PathBuf),
    /// A link, or a dependency, that leads out of the repository.
    #[error("`{link}` leads out of `{bound}`: replace it with a copy")]
    LeadsOut {
        link: PathBuf,
        /// The folder that it must not leave.
        bound: PathBuf,
    },
    /// A link to a folder that contains it.
    #[error("`{0}` leads to a folder that contains it: remove the link")]
    LinkCycle(PathBuf),
    /// Charts that depend on each other.
    #[error("the chart `{0}` depends on itself: remove one of the dependencies")]
    Cycle(PathBuf),
    /// A dependency that has another version than its chart wants.
    #[error("{chart}: the dependency `{name}` is {found} in `{folder}`, expected {wanted}")]
    Version {
        /// The `Chart.yaml` that names it.
        chart: String,
        name: String,
        found: String,
        folder: PathBuf,
        /// What its chart wants.
        wanted: String,
    },
    /// An archive is too large when unpacked.
    #[error("`{0}` unpacks to more than 100 MiB, the limit for charts: remove it")]
    TooLarge(String),
    #[error("cannot read `{path}`")]
    Io {
        /// The file or folder.
        path: PathBuf,
        source: io::Error,
    },
    /// The archive could not be written.
    #[error(transparent)]
    Tar(#[from] TarError),
}

disk::from_disk_error!(ChartError);

/// Writes the archive of the chart in `folder`; messages call the folder `shown`.
///
/// # Errors
///
/// [`ChartError`]; the output is then incomplete.
pub(crate) fn package_chart<W: Write>(
    inputs: &Inputs,
    folder: &str,
    shown: &str,
    out: W,
) -> Result<W, ChartError> {
    let listed = inputs.list(folder).into_iter();
    let files = listed.filter_map(|(name, node)| {
        let path = match folder {
            "." => name.clone(),
            folder => format!("{folder}/{name}"),
        };
        let InputNode::File(file) = node else {
            return None;
        };
        let size = file.size;
        Some((name, Content::Input { inputs, path, size }))
    });
    let mut left = MAX_INNER_BYTES;
    let chart = load(files.collect(), shown, 0, &mut left)?;
    complete(&chart, shown)?;
    let zipped = GzBuilder::new().mtime(0).write(out, Compression::default());
    let mut tar = TarWriter::new(zipped);
    write(&chart, "", &mut tar)?;
    let zipped = tar.finish()?;
    zipped
        .finish()
        .map_err(|error| TarError::Write(error).into())
}

/// Checks that Helm would load the packaged chart at `path` among the inputs.
///
/// # Errors
///
/// [`ChartError`]
pub(crate) fn check_archive(inputs: &Inputs, path: &str) -> Result<(), ChartError> {
    let Some(InputNode::File(file)) = inputs.tree.get(path) else {
        return Ok(());
    };
    let archive = Content::Input {
        inputs,
        path: path.to_owned(),
        size: file.size,
    };
    let mut left = MAX_INNER_BYTES;
    let files = unpacked(&archive, path, &mut left)?;
    complete(&load(files, path, 0, &mut left)?, path)
}

/// Checks that a chart has the charts that it depends on.
fn complete(chart: &Chart<'_>, shown: &str) -> Result<(), ChartError> {
    let has = |name: &&String| !chart.charts.iter().any(|c| c.metadata.name == **name);
    let missing: Vec<String> = (chart.metadata.needs.iter())
        .filter(has)
        .map(|name| format!("`{name}`"))
        .collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(ChartError::Missing {
            chart: chart.metadata.name.clone(),
            missing: missing.join(", "),
            folder: shown.to_owned(),
        }),
    }
}

/// The content of a file, or its location.
enum Content<'a> {
    Input {
        inputs: &'a Inputs,
        path: String,
        size: u64,
    },
    Bytes(Vec<u8>),
}

/// A file of a chart, by its path in the chart.
type Named<'a> = (String, Content<'a>);

struct Chart<'a> {
    metadata: Metadata,
    lock: Option<String>,
    values: Option<Named<'a>>,
    schema: Option<Named<'a>>,
    templates: Vec<Named<'a>>,
    files: Vec<Named<'a>>,
    charts: Vec<Self>,
}

impl Content<'_> {
    fn open(&self) -> Result<(u64, Box<dyn Read + '_>), ChartError> {
        match self {
            Self::Bytes(bytes) => {
                let bytes = bytes.strip_prefix(MARK).unwrap_or(bytes);
                Ok((bytes.len() as u64, Box::new(bytes)))
            }
            Self::Input { inputs, path, size } => {
                let unread = at(Path::new(path));
                let file = inputs.open(path).map_err(unread)?;
                let (pointer, mut file) = lfs_pointer(*size, file).map_err(unread)?;
                if pointer {
                    return Err(ChartError::Pointer(path.clone()));
                }
                let mut begin = Vec::new();
                let mut head = (&mut file).take(MARK.len() as u64);
                head.read_to_end(&mut begin).map_err(unread)?;
                if begin == MARK {
                    Ok((size - MARK.len() as u64, Box::new(file)))
                } else {
                    Ok((*size, Box::new(io::Cursor::new(begin).chain(file))))
                }
            }
        }
    }

    fn text(&self, name: &str) -> Result<String, ChartError> {
        let (size, content) = self.open()?;
        let path = Path::new(name);
        if size > MAX_DOCUMENT_BYTES {
            return Err(at(path)(io::Error::other(format!(
                "larger than {MAX_DOCUMENT_BYTES} bytes"
            )))
            .into());
        }
        let mut text = String::new();
        let mut content = content.take(MAX_DOCUMENT_BYTES + 1);
        content.read_to_string(&mut text).map_err(at(path))?;
        Ok(text)
    }
}

/// Lists what belongs to the chart in `folder`, in Helm's order: whatever the mode,
/// and through links that stay in `bound`, which is canonical.
///
/// # Errors
///
/// [`ChartError`]
pub(crate) fn chart_files(
    folder: &Path,
    bound: &Path,
    shown: &str,
    left_out: Option<&LeftOut<'_>>,
) -> Result<Vec<Entry>, ChartError> {
    let path = folder.join(".helmignore");
    let mut text = String::new();
    if look::is_file(&path) {
        text = disk::read_text(&path, MAX_DOCUMENT_BYTES)?;
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let rules = Rules::parse(text).map_err(|(line, what)| {
        ChartError::Malformed(format!(
            "{shown}/.helmignore:{line}:1: {what}: correct the line"
        ))
    })?;
    let root = look::canonicalize(folder).map_err(at(folder))?;
    let mut walk = Walk {
        bound,
        rules,
        left_out,
        above: Vec::new(),
        found: Vec::new(),
    };
    walk.folder(&root, "")?;
    Ok(walk.found)
}

struct Walk<'w> {
    bound: &'w Path,
    rules: Rules,
    left_out: Option<&'w LeftOut<'w>>,
    /// The folders that lead to this one.
    above: Vec<Identity>,
    found: Vec<Entry>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, below: &str) -> Result<(), ChartError> {
        let own = Identity::from(&look::metadata(folder).map_err(at(folder))?);
        if self.above.contains(&own) {
            return Err(ChartError::LinkCycle(folder.to_owned()));
        }
        if self.above.len() > MAX_DEPTH {
            let error = io::Error::other("folders are nested deeper than 64 levels");
            return Err(at(folder)(error).into());
        }
        self.above.push(own);
        let mut names = Vec::new();
        for entry in look::read_dir(folder).map_err(at(folder))? {
            let name = entry.map_err(at(folder))?.file_name();
            match name.into_string() {
                Ok(name) => names.push(name),
                Err(name) => return Err(ChartError::Kind(folder.join(name))),
            }
        }
        names.sort_unstable();
        for name in names {
            let path = folder.join(&name);
            if self
                .left_out
                .is_some_and(|left_out| left_out.file(own, &name))
            {
                continue;
            }
            // Helm follows links; one that leads out of the repository would pack what
            // the reader of the chart cannot see.
            let real = look::canonicalize(&path).map_err(at(&path))?;
            if !real.starts_with(self.bound) {
                return Err(ChartError::LeadsOut {
                    link: path,
                    bound: self.bound.to_owned(),
                });
            }
            let metadata = look::metadata(&real).map_err(at(&path))?;
            let below = match below {
                "" => name,
                below => format!("{below}/{name}"),
            };
            if self.rules.ignores(&below, metadata.is_dir()) {
                continue;
            }
            if metadata.is_dir() {
                let folder = Identity::from(&metadata);
                if self
                    .left_out
                    .is_none_or(|left_out| !left_out.folder(folder))
                {
                    self.folder(&path, &below)?;
                }
            } else if metadata.is_file() {
                self.found.push(Entry {
                    path: below,
                    kind: Kind::File { executable: false },
                    stat: Stat::of(&metadata),
                });
            } else {
                return Err(ChartError::Kind(path));
            }
        }
        self.above.pop();
        Ok(())
    }
}

/// Groups a chart's files by type. Archives inside may unpack to `left` bytes.
fn load<'a>(
    files: Vec<Named<'a>>,
    shown: &str,
    depth: usize,
    left: &mut u64,
) -> Result<Chart<'a>, ChartError> {
    if depth > MAX_DEPTH {
        let what = format!("{shown}: charts are nested deeper than 64 levels");
        return Err(ChartError::Malformed(what));
    }
    let own = files.iter().find(|(name, _)| name == "Chart.yaml");
    let Some((_, own)) = own else {
        return Err(ChartError::NoChart(shown.to_owned()));
    };
    let path = format!("{shown}/Chart.yaml");
    let metadata = Metadata::parse(&path, &own.text(&path)?).map_err(ChartError::Malformed)?;
    let old = metadata.api == "v1";
    let mut chart = Chart {
        metadata,
        lock: None,
        values: None,
        schema: None,
        templates: Vec::new(),
        files: Vec::new(),
        charts: Vec::new(),
    };
    // Sorted by the name after `charts/`.
    let mut inner: std::collections::BTreeMap<String, Vec<Named<'a>>> = Default::default();
    for (name, content) in files {
        let path = format!("{shown}/{name}");
        match name.as_str() {
            "Chart.yaml" => {}
            "Chart.lock" | "requirements.lock" => {
                let lock = metadata::lock(&path, &content.text(&path)?);
                chart.lock = Some(lock.map_err(ChartError::Malformed)?);
                if old && name != "Chart.lock" {
                    chart.files.push((name, content));
                }
            }
            "requirements.yaml" => {
                let text = content.text(&path)?;
                let read = chart.metadata.require(&path, &text);
                read.map_err(ChartError::Malformed)?;
                if old {
                    chart.files.push((name, content));
                }
            }
            "values.yaml" => chart.values = Some((name, content)),
            "values.schema.json" => {
                let text = content.text(&path)?;
                let read = serde_json::from_str::<serde::de::IgnoredAny>(&text);
                read.map_err(|error| {
                    let (line, column) = (error.line(), error.column());
                    ChartError::Malformed(format!("{path}:{line}:{column}: not valid JSON"))
                })?;
                chart.schema = Some((name, content));
            }
            _ if name.starts_with("templates/") => chart.templates.push((name, content)),
            _ => match name.strip_prefix("charts/") {
                Some(rest) if !rest.ends_with(".prov") => {
                    let first = rest.split('/').next().unwrap_or(rest).to_owned();
                    let list = inner.entry(first).or_default();
                    list.push((rest.to_owned(), content));
                }
                _ => chart.files.push((name, content)),
            },
        }
    }
    for (name, files) in inner {
        if name.starts_with(['_', '.']) {
            continue;
        }
        let shown = format!("{shown}/charts/{name}");
        let files = if name.ends_with(".tgz") {
            match files.as_slice() {
                [(only, content)] if *only == name => unpacked(content, &shown, left)?,
                _ => return Err(ChartError::NoChart(shown)),
            }
        } else {
            let below = |(path, content): Named<'a>| {
                let (_, rest) = path.split_once('/')?;
                Some((rest.to_owned(), content))
            };
            files.into_iter().filter_map(below).collect()
        };
        chart.charts.push(load(files, &shown, depth + 1, left)?);
    }
    Ok(chart)
}

/// The files of a packaged chart, without their common folder.
fn unpacked<'a>(
    archive: &Content<'_>,
    shown: &str,
    left: &mut u64,
) -> Result<Vec<Named<'a>>, ChartError> {
    let path = Path::new(shown);
    let (_, content) = archive.open()?;
    let read = |error: io::Error| match error.kind() {
        io::ErrorKind::FileTooLarge => ChartError::TooLarge(shown.to_owned()),
        _ => at(path)(error).into(),
    };
    // Headers count as well: an empty file takes memory, too.
    let mut tar = TarReader::new(Bounded::new(MultiGzDecoder::new(content), *left));
    let mut files = Vec::new();
    while let Some(entry) = tar.next().map_err(read)? {
        let end = entry.offset.saturating_add(entry.size);
        if entry.kind == TarKind::File && end > *left {
            return Err(ChartError::TooLarge(shown.to_owned()));
        }
        if entry.kind != TarKind::File {
            continue;
        }
        let name = entry.name_lossy();
        let safe = SafePath::parse(&name).map_err(TarError::Path)?;
        let Some((_, name)) = safe.as_str().split_once('/') else {
            return Err(ChartError::NoChart(shown.to_owned()));
        };
        let name = name.to_owned();
        let mut bytes = Vec::new();
        tar.read_to_end(&mut bytes).map_err(read)?;
        files.push((name, Content::Bytes(bytes)));
    }
    let taken = tar.drain().map_err(read)?;
    *left = left.saturating_sub(taken);
    Ok(files)
}

fn write<W: Write>(
    chart: &Chart<'_>,
    below: &str,
    tar: &mut TarWriter<W>,
) -> Result<(), ChartError> {
    let base = format!("{below}{}", chart.metadata.name);
    let text = chart.metadata.render();
    document(tar, &format!("{base}/Chart.yaml"), &text)?;
    if let Some(lock) = chart.lock.as_ref().filter(|_| chart.metadata.api == "v2") {
        document(tar, &format!("{base}/Chart.lock"), lock)?;
    }
    let single = chart.values.iter().chain(&chart.schema);
    for (name, content) in single.chain(&chart.templates).chain(&chart.files) {
        let (size, mut content_bytes) = content.open()?;
        let written = tar.file(&format!("{base}/{name}"), 0o644, size, &mut content_bytes);
        written?;
    }
    for inner in &chart.charts {
        write(inner, &format!("{base}/charts/"), tar)?;
    }
    Ok(())
}

fn document<W: Write>(tar: &mut TarWriter<W>, path: &str, text: &str) -> Result<(), TarError> {
    tar.file(path, 0o644, text.len() as u64, &mut text.as_bytes())
}

failures! {
    ChartError: |error| match error {
        ChartError::Io { .. } => Class::Environment,
        _ => Class::Configuration,
    };
}

#[cfg(test)]
mod tests;
