//! Where the sections and segments of an executable are.
//!
//! Reads headers only. A program of a hundred megabytes is read at the places that
//! matter, so whatever is read is counted.

use std::cell::Cell;
use std::ops::Range;

use object::read::elf::{FileHeader, ProgramHeader as _, SectionHeader as _};
use object::read::macho::{MachHeader, Section as _, Segment as _};
use object::read::pe::{ImageNtHeaders, SectionTable};
use object::read::{ReadCache, ReadRef};
use object::{Endianness, LittleEndian as LE, elf, macho, pe};

use super::super::body::Aside as ReadSeek;

/// Most bytes of a large executable that are read for its headers and facts: 48 MiB.
/// The largest known lists of modules have a megabyte.
const READ_BYTES: u64 = 48 << 20;

/// Most segments of an executable; programs have about ten.
const MAX_SEGMENTS: usize = 1000;

/// The sections that have facts.
const SECTIONS: [&str; 9] = [
    GO_INFO,
    GO_INFO_MACHO,
    GO_LINES,
    ".data.rel.ro.gopclntab",
    "__gopclntab",
    AUDIT,
    NOTE,
    ".rodata",
    "__rodata",
];

pub(super) const GO_INFO: &str = ".go.buildinfo";
pub(super) const GO_INFO_MACHO: &str = "__go_buildinfo";
const GO_LINES: &str = ".gopclntab";
/// Start of the instructions of a program of Go.
const GO_ID: &[u8] = b"\xff Go build ID: ";
/// The list of crates that cargo-auditable embeds.
pub(super) const AUDIT: &str = ".dep-v0";
/// The note about the package of an ELF file.
pub(super) const NOTE: &str = ".note.package";

/// The content of an executable, or of one part of a universal one.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    data: Data<'a>,
    /// Where it begins in its file.
    base: u64,
    size: u64,
}

/// A file that is put aside.
pub(super) type Aside<'a> = &'a mut (dyn ReadSeek + 'a);

#[derive(Clone, Copy)]
enum Data<'a> {
    Held(&'a [u8]),
    /// With the number of bytes that may still be read.
    Aside(&'a ReadCache<Aside<'a>>, &'a Cell<u64>),
}

impl<'a> Source<'a> {
    pub(super) fn held(bytes: &'a [u8]) -> Self {
        Self {
            data: Data::Held(bytes),
            base: 0,
            size: bytes.len() as u64,
        }
    }

    /// A file that is put aside, and [`allowance`](Self::allowance).
    pub(super) fn aside(cache: &'a ReadCache<Aside<'a>>, left: &'a Cell<u64>) -> Self {
        Self {
            data: Data::Aside(cache, left),
            base: 0,
            size: cache.len().unwrap_or(0),
        }
    }

    /// Bytes that may be read of a file that is put aside.
    pub(super) fn allowance() -> Cell<u64> {
        Cell::new(READ_BYTES)
    }

    /// The part of `size` bytes at `offset`, as a file of its own.
    pub(super) fn part(self, offset: u64, size: u64) -> Option<Self> {
        (offset.checked_add(size)? <= self.size).then_some(Self {
            data: self.data,
            base: self.base + offset,
            size,
        })
    }

    /// Where `part` of this content is in the file.
    pub(super) fn in_file(self, part: Part) -> Part {
        let left = self.size.saturating_sub(part.offset);
        Part {
            offset: self.base.saturating_add(part.offset),
            size: part.size.min(left),
            ..part
        }
    }
}

fn take(left: &Cell<u64>, bytes: u64) -> Result<(), ()> {
    left.set(left.get().checked_sub(bytes).ok_or(())?);
    Ok(())
}

impl<'a> ReadRef<'a> for Source<'a> {
    fn len(self) -> Result<u64, ()> {
        Ok(self.size)
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'a [u8], ()> {
        let end = offset.checked_add(size).ok_or(())?;
        if end > self.size {
            return Err(());
        }
        let offset = self.base + offset;
        match self.data {
            Data::Held(bytes) => bytes.read_bytes_at(offset, size),
            Data::Aside(cache, left) => {
                take(left, size)?;
                cache.read_bytes_at(offset, size)
            }
        }
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'a [u8], ()> {
        if range.end > self.size || range.start > range.end {
            return Err(());
        }
        let range = self.base + range.start..self.base + range.end;
        match self.data {
            Data::Held(bytes) => bytes.read_bytes_at_until(range, delimiter),
            Data::Aside(cache, left) => {
                // The cache reads at most this much.
                take(left, range.end.saturating_sub(range.start).min(4096))?;
                cache.read_bytes_at_until(range, delimiter)
            }
        }
    }
}

/// A part of the file, and its place in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) address: u64,
    pub(super) offset: u64,
    pub(super) size: u64,
}

