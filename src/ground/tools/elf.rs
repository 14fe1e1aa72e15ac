//! The libraries of a program in the ELF format.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use object::elf::{
    DT_NEEDED, DT_NULL, DT_RPATH, DT_RUNPATH, DT_STRTAB, DynamicTag, ELFMAG, FileHeader32,
    FileHeader64,
};
use object::read::elf::{Dyn as _, FileHeader, ProgramHeader as _};
use object::{Endianness, ReadCache, ReadRef};
use serde::{Deserialize, Serialize};

use crate::disk::{self, look};

/// Maximum number of dynamic entries and of bytes of a name that are read. Programs have
/// a hundred entries; a made-up header could name a gigabyte.
const MAX_ENTRIES: usize = 4096;

/// Maximum size of a segment that is read whole, in bytes: 1 MiB.
const MAX_SEGMENT: u64 = 1 << 20;

/// What an ELF file says about the libraries it needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Linked {
    /// The program that loads it.
    loader: Option<String>,
    needed: Vec<String>,
    /// Folders to look in first, where `$ORIGIN` is the file's own.
    run_path: Vec<String>,
}

/// Reads the file at `path`; one in another format, or that cannot be understood, needs
/// nothing.
pub(super) fn read(path: &Path) -> Linked {
    let parse = || {
        let mut file = look::open(path).ok()?;
        let mut head = [0; 5];
        file.read_exact(&mut head).ok()?;
        if !head.starts_with(&ELFMAG) {
            return None;
        }
        let data = ReadCache::new(file);
        match head[4] {
            1 => parse::<FileHeader32<Endianness>, _>(&data),
            _ => parse::<FileHeader64<Endianness>, _>(&data),
        }
    };
    parse().unwrap_or_default()
}

fn parse<'d, Elf, R>(data: R) -> Option<Linked>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'d>,
{
    let header = Elf::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, data).ok()?;
    let mut linked = Linked::default();
    let mut dynamic = None;
    for segment in segments {
        let size: u64 = segment.p_filesz(endian).into();
        if size > MAX_SEGMENT {
            continue;
        }
        if let Ok(Some(loader)) = segment.interpreter(endian, data) {
            linked.loader = Some(text(loader)?);
        }
        if let Ok(Some(found)) = segment.dynamic(endian, data) {
            dynamic = Some(found);
        }
    }
    let entries = dynamic.unwrap_or_default().iter().take(MAX_ENTRIES);
    let entries: Vec<(DynamicTag, u64)> = entries
        .map(|entry| (entry.d_tag(endian), entry.d_val(endian).into()))
        .take_while(|(tag, _)| *tag != DT_NULL)
        .collect();
    let strings = entries.iter().find(|(tag, _)| *tag == DT_STRTAB);
    let Some((_, strings)) = strings else {
        return Some(linked);
    };
    // The table is given by its address in memory.
    let place = segments.iter().find_map(|segment| {
        let start: u64 = segment.p_vaddr(endian).into();
        let size: u64 = segment.p_filesz(endian).into();
        let offset: u64 = segment.p_offset(endian).into();
        let below = strings.checked_sub(start).filter(|below| *below < size)?;
        let is_loaded = segment.p_type(endian) == object::elf::PT_LOAD;
        is_loaded.then_some((offset.checked_add(below)?, offset.checked_add(size)?))
    });
    let (start, end) = place?;
    let string = |at: u64| {
        let range = start.checked_add(at)?..end;
        text(data.read_bytes_at_until(range, 0).ok()?)
    };
    for (tag, value) in &entries {
        match *tag {
            DT_NEEDED => linked.needed.push(string(*value)?),
            DT_RPATH | DT_RUNPATH => {
                let folders = string(*value)?;
                linked
                    .run_path
                    .extend(folders.split(':').map(str::to_owned));
            }
            _ => {}
        }
    }
    Some(linked)
}

fn text(bytes: &[u8]) -> Option<String> {
    Some(std::str::from_utf8(bytes).ok()?.to_owned())
}

