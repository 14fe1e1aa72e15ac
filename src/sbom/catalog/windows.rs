//! Libraries and programs of Windows and .NET, from their version resources.
//!
//! Those that a `*.deps.json` beside them names become a part of their library later: it
//! says more.

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::{Cataloguer, Finds, Found, Scope, split};
use crate::sbom::binary::Resources;
use crate::sbom::document::{Ecosystem, Evidence, Package};
use crate::sbom::layer::Content;
use crate::sbom::purl::purl;
use crate::sbom::squash::View;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: MANAGED,
    scope: Scope::Everywhere,
    finds: Finds::OfTree(find),
};

/// What runs in the .NET runtime.
const MANAGED: Ecosystem = Ecosystem {
    kind: "dotnet",
    language: "dotnet",
    found_by: "dotnet-deps-binary-cataloger",
    metadata_type: "dotnet-portable-executable-entry",
};

/// What does not.
const NATIVE: Ecosystem = Ecosystem {
    kind: "binary",
    language: "",
    found_by: "pe-binary-package-cataloger",
    metadata_type: "pe-binary",
};

/// A runtime, which has no facts of its own.
const RUNTIME: Ecosystem = Ecosystem {
    kind: "dotnet",
    language: "",
    found_by: "dotnet-deps-binary-cataloger",
    metadata_type: "",
};

fn find(view: &View, found: &mut Found) {
    view.each(|path, content| {
        let Content::Executable(facts) = content else {
            return;
        };
        let (_, name) = split(path);
        let Some(resources) = facts.resources.as_ref() else {
            return;
        };
        let ends = [".dll", ".exe"];
        if found.is_full()
            || !ends
                .iter()
                .any(|end| name.to_ascii_lowercase().ends_with(end))
        {
            return;
        }
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        if let Some(mut package) = package(stem, resources) {
            package
                .locations
                .extend(view.location(path, Evidence::Primary));
            found.push(package);
        }
    });
}

fn package(file: &str, resources: &Resources) -> Option<Package> {
    let get = |key: &str| {
        let text = resources.texts.iter().find(|(known, _)| known == key);
        text.map_or("", |(_, text)| text.trim())
    };
    // The assembly that each runtime of .NET has, and nothing else.
    if resources.managed && get("InternalName") == "System.Private.CoreLib.dll" {
        return runtime(leading(get("ProductVersion")));
    }
    let version = version(get("ProductVersion"), get("FileVersion"))?;
    let company = get("CompanyName").to_ascii_lowercase();
    let keys = match company.contains("microsoft") {
        true => ["FileDescription", "ProductName"],
        false => ["ProductName", "FileDescription"],
    };
    let others = ["InternalName", "OriginalFilename"];
    let names = keys.iter().chain(&others).map(|key| plain(get(key)));
    let name = names
        .chain([file.to_owned()])
        .find(|name| !name.is_empty())?;
    if !resources.managed {
        let mut package = Package::new(NATIVE, &name, version);
        let mut texts: Vec<_> = resources.texts.iter().collect();
        texts.sort();
        let texts: Vec<Value> = texts
            .iter()
            .map(|(key, value)| json!({"key": key, "value": value}))
            .collect();
        package.describe(&json!({"VersionResources": texts}));
        return Some(package);
    }
    let mut package = Package::new(MANAGED, &name, version);
    package.purl = purl("nuget", "", &name, version, &[]);
    let mut facts = json!({
        "assemblyVersion": get("Assembly Version"), "legalCopyright": get("LegalCopyright"),
        "companyName": get("CompanyName"), "productName": get("ProductName"),
        "productVersion": get("ProductVersion"),
    });
    for (fact, key) in [("comments", "Comments"), ("internalName", "InternalName")] {
        if !get(key).is_empty() {
            facts[fact] = json!(get(key));
        }
    }
    package.describe(&facts);
    Some(package)
}

/// The runtime of .NET of this version.
fn runtime(version: &str) -> Option<Package> {
    let major: u32 = version.split('.').next()?.parse().ok()?;
    let mut package = Package::new(RUNTIME, "Microsoft.NETCore.App", version);
    let product = if major < 5 { ".net_core" } else { ".net" };
    let cpe = format!("cpe:2.3:a:microsoft:{product}:{version}:*:*:*:*:*:*:*");
    package.cpes.push(cpe);
    Some(package)
}

/// A name without what follows in brackets, such as `(net8.0)`.
fn plain(name: &str) -> String {
    let name = match name.rsplit_once(" (net") {
        Some((name, rest)) if rest.ends_with(')') => name,
        _ => name,
    };
    name.to_owned()
}

/// The higher of two versions; if they are equal, the one with more numbers.
fn version<'t>(product: &'t str, file: &'t str) -> Option<&'t str> {
    let numbers = |text: &str| {
        let numbers = text
            .split('.')
            .map(|number| number.parse::<u64>().unwrap_or(0));
        numbers.collect::<Vec<u64>>()
    };
    let [product, file] = [product, file].map(leading);
    match (product, file) {
        ("", "") => None,
        ("", only) | (only, "") => Some(only),
        (product, file) => match numbers(product).cmp(&numbers(file)) {
            Ordering::Greater => Some(product),
            _ => Some(file),
        },
    }
}

/// The version at the start of a text such as `14.0.1 built by: X`.
fn leading(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    text[..end.unwrap_or(text.len())].trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_library_is_the_runtime() {
        let texts = |version| {
            [
                ("InternalName", "System.Private.CoreLib.dll"),
                ("ProductVersion", version),
            ]
        };
        let found = of(true, &texts("8.0.1+abc")).unwrap();
        assert_eq!(
            (found.name.as_str(), found.version.as_str()),
            ("Microsoft.NETCore.App", "8.0.1")
        );
        assert!(found.cpes[0].starts_with("cpe:2.3:a:microsoft:.net:8.0.1:"));
        assert!(of(true, &texts("beta")).is_none());
    }

    fn of(managed: bool, texts: &[(&str, &str)]) -> Option<Package> {
        let texts = texts
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let texts = texts.collect();
        package("File", &Resources { managed, texts })
    }

    #[test]
    fn the_product_names_a_library_and_the_higher_version_counts() {
        let found = of(
            true,
            &[
                ("ProductName", "Json.NET (net8.0)"),
                ("FileDescription", "x"),
                ("ProductVersion", "13.0.1+ab"),
                ("FileVersion", "13.0.1.500"),
            ],
        );
        assert_eq!(found.unwrap().purl, "pkg:nuget/Json.NET@13.0.1.500");
        let texts = [("InternalName", "a"), ("FileVersion", "0.0.0.0")];
        let found = of(true, &texts).unwrap();
        assert_eq!(
            (found.name.as_str(), found.version.as_str()),
            ("a", "0.0.0.0")
        );
        assert!(of(true, &[("ProductName", "x")]).is_none());
    }

    #[test]
    fn native_libraries_keep_all_texts() {
        let found = of(
            false,
            &[
                ("CompanyName", "Microsoft Corporation"),
                ("ProductName", "Windows"),
                ("FileDescription", "C Runtime"),
                ("FileVersion", "14.00.2 built by: X"),
            ],
        );
        let found = found.unwrap();
        assert_eq!(
            (found.name.as_str(), found.version.as_str()),
            ("C Runtime", "14.00.2")
        );
        assert_eq!((found.ecosystem.kind, found.purl.as_str()), ("binary", ""));
    }
}
