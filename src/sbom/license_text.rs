//! Recognizes licences by their texts.
//!
//! By the sentences that no other licence has, not by likeness: see adr/0065, "Licence
//! texts are known by their phrases". A file may have the texts of several licences.

use std::fmt::Write as _;

use crate::oci::Digest;

/// Longest file that is read, in bytes: 128 KiB. The longest known licences have 40.
pub(super) const LONGEST: u64 = 128 << 10;

/// How the digest of a text begins, which stands for a licence that is not known.
pub(super) const DIGEST: &str = "sha256:";

/// Whether files called `name` usually hold a licence.
pub(super) fn is_named(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let stem = name.split(['.', '-', '_']).next().unwrap_or_default();
    let ends = [
        ".js", ".ts", ".py", ".json", ".html", ".c", ".h", ".rb", ".go", ".java",
    ];
    matches!(
        stem,
        "license" | "licence" | "licenses" | "copying" | "unlicense" | "copyright"
    ) && !ends.iter().any(|end| name.ends_with(end))
}

/// The ids of the licences in `bytes`, one a line; the digest of the text if there are
/// none.
pub(super) fn recognize(bytes: &[u8]) -> String {
    let text = words(&String::from_utf8_lossy(bytes));
    let has = |phrase: &str| memchr::memmem::find(text.as_bytes(), phrase.as_bytes()).is_some();
    let (mut found, mut covered) = (String::new(), 0);
    for (id, all, none) in TEXTS {
        if all.iter().all(|phrase| has(phrase)) && !none.iter().any(|phrase| has(phrase)) {
            let _ = writeln!(found, "{id}");
            let first = all.first().copied().unwrap_or_default();
            let times = memchr::memmem::find_iter(text.as_bytes(), first.as_bytes()).count();
            covered += times * length(id);
        }
    }
    let all = text.split_ascii_whitespace().count();
    // Where most is something else, that is a licence as well.
    if covered < all / 2 {
        found.clear();
    }
    if found.is_empty() && all > 0 {
        let _ = writeln!(found, "{DIGEST}{}", Digest::of(bytes).hex());
    }
    found
}

/// How many words the text of a licence has, roughly.
fn length(id: &str) -> usize {
    match id {
        "MIT-0" | "0BSD" | "ISC" | "WTFPL" => 110,
        "MIT" | "X11" | "Zlib" | "PostgreSQL" | "curl" => 170,
        "Apache-2.0" | "Artistic-2.0" | "EPL-1.0" | "EPL-2.0" | "GPL-1.0-only" | "ZPL-2.1" => 1600,
        "LGPL-3.0-only" | "CC0-1.0" | "PSF-2.0" => 1000,
        "GPL-2.0-only" | "MPL-1.1" | "MPL-2.0" | "CC-BY-3.0" | "CC-BY-4.0" | "CDDL-1.0" => 2700,
        "LGPL-2.0-only" | "LGPL-2.1-only" => 4200,
        "GPL-3.0-only" | "AGPL-3.0-only" => 5600,
        "Python-2.0" => 2000,
        _ => 230,
    }
}

/// The words of a text in lower case, with single blanks between them, and without the
/// marks of comments and lists.
fn words(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        match c {
            c if c.is_alphanumeric() => out.extend(c.to_lowercase()),
            // Apostrophes vary.
            '\'' | '’' | '`' => {}
            _ if out.ends_with(' ') => {}
            _ => out.push(' '),
        }
    }
    out
}

/// An id, the phrases that its text has, and those that it lacks.
type Text = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

const MIT: &str = "permission is hereby granted free of charge to any person obtaining a copy of this software and associated documentation files";
const NOTICE: &str = "permission notice shall be included in all copies or substantial portions";
const BSD: &str =
    "redistribution and use in source and binary forms with or without modification are permitted";
