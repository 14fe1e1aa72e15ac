//! Distributions of Perl that are installed: the list of files that each of its installers
//! writes, and the descriptions that cpanm keeps.

use std::sync::LazyLock;

use regex::bytes::Regex;
use serde_json::{Map, Value, json};

use super::data::{self, Reason};
use super::lock::{self, Lock, pairs, text, texts};
use super::{Cataloguer, Finds, Found, Scope};
use crate::sbom::body::Body;
use crate::sbom::document::{Ecosystem, Evidence, License, Package};
use crate::sbom::layer::Extracted;
use crate::sbom::purl::purl;
use crate::sbom::squash::View;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: PERL,
    scope: Scope::Everywhere,
    finds: Finds::InFiles {
        lists: |folder, name| match name {
            PACKLIST => folder.contains("/auto/"),
            "install.json" => is_meta(folder),
            _ => false,
        },
        supports: |folder, name| name == "MYMETA.json" && is_meta(folder),
        longest: 4 << 20,
        find: |view, path, found: &mut Found| {
            lock::read(view, path, PERL, found, |file, text, found| {
                found
                    .reading(|found| match file.name() {
                        PACKLIST => Ok(listed(view, file, text, found)),
                        _ => described(view, file, text, found),
                    })
                    .map(|package| package.into_iter().for_each(|package| found.push(package)))
            });
        },
    },
};

/// Reads the versions of modules, for the lists of files, which have none.
pub(super) const MODULES: Cataloguer = Cataloguer {
    ecosystem: PERL,
    scope: Scope::Everywhere,
    finds: Finds::InExtracts {
        lists: |folder, name| {
            let folders = ["lib/perl5/", "site_perl/", "vendor_perl/"];
            let is_installed = |part: &&str| format!("{folder}/").contains(*part);
            name.ends_with(".pm") && folders.iter().any(is_installed)
        },
        longest: 4 << 20,
        extract: |_, body: &mut Body| {
            let version = body.whole(4 << 20).and_then(|source| version(&source));
            version.map_or(Extracted::Nothing, Extracted::Facts)
        },
        find: |_, _, _, _| {},
    },
};

const PERL: Ecosystem = Ecosystem {
    kind: "cpan",
    language: "perl",
    found_by: "perl-cpan-installed-cataloger",
    metadata_type: "cpan-distribution",
};

const PACKLIST: &str = ".packlist";

/// Whether `folder` is that of a distribution in `.meta`.
fn is_meta(folder: &str) -> bool {
    let outer = folder.rsplit_once('/').map_or("", |(outer, _)| outer);
    outer.ends_with("/.meta")
}

/// What a path takes while it is held, in bytes.
const PATH_COST: usize = 100;

/// The distribution whose files the list in `.../auto/A/B/.packlist` has.
fn listed(view: &View, file: &Lock<'_>, text: &str, found: &mut Found) -> Option<Package> {
    let (root, module) = file.folder().rsplit_once("/auto/")?;
    let name = module.replace('/', "-");
    let source = source_of(view, root, module, text);
    let version = source.as_ref().and_then(|path| view.extract(path));
    let version = String::from_utf8_lossy(version.unwrap_or_default()).into_owned();
    // The description says more, and has the list as well.
    let described = format!("{root}/.meta/{name}-{version}/install.json");
    if view.location(&described, Evidence::Primary).is_some() {
        return None;
    }
    let mut package = file.package(PERL, &name, &version);
    package.purl = purl("cpan", "", &name, &version, &[]);
    let source = source.and_then(|path| view.location(&path, Evidence::Supporting));
    package.locations.extend(source);
    let mut facts = Map::new();
    facts.insert("mainModule".to_owned(), json!(module.replace('/', "::")));
    add_files(view, text, &mut package, &mut facts, found);
    package.describe(&Value::Object(facts));
    Some(package)
}

