//! Pointers of Git LFS: small texts that Git checks out instead of files whose content
//! is in another store.
//!
//! Source: the specification of Git LFS, "The Pointer".

use std::io::{self, Cursor, Read};

/// The first line of a pointer.
pub const LFS_POINTER: &str = "version https://git-lfs.github.com/spec/v1";

/// Size in bytes that every pointer is below.
const MAX_POINTER_BYTES: u64 = 1024;

/// Reads the start of `content`, of `size` bytes. Returns whether it is a pointer, and
/// all of the content.
///
/// # Errors
///
/// Those of `content`.
pub fn lfs_pointer<R: Read>(size: u64, mut content: R) -> io::Result<(bool, impl Read)> {
    let mut head = Vec::new();
    if size < MAX_POINTER_BYTES {
        let first = LFS_POINTER.len() as u64 + 1;
        (&mut content).take(first).read_to_end(&mut head)?;
    }
    let rest = head.strip_prefix(LFS_POINTER.as_bytes());
    let found = rest.is_some_and(|rest| rest.starts_with(b"\n"));
    Ok((found, Cursor::new(head).chain(content)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_small_files_with_the_first_line_are_pointers() {
        let pointer = format!("{LFS_POINTER}\noid sha256:{}\nsize 9\n", "7".repeat(64));
        let longer = format!("{LFS_POINTER}1\n");
        for (text, expected) in [(&pointer, true), (&longer, false), (&String::new(), false)] {
            let (found, mut content) = lfs_pointer(text.len() as u64, text.as_bytes()).unwrap();
            let mut same = String::new();
            content.read_to_string(&mut same).unwrap();
            assert_eq!((found, &same), (expected, text));
        }
        assert!(!lfs_pointer(1024, pointer.as_bytes()).unwrap().0);
    }
}
