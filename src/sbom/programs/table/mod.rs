//! The programs, one row each: which files, where the version is, and what the package
//! is called. Each row has an example that the tests run.

mod languages;
mod tools;

use languages::LANGUAGES;
use tools::TOOLS;

/// A program that is recognised by landmarks.
pub(in crate::sbom) struct Program {
    /// Name of the row; documents have it up to a slash. Source: syft's documents.
    pub(in crate::sbom) id: &'static str,
    pub(super) files: Files,
    /// Name of the package; empty for a library that only counts with its program.
    pub(in crate::sbom) package: &'static str,
    /// Type of the package, and its language.
    pub(in crate::sbom) kind: &'static str,
    pub(in crate::sbom) language: &'static str,
    /// Type, namespace and name in the package URL.
    pub(in crate::sbom) purl: [&'static str; 3],
    /// Vendor and product, as in a CPE.
    pub(in crate::sbom) cpes: &'static [&'static str],
    /// Where the version is: the first of these that is in the file counts.
    pub(super) marks: &'static [Mark],
    /// Where the name of a library is that has the version in place of the program.
    pub(super) library: Option<Mark>,
    /// Whether a version may be that of the file of this name.
    pub(in crate::sbom) fits: fn(file: &str, version: &str) -> bool,
    /// Ids of rows that do not count in a file that is this program.
    pub(super) hides: &'static [&'static str],
    /// File name, bytes, and the version in them.
    #[cfg_attr(not(test), allow(dead_code, reason = "tests run them"))]
    pub(super) example: (&'static str, &'static [u8], &'static str),
}

/// The names of files.
#[derive(Clone, Copy)]
pub(in crate::sbom) enum Files {
    Named(&'static [&'static str]),
    /// With this start, and a rest of this form.
    Like(&'static str, fn(&str) -> bool),
}

/// A place in the bytes of a file.
pub(super) struct Mark {
    /// Bytes that are always part of it; may be empty.
    pub(super) fixed: &'static [u8],
    /// A regular expression of bytes that captures the version.
    pub(super) pattern: &'static str,
}

fn any(_: &str, _: &str) -> bool {
    true
}

fn any_name(_: &str) -> bool {
    true
}

/// The rest of the name of a shared library.
fn library(rest: &str) -> bool {
    rest.contains(".so")
}

/// The rest of the name of Rust's standard library: 16 characters.
fn rust_library(rest: &str) -> bool {
    rest.strip_suffix(".so")
        .is_some_and(|hash| hash.len() == 16)
}

/// The rest of the name of a library of FFmpeg.
fn ffmpeg_library(rest: &str) -> bool {
    let names = [
        "avcodec",
        "avdevice",
        "avfilter",
        "avformat",
        "avutil",
        "swresample",
        "swscale",
    ];
    let rest = names.iter().find_map(|name| rest.strip_prefix(name));
    rest.is_some_and(|rest| rest.starts_with(".so") || rest.starts_with('-'))
}

/// The rest of the name of the core library of Qt.
fn qt_library(rest: &str) -> bool {
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    rest.starts_with("Core.so")
}

/// `python`, with or without a version.
fn python_program(rest: &str) -> bool {
    let rest = rest.strip_suffix(".exe").unwrap_or(rest);
    rest.bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
        || rest == "3.13t"
}

/// Whether `version` begins with the one in the name of a file of Python.
fn python(file: &str, version: &str) -> bool {
    let name = file.strip_prefix("lib").unwrap_or(file);
    let digits = name.strip_prefix("python").unwrap_or_default();
    let end = digits.find(|c: char| !c.is_ascii_digit() && c != '.');
    let digits = digits[..end.unwrap_or(digits.len())].trim_end_matches('.');
    match version.strip_prefix(digits) {
        Some(rest) => rest.is_empty() || rest.starts_with('.') || digits.is_empty(),
        None => false,
    }
}

/// A landmark.
const fn mark(fixed: &'static [u8], pattern: &'static str) -> Mark {
    Mark { fixed, pattern }
}

/// What most rows have.
const PROGRAM: Program = Program {
    id: "",
    files: Files::Named(&[]),
    package: "",
    kind: "binary",
    language: "",
    purl: ["generic", "", ""],
    cpes: &[],
    marks: &[],
    library: None,
    fits: any,
    hides: &[],
    example: ("", b"", ""),
};

/// All rows.
pub(super) fn all() -> impl Iterator<Item = &'static Program> {
    LANGUAGES.iter().chain(TOOLS)
}