/// What the headers of an executable say.
pub(super) struct Layout<'a> {
    pub(super) source: Source<'a>,
    sections: Vec<(&'static str, Part)>,
    segments: Vec<Part>,
    /// The first part that programs write to: Go keeps its facts at its start.
    pub(super) data: Option<Part>,
    /// The processor: for ELF the name in its specification, in lower case, otherwise Go's.
    pub(super) machine: &'static str,
    /// Whether it has the version resources of Windows, and where.
    pub(super) resources: Option<Part>,
    /// Whether it runs in the .NET runtime.
    pub(super) managed: bool,
    /// The instructions, in programs of Windows.
    text: Option<Part>,
    /// Whether it has no section headers at all.
    bare: bool,
    pub(super) format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Elf,
    MachO,
    Pe,
}

impl<'a> Layout<'a> {
    /// Reads the headers; `None` for damaged ones, and for ELF files that are neither
    /// programs nor libraries.
    pub(super) fn read(source: Source<'a>) -> Option<Self> {
        let head = source.read_bytes_at(0, 16).ok()?;
        match head {
            [0x7f, b'E', b'L', b'F', 1, ..] => Self::elf::<elf::FileHeader32<Endianness>>(source),
            [0x7f, b'E', b'L', b'F', 2, ..] => Self::elf::<elf::FileHeader64<Endianness>>(source),
            [b'M', b'Z', ..] => Self::pe(source),
            [0xfe | 0xce, _, _, 0xce | 0xfe, ..] => {
                Self::macho::<macho::MachHeader32<Endianness>>(source)
            }
            _ => Self::macho::<macho::MachHeader64<Endianness>>(source),
        }
    }

    fn new(source: Source<'a>, format: Format) -> Self {
        Self {
            source,
            sections: Vec::new(),
            segments: Vec::new(),
            data: None,
            machine: "",
            resources: None,
            managed: false,
            text: None,
            bare: false,
            format,
        }
    }

    fn elf<E: FileHeader<Endian = Endianness>>(source: Source<'a>) -> Option<Self> {
        let header = E::parse(source).ok()?;
        let endian = header.endian().ok()?;
        if !matches!(header.e_type(endian), elf::ET_EXEC | elf::ET_DYN) {
            return None;
        }
        let mut layout = Self::new(source, Format::Elf);
        layout.machine = match header.e_machine(endian) {
            elf::EM_X86_64 => "x86_64",
            elf::EM_386 => "386",
            elf::EM_AARCH64 => "aarch64",
            elf::EM_ARM => "arm",
            elf::EM_PPC64 => "ppc64",
            elf::EM_S390 => "s390",
            elf::EM_RISCV => "riscv",
            elf::EM_LOONGARCH => "loongarch",
            elf::EM_MIPS => "mips",
            _ => "",
        };
        let segments = header.program_headers(endian, source).unwrap_or_default();
        let loaded = segments.iter().take(MAX_SEGMENTS);
        for segment in loaded.filter(|segment| segment.p_type(endian) == elf::PT_LOAD) {
            let (offset, size) = segment.file_range(endian);
            let part = Part {
                address: segment.p_vaddr(endian).into(),
                offset,
                size,
            };
            layout.segments.push(part);
            let flags = segment.p_flags(endian);
            if flags.0 & (elf::PF_W.0 | elf::PF_X.0) == elf::PF_W.0 {
                layout.data.get_or_insert(part);
            }
        }
        if let Ok(sections) = header.sections(endian, source) {
            layout.bare = sections.is_empty();
            for section in sections.iter() {
                let (Ok(name), Some((offset, size))) = (
                    sections.section_name(endian, section),
                    section.file_range(endian),
                ) else {
                    continue;
                };
                let address = section.sh_addr(endian).into();
                layout.found(
                    name,
                    Part {
                        address,
                        offset,
                        size,
                    },
                );
            }
        }
        Some(layout)
    }

