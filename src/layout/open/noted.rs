//! Which side of a copy failed.

use std::io::{self, Write};

/// Records an error of the writer, to distinguish it from one of the reader.
pub(super) struct Noted<'w, W> {
    pub(super) out: &'w mut W,
    pub(super) failed: Option<io::Error>,
}

impl<W: Write> Write for Noted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes).map_err(|error| {
            let kind = error.kind();
            // An interrupted write is tried again.
            if kind != io::ErrorKind::Interrupted {
                self.failed = Some(error);
            }
            kind.into()
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
