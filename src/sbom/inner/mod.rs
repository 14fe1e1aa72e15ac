//! Archives inside a component, and archives inside those, down to [`DEPTH`] levels.
//!
//! Each is a tree of its own. Reads tar and what compresses it, zip, and the files in
//! `.rpm` and `.deb` packages, all recognized by their first bytes. Archives of Java
//! belong to their cataloguer, which knows what a nested one means.

mod cpio;
mod record;
mod wrapped;
mod zip;

pub(super) use wrapped::member;

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Seek as _};
use std::rc::Rc;

use serde_json::Value;

use self::record::{Event, Recorder, Replay};
use super::body::{Body, PutAside};
use super::budget::{INNER_BYTES, INNER_SPARE};
use super::catalog::{self, Found, Mark, Tree};
use super::document::{Annotations, Evidence, Location};
use super::findings::Findings;
use super::layer::{self, Content, Entry, Keeper, LayerError, Source};
use super::squash::View;
use super::unpack::{TAR_HEAD, plain};
use crate::archive::{Compression, Growth, Window, is_tar};
use crate::oci::Digest;

/// How deep archives are opened: one in the component, one in that, and one in that.
const DEPTH: usize = 3;

/// Why an archive at that depth is not opened.
const TOO_DEEP: &str = "it is inside three other archives";

/// Memory for an archive in so many others, in bytes.
fn memory_of(depth: usize) -> usize {
    INNER_BYTES >> depth.min(1)
}

/// Keeps what is wanted of a file.
type Keep<'k> = &'k mut dyn FnMut(&str, u64, &mut dyn Read) -> Result<Option<Content>, LayerError>;

/// Takes an entry.
type Take<'t> = &'t mut dyn FnMut(Entry) -> Result<(), LayerError>;

/// What an archive is, by its first bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Tar,
    /// Something compressed: whether it is a tar shows once it is decompressed.
    Compressed(Compression),
    Zip,
    Rpm,
    Deb,
}

impl Form {
    /// `head` is the first [`TAR_HEAD`] bytes.
    fn of(head: &[u8]) -> Option<Self> {
        match head {
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Some(Self::Zip),
            [0xed, 0xab, 0xee, 0xdb, ..] => Some(Self::Rpm),
            head if is_tar(head) => Some(Self::Tar),
            head if head.starts_with(b"!<arch>\ndebian-binary") => Some(Self::Deb),
            // Two or three bytes would be found in other files as well.
            [0x1f, 0x8b, method, ..] if *method != 8 => None,
            [b'B', b'Z', b'h', rest @ ..] if rest.get(1..7) != Some(b"1AY&SY") => None,
            head => Compression::of(head).map(Self::Compressed),
        }
    }
}

/// A file among those of a component or an archive.
struct File<'f> {
    path: &'f str,
    size: u64,
    /// How many archives it is in.
    depth: usize,
    /// Bytes that the archive in the component may still unpack to.
    left: Option<&'f Cell<u64>>,
}

/// Opens the archives of one component.
pub(super) struct Opener<'a, 'f> {
    aside: PutAside<'a>,
    /// What is known of its files from earlier scans; `None`: nothing, and it stays so.
    findings: Option<&'f mut dyn Findings>,
    /// Records the file that is being scanned, if the findings are to have it.
    recorder: Option<Rc<RefCell<Recorder>>>,
    /// Bytes that all archives together may unpack to, beyond a multiple of their sizes.
    spare: u64,
    pub(super) found: Found,
    /// The distribution of the last archive of the component that holds a system.
    pub(super) distro: Option<Value>,
}

impl<'a, 'f> Opener<'a, 'f> {
    pub(super) fn new(aside: PutAside<'a>, findings: Option<&'f mut dyn Findings>) -> Self {
        Self {
            aside,
            findings,
            recorder: None,
            spare: INNER_SPARE,
            found: Found::default(),
            distro: None,
        }
    }

