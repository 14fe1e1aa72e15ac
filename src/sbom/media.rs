//! The kind of content of a file, by its first bytes, as a MIME type.

/// Bytes at the start of a file that [`Media::of`] looks at.
pub(super) const HEAD_BYTES: usize = 3072;

/// A kind of content: a place in [`TYPES`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Media(pub u8);

/// Known types. Stored scans refer to them by place: new ones come last.
const TYPES: &[&str] = &[
    "",
    "application/octet-stream",
    "text/plain",
    "application/gzip",
    "application/tzif",
    "application/x-sharedlib",
    "application/x-executable",
    "application/x-object",
    "application/json",
    "text/x-shellscript",
    "text/x-perl",
    "text/x-python",
    "text/javascript",
    "text/html",
    "text/xml",
    "image/svg+xml",
    "text/csv",
    "text/tab-separated-values",
    "image/png",
    "image/gif",
    "image/jpeg",
    "image/x-icon",
    "image/x-xpixmap",
    "application/x-archive",
    "application/vnd.debian.binary-package",
    "application/zip",
    "application/jar",
    "application/x-tar",
    "application/x-bzip2",
    "application/x-xz",
    "application/zstd",
    "application/x-7z-compressed",
    "application/pdf",
    "application/wasm",
    "application/vnd.sqlite3",
    "application/x-mach-binary",
    "application/vnd.microsoft.portable-executable",
    "application/x-java-applet",
    "application/x-rpm",
    "font/ttf",
    "font/otf",
    "font/woff",
    "font/woff2",
    "text/x-tcl",
    "text/x-lua",
    "text/x-ruby",
    "text/x-php",
    "image/webp",
    "application/postscript",
    "text/rtf",
    "image/bmp",
    "application/x-elf",
    "application/x-coredump",
];

impl Media {
    /// The MIME type; empty for files that are empty or not regular.
    #[must_use]
    pub fn name(self) -> &'static str {
        TYPES.get(usize::from(self.0)).copied().unwrap_or(TYPES[1])
    }

    /// By the first [`HEAD_BYTES`] of a file, or all of a shorter one.
    pub(super) fn of(head: &[u8]) -> Self {
        let name = match head {
            [] => "",
            _ => binary(head).unwrap_or_else(|| match is_text(head) {
                true => text(head),
                false => "application/octet-stream",
            }),
        };
        let place = TYPES.iter().position(|known| *known == name);
        Self(
            place
                .and_then(|place| u8::try_from(place).ok())
                .unwrap_or(1),
        )
    }
}

/// Types with a signature. Source: the specifications of the formats.
const SIGNATURES: &[(usize, &[u8], &str)] = &[
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"TZif", "application/tzif"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"\0\0\x01\0", "image/x-icon"),
    (
        0,
        b"!<arch>\ndebian-binary",
        "application/vnd.debian.binary-package",
    ),
    (0, b"!<arch>", "application/x-archive"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\0", "application/x-xz"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"\0asm", "application/wasm"),
    (0, b"SQLite format 3\0", "application/vnd.sqlite3"),
    (0, b"\xcf\xfa\xed\xfe", "application/x-mach-binary"),
    (0, b"\xce\xfa\xed\xfe", "application/x-mach-binary"),
    (0, b"\xed\xab\xee\xdb", "application/x-rpm"),
    (0, b"OTTO\0", "font/otf"),
    (0, b"\0\x01\0\0", "font/ttf"),
    (0, b"wOFF", "font/woff"),
    (0, b"wOF2", "font/woff2"),
    (0, b"%!PS-Adobe-", "application/postscript"),
    (0, b"{\\rtf", "text/rtf"),
    (0, b"/* XPM */", "image/x-xpixmap"),
    (8, b"WEBP", "image/webp"),
    (257, b"ustar", "application/x-tar"),
];

fn binary(head: &[u8]) -> Option<&'static str> {
    let starts =
        |at: usize, magic: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    if starts(0, b"\x7fELF") {
        let big = head.get(5) == Some(&2);
        let kind = match (head.get(16), head.get(17)) {
            (Some(low), Some(high)) if big => u16::from_be_bytes([*low, *high]),
            (Some(low), Some(high)) => u16::from_le_bytes([*low, *high]),
            _ => 0,
        };
        return Some(match kind {
            1 => "application/x-object",
            2 => "application/x-executable",
            3 => "application/x-sharedlib",
            4 => "application/x-coredump",
            _ => "application/x-elf",
        });
    }
    if starts(0, b"MZ") {
        return Some("application/vnd.microsoft.portable-executable");
    }
    if starts(0, b"PK\x03\x04") {
        let jar = head
            .get(30..)
            .is_some_and(|name| name.starts_with(b"META-INF/"));
        return Some(if jar {
            "application/jar"
        } else {
            "application/zip"
        });
    }
    if starts(0, b"\xca\xfe\xba\xbe") {
        // Programs of several machines count them here, classes of Java their version.
        return Some(match head.get(7) {
            Some(count) if *count < 20 => "application/x-mach-binary",
            _ => "application/x-java-applet",
        });
    }
    let known = SIGNATURES.iter().find(|(at, magic, _)| starts(*at, magic));
    known.map(|(_, _, name)| *name)
}

