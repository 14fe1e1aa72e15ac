//! The `ndb` store of rpm, `Packages.db`, which SUSE uses.
//!
//! Pages of slots at the beginning say where the blob of each package is. Source: the
//! comments on the layout in rpm, `lib/backend/ndb/rpmpkg.c`.

use std::io::{Read, Seek, SeekFrom};

use super::header::{Damage, Visit};
use crate::sbom::body::Body;

/// Length of a page of slots, in bytes.
const PAGE: u64 = 4096;
/// Length of a slot, and of the unit in which blobs are placed, in bytes.
const SLOT: usize = 16;
/// Most pages of slots: a million packages.
const MAX_SLOT_PAGES: u32 = 4096;

/// Visits the header of each package.
pub(super) fn walk(body: &mut Body<'_>, visit: &mut Visit<'_>) -> Result<(), Damage> {
    let mut head = [0; 2 * SLOT];
    body.rewind().map_err(|_| "it is cut short")?;
    body.read_exact(&mut head).map_err(|_| "it is cut short")?;
    let pages = word(&head, 12);
    if &head[..4] != b"RpmP" {
        return Err("it is not an ndb database");
    }
    if pages == 0 || pages > MAX_SLOT_PAGES {
        return Err("it has too many slots");
    }
    let slots = u64::from(pages) * PAGE - head.len() as u64;
    let mut bytes = Vec::new();
    body.take(slots)
        .read_to_end(&mut bytes)
        .map_err(|_| "it is cut short")?;
    // Slots that share their blobs must not multiply the file.
    let mut left = body.size();
    for slot in bytes.chunks_exact(SLOT).filter(|slot| word(slot, 4) != 0) {
        if &slot[..4] != b"Slot" {
            visit(Err("a slot is damaged"));
            continue;
        }
        let blob = blob(body, slot, &mut left);
        match &blob {
            Ok(blob) => visit(Ok((word(slot, 4), blob))),
            Err(damage) => visit(Err(damage)),
        }
    }
    Ok(())
}

/// Reads the blob of a slot.
fn blob(body: &mut Body<'_>, slot: &[u8], left: &mut u64) -> Result<Vec<u8>, Damage> {
    let at = u64::from(word(slot, 8)) * SLOT as u64;
    let room = u64::from(word(slot, 12)) * SLOT as u64;
    let mut head = [0; SLOT];
    let read = body.seek(SeekFrom::Start(at));
    let read = read.and_then(|_| body.read_exact(&mut head));
    read.map_err(|_| "it is cut short")?;
    let length = u64::from(word(&head, 12));
    if &head[..4] != b"BlbS" || head[4..8] != slot[4..8] || length > room {
        return Err("the blob of a package is damaged");
    }
    let rest = left.checked_sub(length);
    *left = rest.ok_or("its packages share their bytes")?;
    let mut bytes = Vec::new();
    let read = body.take(length).read_to_end(&mut bytes);
    match read {
        Ok(count) if count as u64 == length => Ok(bytes),
        _ => Err("it is cut short"),
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes.get(at..at + 4).unwrap_or_default();
    u32::from_le_bytes(bytes.try_into().unwrap_or_default())
}
