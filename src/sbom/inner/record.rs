//! What opening one file of a component comes to, as a sequence of events: recorded once,
//! and replayed when another component, or a later version of it, has the same file.
//!
//! Events are about files, like the scans of layers, and not about packages, so that a
//! replay has the same order, limits and relations as a scan.

use std::io::{self, Read, Write as _};

use zstd::stream::read::Decoder;
use zstd::stream::write::Encoder;

use super::Form;
use crate::archive::MAX_PATH_BYTES;
use crate::codec::{CodecError, Reader, Writer};
use crate::oci::Digest;
use crate::sbom::catalog;
use crate::sbom::layer::{Content, Entry};
use crate::sbom::stored::{read_content, read_entry, write_content, write_entry};

const MAGIC: &[u8; 8] = b"jkfile\x01\n";

/// Longest record, in bytes: 16 MiB. What comes to more is scanned again.
const MOST: usize = 16 << 20;

/// Longest path in a record, and longest reason, in bytes.
const MAX_TEXT: u64 = 4 * MAX_PATH_BYTES as u64;

/// Largest file that is put aside to learn its digest, in bytes.
pub(super) const LARGEST: u64 = 4 << 30;

/// What all facts that are known of a file are known by: its bytes, its name, and who
/// wants it, which also depends on its folder.
pub(super) fn key(digest: &Digest, path: &str) -> Digest {
    let name = path.rsplit('/').next().unwrap_or(path);
    let row = catalog::row_of(path);
    Digest::of(format!("{digest} {row} {name}").as_bytes())
}

/// One step of a scan.
pub(super) enum Event {
    /// An archive begins at this path; empty: it is the file itself.
    Open(String),
    /// The archive has a file, folder or link.
    Entry(Box<Entry>),
    /// The archive ends, with what is wrong with it.
    Close(Option<String>),
    /// It was no archive.
    Other,
    /// An archive at this path is too deep to be opened.
    Deep(String),
    /// What is kept of the file itself; the last event.
    End(Option<Content>),
}

/// What archives may unpack to. A record holds for the same limit, and for any that is
/// not reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unpacked {
    pub(super) bytes: u64,
    pub(super) most: u64,
}

impl Unpacked {
    pub(super) const NOTHING: Self = Self {
        bytes: 0,
        most: u64::MAX,
    };

    /// Whether the same happens if at most `most` bytes may be unpacked.
    pub(super) fn holds_for(self, most: u64) -> bool {
        most == self.most || self.bytes < most.min(self.most)
    }
}

/// Records events.
pub(super) struct Recorder {
    /// `None`: there was too much.
    out: Option<Encoder<'static, Vec<u8>>>,
    writer: Writer,
    pub(super) unpacked: Unpacked,
}

impl Recorder {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            out: Some(Encoder::new(Vec::new(), 1)?),
            writer: Writer::new(MAGIC),
            unpacked: Unpacked::NOTHING,
        })
    }

    fn event(&mut self, kind: u8, write: impl FnOnce(&mut Writer)) {
        let Some(out) = &mut self.out else {
            return;
        };
        self.writer.byte(kind);
        write(&mut self.writer);
        let written = out.write_all(self.writer.drain().as_ref());
        if written.is_err() || out.get_ref().len() > MOST {
            self.out = None;
        }
    }

    pub(super) fn open(&mut self, path: &str) {
        self.event(0, |out| out.text(path));
    }

    pub(super) fn entry(&mut self, entry: &Entry) {
        self.event(1, |out| write_entry(out, entry));
    }

    pub(super) fn close(&mut self, fault: Option<&str>) {
        self.event(2, |out| {
            out.flag(fault.is_some());
            out.text(fault.unwrap_or_default());
        });
    }

    pub(super) fn other(&mut self) {
        self.event(3, |_| ());
    }

    pub(super) fn deep(&mut self, path: &str) {
        self.event(4, |out| out.text(path));
    }

    /// The record of a file of which `content` is kept; `None`: it is too long.
    pub(super) fn finish(mut self, content: Option<&Content>) -> Option<Vec<u8>> {
        self.event(5, |out| write_content(out, content));
        let events = self.out?.finish().ok()?;
        let mut record = self.unpacked.bytes.to_le_bytes().to_vec();
        record.extend(self.unpacked.most.to_le_bytes());
        record.extend(events);
        Some(record)
    }
}

/// A record that is read again.
pub(super) struct Replay<'r> {
    pub(super) unpacked: Unpacked,
    reader: Reader<io::BufReader<Decoder<'static, io::BufReader<&'r [u8]>>>>,
}

impl<'r> Replay<'r> {
    pub(super) fn new(record: &'r [u8]) -> Result<Self, CodecError> {
        let mut at = record;
        let mut number = || -> io::Result<u64> {
            let mut bytes = [0; 8];
            at.read_exact(&mut bytes)?;
            Ok(u64::from_le_bytes(bytes))
        };
        let unpacked = Unpacked {
            bytes: number()?,
            most: number()?,
        };
        let mut reader = Reader::new(io::BufReader::new(Decoder::new(at)?));
        reader.magic(MAGIC, "the first bytes of a finding, `jkfile`")?;
        Ok(Self { unpacked, reader })
    }

    /// The next event; after [`Event::End`], there is none.
    pub(super) fn next(&mut self) -> Result<Event, CodecError> {
        let reader = &mut self.reader;
        let at = reader.at();
        Ok(match reader.byte("the kind of an event")? {
            0 => Event::Open(reader.text(MAX_TEXT, "a path")?),
            1 => Event::Entry(Box::new(read_entry(reader)?)),
            2 => {
                let fault = reader.flag()?;
                let reason = reader.text(MAX_TEXT, "a reason")?;
                Event::Close(fault.then_some(reason))
            }
            3 => Event::Other,
            4 => Event::Deep(reader.text(MAX_TEXT, "a path")?),
            5 => {
                let content = read_content(reader)?;
                reader.end()?;
                Event::End(content)
            }
            _ => return Err(CodecError::malformed(at, "a kind from 0 to 5")),
        })
    }
}

/// Whether to learn what is in a file takes more than to read it.
pub(super) fn is_costly(form: Option<Form>, size: u64, keeper: impl FnOnce() -> bool) -> bool {
    size <= LARGEST && (form.is_some() || keeper())
}
