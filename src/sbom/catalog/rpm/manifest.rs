//! Packages of images that were built with rpm and have no database: each line of
//! `container-manifest-2` is a package.

use serde_json::json;

use super::package::Identity;
use super::{RPM, ends};
use crate::sbom::catalog::{Cataloguer, Finds, Found, Scope};
use crate::sbom::document::Evidence;
use crate::sbom::squash::View;

pub(in super::super) const MANIFEST: Cataloguer = Cataloguer {
    ecosystem: RPM,
    scope: Scope::Everywhere,
    finds: Finds::InFiles {
        lists: |folder, name| name == "container-manifest-2" && ends(folder, "var/lib/rpmmanifest"),
        supports: |_, _| false,
        longest: 16 << 20,
        find,
    },
};

fn find(view: &View, path: &str, found: &mut Found) {
    let text = view.text(path).unwrap_or_default();
    let mut broken = 0;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, version, _, _, vendor, _, size, arch, epoch, source] = fields[..] else {
            broken += 1;
            continue;
        };
        let (version, release) = version.rsplit_once('-').unwrap_or((version, ""));
        let identity = Identity {
            name: name.to_owned(),
            version: version.to_owned(),
            release: release.to_owned(),
            epoch: epoch.parse().ok(),
            arch: arch.to_owned(),
            source: source.to_owned(),
        };
        if name.is_empty() || !found.text(4 * line.len()) {
            continue;
        }
        let mut package = identity.package(RPM);
        let location = view.location(path, Evidence::Primary);
        package.locations.extend(location);
        package.purl = identity.package_url(&json!({}));
        let mut facts = identity.facts();
        facts["size"] = json!(size.parse::<u64>().unwrap_or(0));
        facts["vendor"] = json!(vendor);
        facts["files"] = json!([]);
        package.describe(&facts);
        found.push(package);
    }
    if broken > 0 {
        let reason = format!("{broken} of its lines are not packages");
        found.unreadable(view, path, RPM, &reason);
    }
}