    /// What is kept of a file of the component. Catalogues the file if it is an archive.
    ///
    /// # Errors
    ///
    /// `input` fails, or the keeper refuses the file. Archives that are damaged or too
    /// large are listed.
    pub(super) fn file(
        &mut self,
        keeper: &mut Keeper<'_>,
        path: &str,
        size: u64,
        input: &mut dyn Source,
    ) -> Result<Option<Content>, LayerError> {
        let (depth, left) = (0, None);
        let file = File {
            path,
            size,
            depth,
            left,
        };
        if self.findings.is_none() {
            return self.keep(keeper, &file, input);
        }
        let mut head = Vec::with_capacity(TAR_HEAD);
        input.take(TAR_HEAD as u64).read_to_end(&mut head)?;
        let own = || keeper.is_costly(path, size, &head);
        if !record::is_costly(Form::of(&head), size, own) {
            return self.keep(keeper, &file, &mut (&head[..]).chain(input));
        }
        // Its digest is known once it was read.
        let mut body = Body::read(&mut (&head[..]).chain(&mut *input), size, self.aside)?;
        let key = record::key(&input.digest(), path);
        let findings = self.findings.as_deref_mut();
        if let Some(known) = findings.and_then(|findings| findings.find(&key))
            && let Some(content) = self.replay(&file, &known)?
        {
            self.remember(&key, &known);
            return Ok(content);
        }
        let recorder = Rc::new(RefCell::new(Recorder::new()?));
        self.recorder = Some(Rc::clone(&recorder));
        let kept = self.keep(keeper, &file, &mut body);
        self.recorder = None;
        let content = kept?;
        let recorder = Rc::into_inner(recorder).map(RefCell::into_inner);
        if let Some(record) = recorder.and_then(|recorder| recorder.finish(content.as_ref())) {
            self.remember(&key, &record);
        }
        Ok(content)
    }

    fn remember(&mut self, key: &Digest, record: &[u8]) {
        if let Some(findings) = self.findings.as_deref_mut() {
            findings.keep(key, record);
        }
    }

    fn record(&self, event: impl FnOnce(&mut Recorder)) {
        if let Some(recorder) = &self.recorder {
            event(&mut recorder.borrow_mut());
        }
    }

    /// Does again what a scan of `file` did. `None`: it would now find something else,
    /// because archives before it have left fewer bytes to unpack.
    fn replay(
        &mut self,
        file: &File<'_>,
        record: &[u8],
    ) -> Result<Option<Option<Content>>, LayerError> {
        let damaged = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let mut replay = Replay::new(record).map_err(damaged)?;
        let unpacked = replay.unpacked;
        let (multiple, most) = self.limits(file.size);
        if unpacked != record::Unpacked::NOTHING && !unpacked.holds_for(most) {
            return Ok(None);
        }
        self.spend(unpacked.bytes, multiple);
        let mut open = Vec::new();
        loop {
            match replay.next().map_err(damaged)? {
                Event::Open(path) => {
                    let mut view = View::new(false, memory_of(open.len()));
                    let last = view.fill();
                    open.push((path, self.found.mark(), view, last));
                }
                Event::Entry(entry) => {
                    if let Some((_, _, view, last)) = open.last_mut() {
                        // What does not fit ended the scan as well, and is its fault.
                        let _ = view.add(*entry, last);
                    }
                }
                Event::Close(fault) => {
                    let Some((path, before, view, _)) = open.pop() else {
                        continue;
                    };
                    let path = if open.is_empty() { file.path } else { &path };
                    self.catalogue((path, open.len()), view, before, fault)?;
                }
                Event::Other => drop(open.pop()),
                Event::Deep(path) => self.unreadable(&path, TOO_DEEP),
                Event::End(content) => return Ok(Some(content)),
            }
        }
    }

    /// A multiple of the size of an archive in the component, and what it may unpack to, in
    /// bytes.
    fn limits(&self, size: u64) -> (u64, u64) {
        let growth = Growth::INNER;
        let multiple = growth.multiple(size);
        let most = multiple.saturating_add(self.spare).min(growth.of(size));
        (multiple, most)
    }

    /// Takes what an archive used beyond the `multiple` of its size.
    fn spend(&mut self, used: u64, multiple: u64) {
        self.spare = self.spare.saturating_sub(used.saturating_sub(multiple));
    }