/// The distribution that `.meta/NAME-VERSION/install.json` describes.
fn described(
    view: &View,
    file: &Lock<'_>,
    source: &str,
    found: &mut Found,
) -> Result<Option<Package>, Reason> {
    let json = data::json(source)?;
    // `name` is that of a module.
    let distribution = text(&json, "dist");
    let version = text(&json, "version");
    let name = distribution
        .strip_suffix(version)
        .map(|name| name.trim_end_matches('-'));
    let name = name.unwrap_or(distribution);
    if name.is_empty() {
        return Ok(None);
    }
    let pathname = text(&json, "pathname");
    let author = pathname.split('/').nth(2).unwrap_or_default();
    let mut package = file.package(PERL, name, version);
    package.purl = purl("cpan", "", name, version, &[("author", author)]);
    let mut facts = Map::new();
    for (key, value) in [
        ("dist", distribution),
        ("author", author),
        ("path", pathname),
    ] {
        if !value.is_empty() {
            facts.insert(key.to_owned(), json!(value));
        }
    }
    let modules = pairs(&json, "provides").map(|(module, about)| match &about["version"] {
        Value::String(version) => json!({"name": module, "version": version}),
        Value::Number(version) => json!({"name": module, "version": version.to_string()}),
        _ => json!({"name": module}),
    });
    let modules: Vec<Value> = modules.collect();
    if !modules.is_empty() {
        facts.insert("modules".to_owned(), json!(modules));
    }
    if let Some(meta) = file
        .beside("MYMETA.json")
        .and_then(|meta| data::json(&meta).ok())
    {
        let licenses = texts(&meta, "license").map(|license| License::new(license.to_owned()));
        package.licenses = licenses.collect();
        package
            .locations
            .extend(file.supporting("MYMETA.json", found));
    }
    let root = file
        .folder()
        .rsplit_once("/.meta/")
        .map_or("", |(root, _)| root);
    let module = name.replace('-', "/");
    let list = format!("{root}/auto/{module}/{PACKLIST}");
    if let Some(text) = view.text(&list) {
        package
            .locations
            .extend(view.location(&list, Evidence::Primary));
        let source = source_of(view, root, &module, &text);
        let source = source.and_then(|path| view.location(&path, Evidence::Supporting));
        package.locations.extend(source);
        add_files(view, &text, &mut package, &mut facts, found);
    }
    package.describe(&Value::Object(facts));
    Ok(Some(package))
}

/// The path of the file of `module`, which is a path as well: with programs in C it is
/// below `root`, and otherwise in the folder above.
fn source_of(view: &View, root: &str, module: &str, list: &str) -> Option<String> {
    let ending = format!("/{module}.pm");
    let listed = files(list).find(|path| path.ends_with(&ending));
    let listed = listed.map(|path| path.trim_start_matches('/').to_owned());
    let outer = root.rsplit_once('/').map_or("", |(outer, _)| outer);
    let places = [root, outer].map(|folder| format!("{folder}{ending}"));
    let mut all = listed.into_iter().chain(places);
    all.find(|path| view.location(path, Evidence::Supporting).is_some())
}

/// The paths in a list of files, without what the list says about them.
fn files(list: &str) -> impl Iterator<Item = &str> {
    let lines = list.lines().map(|line| {
        let end = line.find(" type=").or(line.find(" from="));
        line[..end.unwrap_or(line.len())].trim()
    });
    lines.filter(|line| !line.is_empty())
}

fn add_files(
    view: &View,
    list: &str,
    package: &mut Package,
    facts: &mut Map<String, Value>,
    found: &mut Found,
) {
    let mut all = Vec::new();
    for path in files(list) {
        if !found.text(PATH_COST + 2 * path.len()) {
            return;
        }
        all.push(path);
        package
            .owns
            .extend(view.resolve(path).map(|real| format!("/{real}")));
    }
    if !all.is_empty() {
        facts.insert("files".to_owned(), json!(all));
    }
}