    fn found(&mut self, name: &[u8], part: Part) {
        if let Some(known) = SECTIONS.iter().find(|known| known.as_bytes() == name)
            && self.section(known).is_none()
        {
            self.sections.push((known, part));
        }
    }

    fn macho<M: MachHeader<Endian = Endianness>>(source: Source<'a>) -> Option<Self> {
        let header = M::parse(source, 0).ok()?;
        let endian = header.endian().ok()?;
        let mut layout = Self::new(source, Format::MachO);
        layout.machine = match header.cputype(endian) {
            macho::CPU_TYPE_X86_64 => "amd64",
            macho::CPU_TYPE_ARM64 => "arm64",
            macho::CPU_TYPE_X86 => "386",
            macho::CPU_TYPE_ARM => "arm",
            _ => "",
        };
        let mut commands = header.load_commands(endian, source, 0).ok()?;
        while let Ok(Some(command)) = commands.next() {
            let Ok(Some((segment, rest))) = M::Segment::from_command(command) else {
                continue;
            };
            if layout.segments.len() == MAX_SEGMENTS {
                break;
            }
            let (offset, size) = segment.file_range(endian);
            let address = segment.vmaddr(endian).into();
            let part = Part {
                address,
                offset,
                size,
            };
            layout.segments.push(part);
            if segment.name() == b"__DATA" {
                layout.data.get_or_insert(part);
            }
            for section in segment.sections(endian, rest).unwrap_or_default() {
                let part = Part {
                    address: section.addr(endian).into(),
                    offset: section.offset(endian).into(),
                    size: section.size(endian).into(),
                };
                // Names of 16 bytes have no zero at their end.
                layout.found(section.name(), part);
            }
        }
        Some(layout)
    }

    fn pe(source: Source<'a>) -> Option<Self> {
        let dos = pe::ImageDosHeader::parse(source).ok()?;
        let start = u64::from(dos.nt_headers_offset());
        // The magic number of the optional header is after the signature and the file
        // header.
        let magic = source.read_bytes_at(start.checked_add(24)?, 2).ok()?;
        match magic {
            [0x0b, 0x01] => Self::pe_of::<pe::ImageNtHeaders32>(source, start),
            [0x0b, 0x02] => Self::pe_of::<pe::ImageNtHeaders64>(source, start),
            _ => None,
        }
    }

