//! Go modules, from the build information in executables.

use serde_json::json;

use crate::sbom::document::{Evidence, Kind, License, Package};
use crate::sbom::purl::purl;
use crate::sbom::squash::View;

/// One module line: path, version, checksum.
type Module<'a> = (&'a str, &'a str, &'a str);

/// Finds main module, dependencies and standard library of every executable.
pub(super) fn find(view: &View) -> Vec<Package> {
    let mut found = Vec::new();
    for (path, facts) in view.executables() {
        let Some((compiler, text)) = &facts.go else {
            continue;
        };
        for mut package in modules(compiler, text) {
            package
                .locations
                .extend(view.location(path, Evidence::Primary));
            found.push(package);
        }
    }
    found
}

fn modules(compiler: &str, text: &str) -> Vec<Package> {
    let compiler = compiler.split(' ').next().unwrap_or_default();
    let (mut main, mut deps, mut settings) = (None, Vec::<Module<'_>>::new(), Vec::new());
    for line in text.lines() {
        let mut fields = line.split('\t');
        let word = fields.next().unwrap_or_default();
        let mut next = || fields.next().unwrap_or_default();
        match word {
            "mod" => main = Some((next(), next(), next())),
            "dep" => deps.push((next(), next(), next())),
            "=>" => {
                if let Some(last) = deps.last_mut() {
                    let (path, version, sum) = (next(), next(), next());
                    let local = path.starts_with(['.', '/']);
                    *last = (if local { last.0 } else { path }, version, sum);
                }
            }
            "build" => settings.extend(next().split_once('=')),
            _ => {}
        }
    }
    let setting = |key| {
        settings
            .iter()
            .find(|(k, _)| *k == key)
            .map_or("", |(_, v)| *v)
    };
    let name = main.map_or("", |(path, _, _)| path);
    let facts = |sum: &str| {
        let mut facts = json!({
            "goCompiledVersion": compiler, "architecture": setting("GOARCH"), "mainModule": name,
        });
        if !sum.is_empty() {
            facts["h1Digest"] = json!(sum);
        }
        facts
    };
    let package = |(path, version, sum): Module<'_>| {
        let version = if version == "(devel)" { "" } else { version };
        let mut package = Package::new(
            Kind::Go,
            path,
            version,
            "go-module-binary-cataloger",
            "go-module-buildinfo-entry",
        );
        let (space, last) = path.rsplit_once('/').unwrap_or(("", path));
        package.purl = purl("golang", space, last, version, &[]);
        package.describe(&facts(sum));
        package
    };
    let mut found: Vec<Package> = deps
        .into_iter()
        .filter(|dep| dep.0 != name)
        .map(package)
        .collect();
    if let Some(main) = main {
        let sum = main.2;
        let mut main = package(main);
        let list: Vec<_> = settings
            .iter()
            .map(|(k, v)| json!({"key": k, "value": v}))
            .collect();
        if !list.is_empty() {
            let mut facts = facts(sum);
            facts["goBuildSettings"] = json!(list);
            main.describe(&facts);
        }
        found.push(main);
    }
    if let Some(number) = compiler.strip_prefix("go").filter(|n| !n.is_empty()) {
        let mut library = package(("stdlib", compiler, ""));
        library.purl = purl("golang", "", "stdlib", number, &[]);
        library.cpes = vec![format!("cpe:2.3:a:golang:go:{number}:-:*:*:*:*:*:*")];
        library.licenses.insert(License("BSD-3-Clause".to_owned()));
        found.push(library);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaced_modules_and_the_standard_library_are_named() {
        let found = modules(
            "go1.22.3 X:boringcrypto",
            "path\tx\nmod\te.org/m\t(devel)\t\ndep\ta.b/c/v2\tv2.0.0\th1:x\n=>\td.e/f\tv1.0.0\th1:y\nbuild\tGOARCH=amd64\n",
        );
        let purls: Vec<&str> = found.iter().map(|p| p.purl.as_str()).collect();
        assert_eq!(
            purls,
            [
                "pkg:golang/d.e/f@v1.0.0",
                "pkg:golang/e.org/m",
                "pkg:golang/stdlib@1.22.3"
            ]
        );
        assert_eq!(found[1].version, "UNKNOWN");
    }
}