    fn keep(
        &mut self,
        keeper: &mut Keeper<'_>,
        file: &File<'_>,
        input: &mut dyn Read,
    ) -> Result<Option<Content>, LayerError> {
        let (path, size) = (file.path, file.size);
        let mut head = Vec::with_capacity(TAR_HEAD);
        input.take(TAR_HEAD as u64).read_to_end(&mut head)?;
        let mut input = (&head[..]).chain(input);
        match Form::of(&head) {
            None => keeper.keep(path, size, &mut input),
            Some(Form::Zip) if catalog::takes_apart(path) => keeper.keep(path, size, &mut input),
            Some(Form::Zip) => {
                let mut body = Body::read(&mut input, size, self.aside)?;
                self.open(file, |left, keep, take| {
                    zip::walk(&mut body, left, keep, take).map(|()| true)
                })?;
                Ok(None)
            }
            Some(form) if catalog::wanted_of_components(path).is_some() => {
                let mut body = Body::read(&mut input, size, self.aside)?;
                let content = keeper.keep(path, size, &mut body)?;
                body.rewind()?;
                self.stream(file, form, &mut body)?;
                Ok(content)
            }
            Some(form) => self.stream(file, form, &mut input).map(|()| None),
        }
    }

    /// Catalogues an archive that is read front to back.
    fn stream(
        &mut self,
        file: &File<'_>,
        form: Form,
        input: &mut dyn Read,
    ) -> Result<(), LayerError> {
        // Levels are open at the same time, each with its decompressor.
        let window = match file.depth {
            0 => Window::Large,
            _ => Window::Small,
        };
        self.open(file, |left, keep, take| match form {
            Form::Rpm => {
                let payload = plain(wrapped::payload(input)?, window)?;
                cpio::walk(Counted::new(payload, left), keep, take).map(|()| true)
            }
            Form::Deb => {
                let data = plain(wrapped::member(input, b"data.tar")?, window)?;
                tar(Counted::new(data, left), keep, take)
            }
            _ => tar(Counted::new(plain(input, window)?, left), keep, take),
        })
    }

    /// Catalogues the archive at `file`, whose entries `walk` yields; `walk` returns
    /// whether it is an archive at all.
    fn open(
        &mut self,
        file: &File<'_>,
        walk: impl FnOnce(&Cell<u64>, Keep<'_>, Take<'_>) -> Result<bool, LayerError>,
    ) -> Result<(), LayerError> {
        let before = self.found.mark();
        let (multiple, most) = self.limits(file.size);
        let own = Cell::new(most);
        let left = file.left.unwrap_or(&own);
        if file.depth == DEPTH {
            // Only to see whether it is an archive.
            let stop = || LayerError::from(io::Error::from(io::ErrorKind::Interrupted));
            let walked = walk(left, &mut |_, _, _| Err(stop()), &mut |_| Err(stop()));
            if !matches!(walked, Ok(false)) {
                self.record(|recorder| recorder.deep(file.path));
                self.unreadable(file.path, TOO_DEEP);
            }
            return Ok(());
        }
        // A record holds at any path of the component.
        let recorded = if file.depth == 0 { "" } else { file.path };
        self.record(|recorder| recorder.open(recorded));
        let mut view = View::new(false, memory_of(file.depth));
        let walked = {
            let recorder = self.recorder.clone();
            let mut keeper = Keeper::new(catalog::wanted_of_components, self.aside);
            let keep: Keep<'_> = &mut |path, size, input| {
                let inner = File {
                    path,
                    size,
                    depth: file.depth + 1,
                    left: Some(left),
                };
                self.keep(&mut keeper, &inner, input)
            };
            let mut fill = view.filling();
            walk(left, keep, &mut |entry| {
                if let Some(recorder) = &recorder {
                    recorder.borrow_mut().entry(&entry);
                }
                fill(entry)
            })
        };
        let used = most.saturating_sub(own.get());
        self.spend(used, multiple);
        if file.depth == 0 {
            let bytes = used;
            self.record(|recorder| recorder.unpacked = record::Unpacked { bytes, most });
        }
        let fault = match walked {
            Ok(false) => {
                self.record(Recorder::other);
                return Ok(());
            }
            Ok(true) => None,
            Err(LayerError::Read(error)) if is_damage(&error) => Some(match left.get() {
                0 => "it unpacks to too many bytes".to_owned(),
                _ => format!("it cannot be read completely: {error}"),
            }),
            Err(LayerError::TooLarge(reason)) => Some(reason.to_owned()),
            Err(error) => return Err(error),
        };
        self.record(|recorder| recorder.close(fault.as_deref()));
        self.catalogue((file.path, file.depth), view, before, fault)
    }

    /// Catalogues the archive at a path that is in so many others; `view` has what was
    /// read of it, and `before` is from when it was opened.
    fn catalogue(
        &mut self,
        (path, depth): (&str, usize),
        view: View,
        before: Mark,
        fault: Option<String>,
    ) -> Result<(), LayerError> {
        // An archive that is too large is not read completely; the rest of its component is.
        let catalogued = catalog::packages(&view, Tree::Component, &mut self.found);
        self.found.gather(&view, before);
        let fault = match catalogued.and_then(|()| view.check()) {
            Ok(()) => fault,
            Err(LayerError::TooLarge(reason)) => fault.or_else(|| Some(reason.to_owned())),
            Err(error) => return Err(error),
        };
        if depth == 0 && view.distro().get("id").is_some() {
            self.distro = Some(view.distro().clone());
        }
        relocate(&mut self.found, before, path);
        if let Some(fault) = fault {
            self.unreadable(path, &fault);
        }
        Ok(())
    }

    fn unreadable(&mut self, path: &str, reason: &str) {
        self.found.unreadable_archive(path, reason);
    }
}

