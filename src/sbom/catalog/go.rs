//! Go modules, from the build information in executables.

use serde_json::json;

use super::{Cataloguer, Finds, Found, Scope, goversion};
use crate::oci::Digest;
use crate::sbom::binary::{Facts, Go};
use crate::sbom::document::{Ecosystem, Evidence, License, Package};
use crate::sbom::purl::purl;
use crate::sbom::squash::View;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: GO,
    scope: Scope::Everywhere,
    finds: Finds::InExecutables(find),
};

const GO: Ecosystem = Ecosystem {
    kind: "go-module",
    language: "go",
    found_by: "go-module-binary-cataloger",
    metadata_type: "go-module-buildinfo-entry",
};

/// Version that Go gives a main module built from a working copy.
const DEVEL: &str = "(devel)";

#[derive(Clone, Copy, Default)]
struct Module<'a> {
    path: &'a str,
    version: &'a str,
    sum: &'a str,
}

/// The module text of one executable.
#[derive(Default)]
struct BuildInfo<'a> {
    /// Import path of the main package.
    path: &'a str,
    main: Option<Module<'a>>,
    deps: Vec<Module<'a>>,
    settings: Vec<(&'a str, String)>,
}

/// Finds the main module, its dependencies and the standard library of one
/// executable.
fn find(view: &View, path: &str, facts: &Facts, found: &mut Found) {
    let Some(go) = &facts.go else {
        return;
    };
    let location = view.location(path, Evidence::Primary);
    modules(path, go, &mut |mut package: Package| {
        package.locations.extend(location.clone());
        found.push(package);
        !found.is_full()
    });
}

fn parse(text: &str) -> BuildInfo<'_> {
    let mut info = BuildInfo::default();
    for line in text.lines() {
        let (word, rest) = line.split_once('\t').unwrap_or((line, ""));
        let module = || {
            let mut fields = rest.split('\t');
            let mut next = || fields.next().unwrap_or_default();
            Module {
                path: next(),
                version: next(),
                sum: next(),
            }
        };
        match word {
            "path" => info.path = rest,
            "mod" => info.main = Some(module()),
            "dep" => info.deps.push(module()),
            "=>" => {
                if let Some(last) = info.deps.last_mut() {
                    let new = module();
                    let local = new.path.starts_with(['.', '/']);
                    *last = Module {
                        path: if local { last.path } else { new.path },
                        ..new
                    };
                }
            }
            "build" => {
                if let Some((key, value)) = rest.split_once('=') {
                    info.settings.push((key, goversion::unquoted(value)));
                }
            }
            _ => {}
        }
    }
    info
}

impl<'a> BuildInfo<'a> {
    fn setting(&self, key: &str) -> &str {
        self.settings
            .iter()
            .find(|(k, _)| *k == key)
            .map_or("", |(_, value)| value)
    }

    /// The main module. Programs built from files named on the command line have none:
    /// then the only dependency that is being worked on, else the main package.
    fn main(&self) -> Option<Module<'a>> {
        if let Some(main) = self
            .main
            .filter(|main| !main.path.is_empty() && main.path != "command-line-arguments")
        {
            return Some(main);
        }
        let mut devel = self.deps.iter().filter(|dep| dep.version == DEVEL);
        match (devel.next(), devel.next()) {
            (Some(only), None) => Some(*only),
            _ => (!self.path.is_empty()).then_some(Module {
                path: self.path,
                version: DEVEL,
                sum: "",
            }),
        }
    }

    /// The main module's version, looked for where builds leave it.
    fn version(&self, main: Module<'_>) -> String {
        if !matches!(main.version, "" | DEVEL) {
            return main.version.to_owned();
        }
        goversion::from_flags(self.setting("-ldflags"), main.path)
            .or_else(|| goversion::pseudo(self.setting("vcs.revision"), self.setting("vcs.time")))
            .unwrap_or_default()
    }
}

/// Maximum number of settings and experiments of one executable: some dozen are
/// known.
const MAX_SETTINGS: usize = 1000;

