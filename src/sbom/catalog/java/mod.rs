//! Packages of Java: archives such as `x.jar`, with all that is packed into them.

mod directory;
mod extract;
pub(super) mod gradle;
mod groups;
mod identity;
pub(super) mod jvm;
mod manifest;
pub(super) mod maven;
mod name;
mod packages;
mod pom;
mod properties;

pub(super) use extract::is_archive;
pub(in crate::sbom) use identity::GROUP_KEYS;

use super::{Cataloguer, Finds, Scope};
use crate::sbom::document::Ecosystem;

pub(super) const ARCHIVES: Cataloguer = Cataloguer {
    ecosystem: ARCHIVE,
    scope: Scope::Everywhere,
    finds: Finds::InExtracts {
        lists: |_, name| extract::is_container(name),
        longest: 4 << 30,
        extract: extract::extract,
        find: packages::find,
    },
};

const ARCHIVE: Ecosystem = Ecosystem {
    kind: "java-archive",
    language: "java",
    found_by: "java-archive-cataloger",
    metadata_type: "java-archive",
};

const PLUGIN: Ecosystem = Ecosystem {
    kind: "jenkins-plugin",
    ..ARCHIVE
};

const POM: Ecosystem = Ecosystem {
    found_by: "java-pom-cataloger",
    ..ARCHIVE
};

const GRADLE: Ecosystem = Ecosystem {
    found_by: "java-gradle-lockfile-cataloger",
    ..ARCHIVE
};