/// Whether an error is about the bytes of an archive, not about the disk.
fn is_damage(error: &io::Error) -> bool {
    error.raw_os_error().is_none()
}

/// Walks a tar; returns whether it is one.
fn tar(mut input: impl Read, keep: Keep<'_>, take: Take<'_>) -> Result<bool, LayerError> {
    let mut head = Vec::with_capacity(TAR_HEAD);
    (&mut input).take(TAR_HEAD as u64).read_to_end(&mut head)?;
    if !is_tar(&head) {
        return Ok(false);
    }
    let keep = |path: &str, size, input: &mut dyn Source| keep(path, size, input);
    layer::entries(head.chain(input), keep, take).map(|()| true)
}

/// Counts what an archive unpacks to, and fails once that is too much.
struct Counted<'c, R> {
    inner: R,
    left: &'c Cell<u64>,
}

impl<'c, R: Read> Counted<'c, R> {
    fn new(inner: R, left: &'c Cell<u64>) -> Self {
        Self { inner, left }
    }
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let left = self.left.get().saturating_sub(count as u64);
        self.left.set(left);
        match left {
            0 if count > 0 => Err(io::ErrorKind::FileTooLarge.into()),
            _ => Ok(count),
        }
    }
}

/// Moves what was found after `before` from the root of the archive at `path` into
/// the tree that contains the archive.
fn relocate(found: &mut Found, before: Mark, path: &str) {
    let archive = format!("/{path}");
    // The path may be long; it is not part of a document in these places.
    let mark = Digest::of(archive.as_bytes()).hex();
    let mark = &mark[..16];
    let inside = |location: &mut Location| {
        location.path = format!("{archive}:{}", location.path);
        location.access_path = format!("{archive}:{}", location.access_path);
    };
    found.change_unknowns_after(before, archive.len(), inside);
    found.change_files_after(before, archive.len() + 1, |file| {
        file.path = format!("{archive}:{}", file.path);
    });
    found.change_after(before, archive.len(), |package| {
        package.locations.iter_mut().for_each(inside);
        let licenses = std::mem::take(&mut package.licenses).into_iter();
        package.licenses = licenses
            .map(|mut license| {
                license.locations.iter_mut().for_each(inside);
                license
            })
            .collect();
        // Only packages of the same archive can own or require each other.
        for owned in &mut package.owns {
            *owned = format!("{archive}:{owned}");
        }
        for name in package.provides.iter_mut().chain(&mut package.requires) {
            *name = format!("{mark}\0{name}");
        }
        package.locations.push(Location {
            path: archive.clone(),
            layer: None,
            access_path: archive.clone(),
            annotations: Annotations {
                evidence: Evidence::Supporting,
            },
        });
    });
}

#[cfg(test)]
mod tests;