const BINARY: &str = "redistributions in binary form must reproduce the above copyright notice";
const NAMES: &str = "may be used to endorse or promote products derived from";
const ADVERTISING: &str = "all advertising materials mentioning features or use of this software";
const ISC: &str = "permission to use copy modify and or distribute this software for any purpose with or without fee is hereby granted";
const OLD_ISC: &str = "permission to use copy modify and distribute this software for any purpose with or without fee is hereby granted";
const APPEAR: &str = "notice appear in all copies";
const SELL: &str = "permission to use copy modify distribute and sell this software and its documentation for any purpose is hereby granted without fee";
const NO_NAME: &str = "not be used in advertising or publicity pertaining to distribution of the software without specific";

/// The phrases by which a text is known, without signs and in lower case.
const TEXTS: &[Text] = &[
    ("0BSD", &[ISC], &[APPEAR]),
    (
        "AGPL-3.0-only",
        &["gnu affero general public license version 3 19 november 2007"],
        &[],
    ),
    (
        "Apache-2.0",
        &[
            "apache license version 2 0 january 2004",
            "grant of patent license",
        ],
        &[],
    ),
    (
        "Artistic-2.0",
        &[
            "the artistic license 2 0",
            "conditions for use and distribution",
        ],
        &[],
    ),
    ("BSD-2-Clause", &[BSD, BINARY], &[NAMES, ADVERTISING]),
    ("BSD-3-Clause", &[BSD, BINARY, NAMES], &[ADVERTISING]),
    ("BSD-4-Clause", &[BSD, BINARY, NAMES, ADVERTISING], &[]),
    (
        "BSL-1.0",
        &["boost software license version 1 0 august 17th 2003"],
        &[],
    ),
    (
        "BlueOak-1.0.0",
        &["blue oak model license version 1 0 0"],
        &[],
    ),
    (
        "CC-BY-3.0",
        &[
            "creative commons attribution 3 0",
            "work as defined below is provided under",
        ],
        &[],
    ),
    (
        "CC-BY-4.0",
        &[
            "creative commons attribution 4 0 international public license",
            "section 1 definitions",
        ],
        &[],
    ),
    (
        "CC0-1.0",
        &["cc0 1 0 universal", "statement of purpose"],
        &[],
    ),
    (
        "CDDL-1.0",
        &["common development and distribution license cddl version 1 0"],
        &[],
    ),
    (
        "EPL-1.0",
        &[
            "eclipse public license v 1 0",
            "recipients use reproduction or distribution",
        ],
        &[],
    ),
    (
        "EPL-2.0",
        &[
            "eclipse public license v 2 0",
            "recipients use reproduction or distribution",
        ],
        &[],
    ),
    (
        "GPL-1.0-only",
        &["gnu general public license version 1 february 1989"],
        &[],
    ),
    (
        "GPL-2.0-only",
        &["gnu general public license version 2 june 1991"],
        &[],
    ),
    (
        "GPL-3.0-only",
        &["gnu general public license version 3 29 june 2007"],
        &[],
    ),
    (
        "HPND",
        &[
            "permission to use copy modify and distribute this software and its documentation for any purpose and without fee is hereby granted",
            NO_NAME,
        ],
        &[],
    ),
    ("HPND-sell-variant", &[SELL, APPEAR, NO_NAME], &[]),
    ("ISC", &[ISC, APPEAR], &[]),
    ("ISC", &[OLD_ISC, APPEAR], &[ISC]),
    (
        "LGPL-2.0-only",
        &["gnu library general public license version 2 june 1991"],
        &[],
    ),
    (
        "LGPL-2.1-only",
        &["gnu lesser general public license version 2 1 february 1999"],
        &[],
    ),
    (
        "LGPL-3.0-only",
        &["gnu lesser general public license version 3 29 june 2007"],
        &[],
    ),
    (
        "MIT",
        &[MIT, NOTICE],
        &["must not be used in advertising or otherwise to promote the sale"],
    ),
    ("MIT-0", &[MIT], &[NOTICE]),
    (
        "MPL-1.1",
        &["mozilla public license version 1 1"],
        &["mozilla public license version 2 0"],
    ),
    (
        "MPL-2.0",
        &["mozilla public license version 2 0", "covered software"],
        &[],
    ),
    (
        "OFL-1.1",
        &["sil open font license version 1 1 26 february 2007"],
        &[],
    ),
    (
        "PSF-2.0",
        &[
            "python software foundation license version 2",
            "psf hereby grants licensee",
        ],
        &["beopen com"],
    ),
    (
        "Python-2.0",
        &[
            "python software foundation license version 2",
            "psf hereby grants licensee",
            "beopen com",
        ],
        &[],
    ),
    (
        "PostgreSQL",
        &[
            "permission to use copy modify and distribute this software and its documentation for any purpose without fee and without a written agreement is hereby granted",
        ],
        &[],
    ),
    (
        "Unicode-3.0",
        &[
            "unicode license v3",
            "data files and any associated documentation",
        ],
        &[],
    ),
    (
        "Unlicense",
        &["this is free and unencumbered software released into the public domain"],
        &[],
    ),
    (
        "WTFPL",
        &["do what the fuck you want to public license"],
        &[],
    ),
    (
        "X11",
        &[
            MIT,
            NOTICE,
            "must not be used in advertising or otherwise to promote the sale",
        ],
        &[],
    ),
    ("ZPL-2.1", &["zope public license zpl version 2 1"], &[]),
    (
        "Zlib",
        &[
            "this software is provided as is without any express or implied warranty",
            "altered source versions must be plainly marked as such",
        ],
        &[],
    ),
    (
        "curl",
        &[
            "permission to use copy modify and distribute this software for any purpose with or without fee is hereby granted",
            "use or other dealings in this software without prior written authorization",
        ],
        &[],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_known_by_their_phrases_in_any_layout() {
        let mit = "The MIT License\n\nPermission is hereby granted, free of charge, to any \
            person obtaining\n * a copy of this software and associated documentation files (the \
            \"Software\"), to deal\n\nThe above copyright notice and this permission notice shall \
            be included in\nall copies or substantial portions of the Software.";
        assert_eq!(recognize(mit.as_bytes()), "MIT\n");
        let short = mit.split("The above").next().unwrap();
        assert_eq!(recognize(short.as_bytes()), "MIT-0\n");
        let bsd = "Redistribution and use in source and binary forms, with or without\n\
            modification, are permitted provided that:\n2. Redistributions in binary form must \
            reproduce the above copyright notice";
        assert_eq!(recognize(bsd.as_bytes()), "BSD-2-Clause\n");
        let three = format!("{bsd} may be used to endorse or promote products derived from");
        assert_eq!(recognize(three.as_bytes()), "BSD-3-Clause\n");
        assert_eq!(
            recognize(format!("{three}\n{mit}").as_bytes()),
            "BSD-3-Clause\nMIT\n"
        );
        let sell = "Permission to use, copy, modify, distribute, and sell this software and its\n\
            documentation for any purpose is hereby granted without fee, provided that the above \
            copyright notice appear in all copies, and that the name of A not be used in \
            advertising or publicity pertaining to distribution of the software without specific, \
            written prior permission.";
        assert_eq!(recognize(sell.as_bytes()), "HPND-sell-variant\n");
        let own = recognize(b"All rights reserved.");
        assert!(own.starts_with("sha256:") && own.len() == 72);
        assert_eq!(recognize(b" \n"), "");
        let mostly_other = format!("{mit}\n{}", "other words ".repeat(400));
        assert!(recognize(mostly_other.as_bytes()).starts_with("sha256:"));
        assert_eq!(recognize(b""), "");
    }

    #[test]
    fn phrases_are_as_texts_are_compared() {
        for (id, all, none) in TEXTS {
            assert!(
                spdx::license_id(id).is_some_and(|id| !id.is_deprecated()),
                "{id}"
            );
            for phrase in all.iter().chain(*none) {
                assert_eq!(&words(phrase), phrase);
            }
        }
    }

    #[test]
    fn names_of_licences_are_known() {
        for name in [
            "LICENSE",
            "License.md",
            "COPYING",
            "licence.txt",
            "LICENSE-MIT",
            "LICENSE.BSD",
        ] {
            assert!(is_named(name), "{name}");
        }
        for name in ["license.js", "README", "licensed.md", "licenses.json"] {
            assert!(!is_named(name), "{name}");
        }
    }
}
