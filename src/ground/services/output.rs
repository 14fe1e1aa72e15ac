//! What a service prints: in the log of its task, with its name before each line.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use super::Streams;

/// Maximum length of the output of a service in the log, in bytes: 1 MiB, a part of
/// what a log holds.
const MAX_SHOWN: usize = 1 << 20;

/// How much of the end of an output is shown in any case, in bytes.
const TAIL: usize = 2 << 10;

/// Maximum length of a line, in bytes; the rest is another line.
const MAX_LINE: usize = 8 << 10;

/// One of the two outputs of a process.
pub(super) struct Output {
    /// `None`: it was closed.
    from: Option<OwnedFd>,
    is_error: bool,
    /// Before each line.
    prefix: String,
    /// A line without its end.
    begun: Vec<u8>,
    /// How many bytes may be shown.
    left: usize,
    /// How many bytes were not shown.
    hidden: usize,
    /// Whole lines from the end of those.
    tail: Vec<u8>,
}

impl Output {
    /// The outputs of a service, and the ends for the service.
    pub(super) fn of_service(name: &str) -> io::Result<(Vec<Self>, Option<Streams>)> {
        let (output, streams) = Self::both(&format!("{name} | "), MAX_SHOWN)?;
        Ok((output, Some(streams)))
    }

    /// The outputs of a probe, of which only the end is shown, and only if it failed.
    pub(super) fn of_probe(name: &str) -> io::Result<(Vec<Self>, Streams)> {
        Self::both(&format!("{name} (ready) | "), 0)
    }

    fn both(prefix: &str, left: usize) -> io::Result<(Vec<Self>, Streams)> {
        let (from, stdout) = Self::new(prefix, left, false)?;
        let (from_error, stderr) = Self::new(prefix, left, true)?;
        Ok((vec![from, from_error], [stdout, stderr]))
    }

    fn new(prefix: &str, left: usize, is_error: bool) -> io::Result<(Self, OwnedFd)> {
        let (from, to) = io::pipe()?;
        let from = OwnedFd::from(from);
        rustix::io::ioctl_fionbio(&from, true)?;
        let output = Self {
            from: Some(from),
            is_error,
            prefix: prefix.to_owned(),
            begun: Vec::new(),
            left,
            hidden: 0,
            tail: Vec::new(),
        };
        Ok((output, to.into()))
    }

    /// What to wait for, until it is closed.
    pub(super) fn source(&self) -> Option<BorrowedFd<'_>> {
        self.from.as_ref().map(|from| from.as_fd())
    }

    /// Whether nothing was printed, of what is not shown yet.
    pub(super) fn is_empty(&self) -> bool {
        self.begun.is_empty() && self.tail.is_empty()
    }

    /// Passes on what was printed so far.
    pub(super) fn read(&mut self) {
        let mut buffer = [0; 16 << 10];
        // What prints without an end must not keep this process from all else.
        for _ in 0..4 {
            let Some(from) = &self.from else { return };
            match rustix::io::read(from, &mut buffer) {
                Ok(0) => self.from = None,
                Ok(count) => self.take(&buffer[..count]),
                Err(Errno::AGAIN | Errno::INTR) => return,
                Err(_) => self.from = None,
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match *byte {
                b'\n' => self.line(),
                byte => self.begun.push(byte),
            }
            if self.begun.len() == MAX_LINE {
                self.line();
            }
        }
    }

    /// Passes on the line that was begun.
    fn line(&mut self) {
        let mut line = self.prefix.clone().into_bytes();
        line.append(&mut self.begun);
        line.push(b'\n');
        if let Some(left) = self.left.checked_sub(line.len()) {
            self.left = left;
            self.show(&line);
            return;
        }
        self.left = 0;
        self.hidden += line.len() - self.prefix.len();
        self.tail.append(&mut line);
        if self.tail.len() > 2 * TAIL {
            let cut = self.tail.len() - TAIL;
            let end = memchr::memchr(b'\n', &self.tail[cut..]);
            self.tail.drain(..end.map_or(cut, |end| cut + end + 1));
        }
    }

    /// Passes on the rest, and the end of what was not shown.
    pub(super) fn finish(&mut self) {
        self.read();
        self.from = None;
        if !self.begun.is_empty() {
            self.line();
        }
        let tail = std::mem::take(&mut self.tail);
        let shown = tail.split_inclusive(|byte| *byte == b'\n');
        let shown: usize = shown.map(|line| line.len() - self.prefix.len()).sum();
        if self.hidden > shown {
            let prefix = &self.prefix;
            let note = format!("{prefix}[{} bytes left out]\n", self.hidden - shown);
            self.show(note.as_bytes());
        }
        self.show(&tail);
        self.hidden = 0;
    }

    fn show(&self, text: &[u8]) {
        write(text, self.is_error);
    }
}

/// Adds a line to the log.
pub(super) fn note(text: &str) {
    write(format!("[{text}]\n").as_bytes(), true);
}

fn write(mut text: &[u8], is_error: bool) {
    while !text.is_empty() {
        let written = match is_error {
            true => rustix::io::write(rustix::stdio::stderr(), text),
            false => rustix::io::write(rustix::stdio::stdout(), text),
        };
        match written {
            Ok(count) => text = text.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // Nothing reads the log any more.
            Err(_) => return,
        }
    }
}
