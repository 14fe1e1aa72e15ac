//! Programs by name, and what scripts among them start.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::disk::{self, look};

/// Where the program `name` may be.
pub(super) fn candidates(folders: &[PathBuf], name: &str) -> Vec<PathBuf> {
    match name.starts_with('/') {
        true => vec![PathBuf::from(name)],
        false => folders.iter().map(|folder| folder.join(name)).collect(),
    }
}

/// The program at `path`, with all links resolved: the target is what runs.
pub(super) fn program(path: &Path) -> Option<PathBuf> {
    // Of most folders on a path, it is in none, which one question tells.
    let facts = look::metadata(path).ok()?;
    let real = disk::is_program(&facts).then(|| look::canonicalize(path));
    real?.ok()
}

/// Largest script that is searched for programs, in bytes: 64 KiB. Wrappers are short.
const MAX_SCRIPT_BYTES: u64 = 64 << 10;

/// Maximum number of programs that one script leads to: a wrapper starts a few, and a
/// script that names more is a program of its own.
const MAX_LED_TO: usize = 16;

/// The program at `path`, and for a script its interpreter and the programs that it
/// names, which may be what really runs; as they are named.
pub(super) fn parts(folders: &[PathBuf], path: &Path) -> Vec<PathBuf> {
    let mut found = vec![path.to_owned()];
    let mut next = 0;
    while let Some(file) = found.get(next) {
        next += 1;
        for led in led_to(folders, file) {
            if found.len() <= MAX_LED_TO && !found.contains(&led) {
                found.push(led);
            }
        }
    }
    found
}

/// The interpreter of a script, and the programs that it names by their whole paths or
/// after `exec`; none for another file. Programs that it finds in another way are not
/// known.
fn led_to(folders: &[PathBuf], file: &Path) -> Vec<PathBuf> {
    let read = || {
        let mut file = look::open(file).ok()?;
        let (mut start, mut bytes) = ([0; 2], Vec::new());
        file.read_exact(&mut start)
            .ok()
            .filter(|()| start == *b"#!")?;
        file.take(MAX_SCRIPT_BYTES).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let Some(text) = read() else {
        return Vec::new();
    };
    let at = |name: &str| {
        let mut named = candidates(folders, name).into_iter();
        named.find(|path| program(path).is_some())
    };
    let mut found = Vec::new();
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let mut words = first.split_whitespace();
    let interpreter = words.next().unwrap_or_default();
    found.extend(at(interpreter).filter(|_| interpreter.starts_with('/')));
    if interpreter.ends_with("/env") {
        let name = words.find(|word| !word.starts_with('-') && !word.contains('='));
        found.extend(name.and_then(at));
    }
    let ends = |c: char| c.is_whitespace() || "'\"`()<>|&;=$".contains(c);
    for line in rest
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
    {
        let mut before = "";
        for word in line.split(ends).filter(|word| !word.is_empty()) {
            // The word after `exec` is a name or a path, unless it is an option.
            if word.starts_with('/') || before == "exec" && !word.starts_with('-') {
                found.extend(at(word));
            }
            before = word;
        }
    }
    found.retain(|led| led != file);
    found
}