/// The version that a module declares.
///
/// Source: Perl's documentation, perlmod and ExtUtils::MakeMaker, `VERSION_FROM`.
fn version(source: &[u8]) -> Option<Vec<u8>> {
    const DECLARED: &str = concat!(
        r"(?m-u)^\s*package\s+[\w:]+\s+(v?[0-9][0-9._]*)\s*[;{]",
        r"|^[^#\n=]*\$(?:[\w:]*::)?VERSION\s*=\s*",
        r#"(?:version->(?:declare|new|parse)\s*\(\s*|qv\s*\(\s*)?['"]?(v?[0-9][0-9._]*)"#,
    );
    static PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(DECLARED).ok());
    let found = PATTERN.as_ref()?.captures(source)?;
    let version = found.get(1).or(found.get(2))?;
    Some(version.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::super::{find_in, findings};
    use super::*;

    const LIB: &str = "usr/local/lib/perl5/site_perl/5.36.0";

    #[test]
    fn versions_are_declared_in_many_ways() {
        for (source, expected) in [
            ("package M 1.5;\n1;", Some("1.5")),
            (
                "our $VERSION = '1.6_01';\n$VERSION = eval $VERSION;",
                Some("1.6_01"),
            ),
            ("use vars qw($VERSION); $VERSION = 1.70;", Some("1.70")),
            (
                "use version; our $VERSION = version->declare('v1.2.3');",
                Some("v1.2.3"),
            ),
            ("$M::N::VERSION = \"2.5\";", Some("2.5")),
            ("package M { our $VERSION = '7.1'; }", Some("7.1")),
            ("# $VERSION = 3\nour $VERSION = sprintf('%d', 8);", None),
            ("if ($VERSION == 1) {}", None),
        ] {
            let found = version(source.as_bytes());
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{source}");
        }
    }

    #[test]
    fn lists_and_descriptions_are_one_distribution() {
        let list = format!("/{LIB}/Foo/Bar.pm type=file\n/usr/local/man/man3/Foo.3\n");
        let at = |path: &str| format!("{LIB}/{path}");
        let paths = [
            at("x86_64-linux/auto/Foo/Bar/.packlist"),
            at("x86_64-linux/.meta/Foo-Bar-1.02/install.json"),
            at("x86_64-linux/.meta/Foo-Bar-1.02/MYMETA.json"),
            at("Foo/Bar.pm"),
            at("x86_64-linux/auto/Only/.packlist"),
            at("x86_64-linux/Only.pm"),
            at("x86_64-linux/auto/Gone/.packlist"),
        ];
        let contents: [&[u8]; 7] = [
            list.as_bytes(),
            br#"{"name": "Foo::Bar", "version": "1.02", "dist": "Foo-Bar-1.02", "pathname": "A/AB/ABC/Foo-Bar-1.02.tar.gz",
                "provides": {"Foo::Bar": {"version": "1.02"}, "Foo::X": {}}}"#,
            br#"{"license": ["perl_5", "mit"]}"#,
            b"package Foo::Bar;\nour $VERSION = '1.02';\n",
            b"/x\n",
            b"package Only;\nour $VERSION = 3;\n",
            b"",
        ];
        let files: Vec<(&str, &[u8])> = paths.iter().map(String::as_str).zip(contents).collect();
        let found = find_in(&CATALOGUER, &files);
        let purls: Vec<_> = found.iter().map(|package| package.purl.as_str()).collect();
        assert_eq!(
            purls,
            [
                "pkg:cpan/Foo-Bar@1.02?author=ABC",
                "pkg:cpan/Gone",
                "pkg:cpan/Only@3"
            ]
        );
        assert_eq!(found[0].locations.len(), 4);
        assert_eq!(found[0].licenses.len(), 2);
        assert_eq!(found[0].owns[0], format!("/{LIB}/Foo/Bar.pm"));
        let expected = json!({
            "dist": "Foo-Bar-1.02", "author": "ABC", "path": "A/AB/ABC/Foo-Bar-1.02.tar.gz",
            "modules": [{"name": "Foo::Bar", "version": "1.02"}, {"name": "Foo::X"}],
            "files": [format!("/{LIB}/Foo/Bar.pm"), "/usr/local/man/man3/Foo.3"],
        });
        let facts: Value = serde_json::from_str(found[0].metadata.as_ref().unwrap().get()).unwrap();
        assert_eq!(facts, expected);
        let broken: &[(&str, &[u8])] = &[("a/.meta/x/install.json", b"{")];
        assert_eq!(findings(&CATALOGUER, broken).unknowns.len(), 1);
    }
}