/// Whether there are no bytes that a text does not have.
///
/// Source: WHATWG MIME Sniffing, "binary data byte".
fn is_text(head: &[u8]) -> bool {
    if head.starts_with(b"\xfe\xff") || head.starts_with(b"\xff\xfe") {
        return true;
    }
    !head
        .iter()
        .any(|byte| matches!(byte, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f))
}

fn text(head: &[u8]) -> &'static str {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    if let Some(line) = head.strip_prefix(b"#!") {
        let end = line.iter().position(|byte| *byte == b'\n');
        return script(&line[..end.unwrap_or(line.len())]);
    }
    let trimmed = head.trim_ascii_start();
    let lower: Vec<u8> = trimmed
        .iter()
        .take(64)
        .map(u8::to_ascii_lowercase)
        .collect();
    for tag in [
        "<!doctype html",
        "<html",
        "<head",
        "<script",
        "<iframe",
        "<h1",
        "<div",
        "<font",
        "<table",
        "<a",
        "<style",
        "<title",
        "<b",
        "<body",
        "<br",
        "<p",
    ] {
        let ends = |next: Option<&u8>| matches!(next, Some(b' ' | b'>'));
        if lower.starts_with(tag.as_bytes()) && ends(lower.get(tag.len())) {
            return "text/html";
        }
    }
    if trimmed.starts_with(b"<?xml") {
        return match memchr::memmem::find(trimmed, b"<svg") {
            Some(_) => "image/svg+xml",
            None => "text/xml",
        };
    }
    if trimmed.starts_with(b"<svg") {
        return "image/svg+xml";
    }
    if trimmed.starts_with(b"<?php") {
        return "text/x-php";
    }
    if is_json(head) {
        return "application/json";
    }
    if is_table(head, b',') {
        return "text/csv";
    }
    if is_table(head, b'\t') {
        return "text/tab-separated-values";
    }
    "text/plain"
}

/// The type of a script whose first line is `#!` and `line`.
fn script(line: &[u8]) -> &'static str {
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_whitespace();
    let mut program = words.next().unwrap_or_default();
    if program.ends_with("/env") {
        program = words
            .find(|word| !word.starts_with('-'))
            .unwrap_or_default();
    }
    let name = program.rsplit('/').next().unwrap_or_default();
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    match name {
        "sh" | "bash" | "dash" | "ksh" | "zsh" | "ash" | "tcsh" | "csh" => "text/x-shellscript",
        "perl" => "text/x-perl",
        "python" => "text/x-python",
        "node" | "nodejs" => "text/javascript",
        "ruby" => "text/x-ruby",
        "tclsh" | "wish" => "text/x-tcl",
        "lua" => "text/x-lua",
        "php" => "text/x-php",
        _ => "text/plain",
    }
}

/// Whether `head` is JSON, or begins as a long one.
fn is_json(head: &[u8]) -> bool {
    if !matches!(head.trim_ascii_start().first(), Some(b'{' | b'[')) {
        return false;
    }
    match serde_json::from_slice::<serde::de::IgnoredAny>(head) {
        Ok(_) => true,
        Err(error) => error.is_eof() && head.len() >= HEAD_BYTES,
    }
}

/// Whether all lines of `head` have the same number of fields, at least two.
fn is_table(head: &[u8], comma: u8) -> bool {
    let whole = match head.len() < HEAD_BYTES {
        true => head,
        false => &head[..head.iter().rposition(|byte| *byte == b'\n').unwrap_or(0)],
    };
    let lines = whole.split(|byte| *byte == b'\n');
    let mut lines = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    let fields = |line: &[u8]| {
        let mut quoted = false;
        let mut count = 1;
        for byte in line {
            match byte {
                b'"' => quoted = !quoted,
                byte if *byte == comma && !quoted => count += 1,
                _ => {}
            }
        }
        (!quoted).then_some(count)
    };
    let Some(Some(first)) = lines.next().map(fields) else {
        return false;
    };
    let mut rest = 0;
    first > 1
        && lines.all(|line| {
            rest += 1;
            fields(line) == Some(first)
        })
        && rest > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_known_by_their_first_bytes() {
        let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0".to_vec();
        for (head, name) in [
            (&b""[..], ""),
            (b"plain words\n", "text/plain"),
            (b"\x00\x01\x02\x03", "application/octet-stream"),
            (b"\x1f\x8b\x08", "application/gzip"),
            (b"#!/bin/sh -e\n", "text/x-shellscript"),
            (b"#! /usr/bin/env python3\n", "text/x-python"),
            (b"#!/usr/bin/perl -w\n", "text/x-perl"),
            (b"{\"a\": [1]}\n", "application/json"),
            (b"{ not json", "text/plain"),
            (b"<!DOCTYPE html>\n<p>", "text/html"),
            (b"<?xml version=\"1.0\"?><a/>", "text/xml"),
            (b"a,b\n1,2\n", "text/csv"),
            (b"a,b\n1\n", "text/plain"),
            (b"a\tb\n1\t2\n", "text/tab-separated-values"),
        ] {
            assert_eq!(Media::of(head).name(), name, "{head:?}");
        }
        assert_eq!(Media::of(&elf).name(), "application/x-sharedlib");
        elf.truncate(9);
        assert_eq!(Media::of(&elf).name(), "application/x-elf");
        assert_eq!(Media(255).name(), "application/octet-stream");
    }
}
