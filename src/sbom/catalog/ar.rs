//! Archives of `ar`, which Debian's packages are.
//!
//! Source: deb(5).

use std::io::{Read, Seek, SeekFrom};

use crate::sbom::body::Body;

const MAGIC: &[u8; 8] = b"!<arch>\n";
/// Length of what every member begins with, in bytes.
const HEAD: usize = 60;
/// Most members that are read: packages have three.
const MAX_MEMBERS: usize = 64;

/// Where a member is.
pub(super) struct Member {
    pub(super) name: String,
    at: u64,
    length: u64,
}

/// The members of the archive; `None` if it is not one. Ends where it is damaged.
pub(super) fn members(body: &mut Body<'_>) -> Option<Vec<Member>> {
    let mut magic = [0; MAGIC.len()];
    body.rewind().ok()?;
    body.read_exact(&mut magic).ok()?;
    if magic != *MAGIC {
        return None;
    }
    let mut members = Vec::new();
    let mut at = magic.len() as u64;
    while members.len() < MAX_MEMBERS {
        let mut head = [0; HEAD];
        let read = body.seek(SeekFrom::Start(at));
        if read.and_then(|_| body.read_exact(&mut head)).is_err() || head[58..] != *b"`\n" {
            break;
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        let Ok(length) = text(&head[48..58]).parse::<u64>() else {
            break;
        };
        let name = text(&head[..16]).trim_end_matches('/').to_owned();
        at += HEAD as u64;
        members.push(Member { name, at, length });
        let Some(end) = at.checked_add(length) else {
            break;
        };
        at = end.next_multiple_of(2);
    }
    Some(members)
}

impl Member {
    /// The bytes of it.
    pub(super) fn open<'b>(&self, body: &'b mut Body<'_>) -> Option<impl Read + use<'b>> {
        body.seek(SeekFrom::Start(self.at)).ok()?;
        Some(body.take(self.length))
    }
}