impl Linked {
    /// The files that the program at `path`, links resolved, loads. What is not found is
    /// left out: the program fails, or does without it.
    pub(super) fn files(&self, path: &Path) -> Vec<PathBuf> {
        let origin = path.parent().unwrap_or(Path::new("/"));
        let own = self.run_path.iter().map(|folder| {
            let origin = origin.to_string_lossy();
            let folder = folder.replace("${ORIGIN}", &origin);
            PathBuf::from(folder.replace("$ORIGIN", &origin))
        });
        let folders: Vec<PathBuf> = own.chain(usual_folders().iter().cloned()).collect();
        let mut found: Vec<PathBuf> = self.loader.iter().map(PathBuf::from).collect();
        for name in &self.needed {
            match name.contains('/') {
                true => found.push(PathBuf::from(name)),
                false => found.extend(
                    folders
                        .iter()
                        .map(|folder| folder.join(name))
                        .find(|path| look::is_file(path)),
                ),
            }
        }
        found.retain(|path| path.is_absolute() && look::is_file(path));
        found
    }
}

/// Where the dynamic loader looks for libraries; listed once.
fn usual_folders() -> &'static [PathBuf] {
    static FOUND: OnceLock<Vec<PathBuf>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mut found = Vec::new();
        configured(Path::new("/etc/ld.so.conf"), &mut found, 0);
        let usual = ["/lib64", "/usr/lib64", "/lib", "/usr/lib"].map(PathBuf::from);
        found.extend(usual);
        found
    })
}

/// Maximum size of a file that lists folders, in bytes: 64 KiB.
const MAX_LIST: u64 = 64 << 10;

/// The folders that `file`, and the files that it includes, list.
fn configured(file: &Path, found: &mut Vec<PathBuf>, depth: usize) {
    let Ok(text) = disk::read_text(file, MAX_LIST) else {
        return;
    };
    for line in text.lines().map(str::trim) {
        match line.strip_prefix("include ") {
            Some(pattern) if depth == 0 => {
                let folder = Path::new(pattern.trim()).parent();
                let entries = folder.and_then(|folder| look::read_dir(folder).ok());
                let files = entries.into_iter().flatten().flatten();
                let mut files: Vec<PathBuf> = files.map(|entry| entry.path()).collect();
                files.sort();
                files.retain(|file| file.extension().is_some_and(|end| end == "conf"));
                for file in files {
                    configured(&file, found, depth + 1);
                }
            }
            None if line.starts_with('/') => found.push(PathBuf::from(line)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_libraries_of_this_program_are_found() {
        let own = std::env::current_exe().unwrap();
        let linked = read(&own);
        assert!(linked.needed.iter().any(|name| name.starts_with("libc.")));
        let files = linked.files(&own);
        assert!(files.iter().any(|file| {
            let name = file.file_name().unwrap().to_string_lossy();
            name.starts_with("libc.") && file.is_file()
        }));
    }

    #[test]
    fn folders_beside_the_program_come_first() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        std::fs::create_dir_all(at("lib")).unwrap();
        std::fs::create_dir_all(at("bin")).unwrap();
        std::fs::write(at("lib/libown.so"), "x").unwrap();
        let linked = Linked {
            loader: None,
            needed: vec!["libown.so".into(), "libabsent.so".into()],
            run_path: vec!["$ORIGIN/../lib".into()],
        };
        let found = linked.files(&at("bin/program"));
        assert_eq!(found, [at("bin/../lib/libown.so")]);
    }

    #[test]
    fn a_damaged_file_needs_nothing_or_something_and_never_panics() {
        let own = std::fs::read("/bin/sh").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("damaged");
        for at in (0..1024.min(own.len())).step_by(7) {
            for value in [0, 0x7f, 0xff] {
                let mut bytes = own.clone();
                bytes[at] = value;
                std::fs::write(&path, &bytes).unwrap();
                let _ = read(&path);
            }
            std::fs::write(&path, &own[..at]).unwrap();
            let _ = read(&path);
        }
    }
}