/// Passes all packages of one executable to `take`, until it returns false; `file`
/// distinguishes them from those of others.
fn modules(file: &str, go: &Go, take: &mut dyn FnMut(Package) -> bool) {
    let info = parse(&go.modules);
    // A path may be long, and each module has it.
    let mark = &Digest::of(file.as_bytes()).hex()[..16];
    let compiler = go.compiler.as_str();
    let (compiler, experiments) = compiler.split_once(' ').unwrap_or((compiler, ""));
    let machine = match info.setting("GOARCH") {
        "" => &go.machine,
        setting => setting,
    };
    let main = info.main();
    let name = main.map_or("", |main| main.path);
    let facts = |sum: &str| {
        let mut facts = json!({
            "goCompiledVersion": compiler,
            "architecture": machine,
            "mainModule": name,
        });
        if !sum.is_empty() {
            facts["h1Digest"] = json!(sum);
        }
        facts
    };
    let package = |module: Module<'_>| {
        let version = if module.version == DEVEL {
            ""
        } else {
            module.version
        };
        let mut package = Package::new(GO, module.path, version);
        let (space, last) = module.path.rsplit_once('/').unwrap_or(("", module.path));
        package.purl = purl("golang", space, last, version, &[]);
        package.describe(&facts(module.sum));
        package
            .provides
            .push(format!("{mark}\0{}\0{version}", module.path));
        package
    };
    let mut requires = Vec::new();
    let mut take_dependency = |package: Package| {
        requires.extend(package.provides.iter().cloned());
        take(package)
    };
    for dep in info.deps.iter().filter(|dep| dep.path != name) {
        if !take_dependency(package(*dep)) {
            return;
        }
    }
    if let Some(number) = compiler.strip_prefix("go").filter(|n| !n.is_empty()) {
        let mut library = package(Module {
            path: "stdlib",
            version: compiler,
            sum: "",
        });
        library.describe(&json!({"goCompiledVersion": compiler, "architecture": ""}));
        library.purl = purl("golang", "", "stdlib", number, &[]);
        library.cpes = vec![format!("cpe:2.3:a:golang:go:{number}:-:*:*:*:*:*:*")];
        library
            .licenses
            .insert(License::new("BSD-3-Clause".to_owned()));
        take_dependency(library);
    }
    if let Some(main) = main {
        let version = info.version(main);
        let mut owner = package(Module {
            version: &version,
            ..main
        });
        owner.requires = requires;
        let mut facts = facts(main.sum);
        if !info.settings.is_empty() {
            let list = info.settings.iter().take(MAX_SETTINGS);
            let list = list.map(|(key, value)| json!({"key": key, "value": value}));
            facts["goBuildSettings"] = list.collect();
        }
        if let Some(experiments) = experiments.strip_prefix("X:") {
            facts["goExperiments"] = experiments.split(',').take(MAX_SETTINGS).collect();
        }
        owner.describe(&facts);
        take(owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(file: &str, compiler: &str, text: &str) -> Vec<Package> {
        let mut found = Vec::new();
        let go = Go {
            compiler: compiler.to_owned(),
            modules: text.to_owned(),
            machine: String::new(),
        };
        super::modules(file, &go, &mut |package| {
            found.push(package);
            true
        });
        found
    }

    fn named(text: &str) -> Vec<(String, String)> {
        let found = modules("a", "devel", text);
        found.into_iter().map(|p| (p.name, p.version)).collect()
    }

    #[test]
    fn replaced_modules_and_the_standard_library_are_named() {
        let found = modules(
            "a",
            "go1.22.3 X:boringcrypto",
            "path\tx\nmod\te.org/m\t(devel)\t\ndep\ta.b/c/v2\tv2.0.0\th1:x\n=>\td.e/f\tv1.0.0\th1:y\nbuild\tGOARCH=amd64\n",
        );
        let purls: Vec<&str> = found.iter().map(|p| p.purl.as_str()).collect();
        assert_eq!(
            purls,
            [
                "pkg:golang/d.e/f@v1.0.0",
                "pkg:golang/stdlib@1.22.3",
                "pkg:golang/e.org/m",
            ]
        );
        assert_eq!(found[2].version, "UNKNOWN");
        assert_eq!(found[2].requires.len(), 2);
    }

    #[test]
    fn a_main_module_without_version_takes_it_from_flags_or_history() {
        let main = "mod\te.org/m\t(devel)\t\n";
        let flags = "build\t-ldflags=\"-w -X main.version=1.18.1\"\n";
        assert_eq!(named(&format!("{main}{flags}"))[0].1, "v1.18.1");
        let history =
            "build\tvcs.revision=0123456789abcdef0123\nbuild\tvcs.time=2024-12-13T18:41:10Z\n";
        assert_eq!(
            named(&format!("{main}{history}"))[0].1,
            "v0.0.0-20241213184110-0123456789ab"
        );
    }

    #[test]
    fn programs_without_main_module_are_called_by_their_package() {
        let unknown = |name: &str| vec![(name.to_owned(), "UNKNOWN".to_owned())];
        assert_eq!(named("path\tcmd/gofmt\n"), unknown("cmd/gofmt"));
        assert_eq!(
            named("path\tcommand-line-arguments\ndep\te.org/m\t(devel)\t\n"),
            unknown("e.org/m")
        );
    }
}