    fn pe_of<P: ImageNtHeaders>(source: Source<'a>, start: u64) -> Option<Self> {
        let mut offset = start;
        let (headers, directories) = P::parse(source, &mut offset).ok()?;
        let sections = headers.sections(source, offset).ok()?;
        let base = {
            use object::read::pe::ImageOptionalHeader as _;
            headers.optional_header().image_base()
        };
        let mut layout = Self::new(source, Format::Pe);
        layout.machine = match headers.file_header().machine.get(LE) {
            pe::IMAGE_FILE_MACHINE_AMD64 => "amd64",
            pe::IMAGE_FILE_MACHINE_I386 => "386",
            pe::IMAGE_FILE_MACHINE_ARM64 => "arm64",
            pe::IMAGE_FILE_MACHINE_ARMNT => "arm",
            _ => "",
        };
        for section in sections.iter().take(MAX_SEGMENTS) {
            let (offset, size) = section.pe_file_range();
            let part = Part {
                address: base.wrapping_add(section.virtual_address.get(LE).into()),
                offset: offset.into(),
                size: size.into(),
            };
            layout.segments.push(part);
            layout.found(section.raw_name(), part);
            if section.raw_name() == b".text" {
                layout.text.get_or_insert(part);
            }
            let flags = section.characteristics.get(LE).0;
            let written = pe::IMAGE_SCN_CNT_INITIALIZED_DATA.0 | pe::IMAGE_SCN_MEM_WRITE.0;
            if flags & written == written {
                layout.data.get_or_insert(part);
            }
        }
        let directory = |index| {
            let directory = directories.get(index)?;
            (directory.virtual_address.get(LE) != 0).then_some(directory)
        };
        layout.managed = directory(pe::IMAGE_DIRECTORY_ENTRY_COM_DESCRIPTOR).is_some();
        layout.resources = directory(pe::IMAGE_DIRECTORY_ENTRY_RESOURCE)
            .and_then(|directory| resources(directory, &sections));
        Some(layout)
    }

    pub(super) fn section(&self, name: &str) -> Option<Part> {
        let mut sections = self.sections.iter();
        Some(sections.find(|(known, _)| *known == name)?.1)
    }

    /// The bytes of a part, at most `most`.
    pub(super) fn bytes(&self, part: Part, most: u64) -> Option<&'a [u8]> {
        let size = part.size.min(most);
        self.source.read_bytes_at(part.offset, size).ok()
    }

    /// The `size` bytes at an address in memory.
    pub(super) fn at(&self, address: u64, size: u64) -> Option<&'a [u8]> {
        self.segments.iter().find_map(|segment| {
            let inside = address.checked_sub(segment.address)?;
            (inside.checked_add(size)? <= segment.size).then_some(())?;
            let offset = segment.offset.checked_add(inside)?;
            self.source.read_bytes_at(offset, size).ok()
        })
    }

    /// Whether it may be a program of Go. Those of Windows have no section that says so.
    pub(super) fn may_be_go(&self) -> bool {
        let named = SECTIONS[..5]
            .iter()
            .any(|name| self.section(name).is_some());
        named || self.bare || self.format == Format::Pe
    }

    /// Whether it is a program of Go.
    pub(super) fn is_go(&self) -> bool {
        let named = SECTIONS[..5]
            .iter()
            .any(|name| self.section(name).is_some());
        named
            || self
                .text
                .and_then(|text| self.bytes(text, 16))
                .is_some_and(|text| text.starts_with(GO_ID))
    }

    /// The parts that programs only read, and the rest, where texts of Go are.
    pub(super) fn constants(&self) -> Vec<Part> {
        let named = [".rodata", "__rodata"];
        let named: Vec<Part> = named.iter().filter_map(|name| self.section(name)).collect();
        let parts = match named.is_empty() {
            true => &self.segments,
            false => &named,
        };
        // Parts overlap little; a thousand that all are the whole file would take long.
        let mut left = self.source.size.saturating_mul(2);
        let parts = parts.iter().map(|part| self.source.in_file(*part));
        let parts = parts.map(|part| {
            let size = part.size.min(left);
            left -= size;
            Part { size, ..part }
        });
        parts.filter(|part| part.size > 0).collect()
    }
}

/// The place of the resources in the file; their addresses count from the start in
/// memory.
fn resources(directory: &pe::ImageDataDirectory, sections: &SectionTable<'_>) -> Option<Part> {
    let (offset, size) = directory.file_range(sections).ok()?;
    Some(Part {
        address: directory.virtual_address.get(LE).into(),
        offset: offset.into(),
        size: size.into(),
    })
}
