//! Differential packages: definitions without the content of an earlier package.
//!
//! Takes the definition of the base, which `app` has read and verified, and changes
//! the composed definition before anything is planned. Keeps images and repositories
//! that may have changed: a tag such as `latest`, a branch.
//!
//! Source: docs/spec/package.md, "Differential packages".

use std::collections::BTreeSet;

use super::{Definition, RepoUrl, Wanted};
use crate::oci::Reference;

/// Tags that usually move.
const MOVING_TAGS: [&str; 3] = ["latest", "nightly", "stable"];

/// The content of a base package that a differential package can leave out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    version: String,
    checksum: String,
    images: BTreeSet<String>,
    repos: BTreeSet<String>,
}

/// Why a differential package cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DifferentialError {
    /// The base has no version.
    #[error("the base package has no metadata.version, which a differential package needs")]
    BaseVersion,
    /// The new package has no version.
    #[error("the package has no metadata.version, which a differential package needs")]
    Version,
    /// Both are the same version.
    #[error(
        "the package and its base both have version `{0}`: increase metadata.version, or use an \
         earlier package as the base"
    )]
    SameVersion(String),
}

impl Base {
    /// The content of the package with `definition`.
    ///
    /// # Errors
    ///
    /// [`DifferentialError::BaseVersion`]
    pub fn of(definition: &Definition) -> Result<Self, DifferentialError> {
        if definition.metadata.version.is_empty() {
            return Err(DifferentialError::BaseVersion);
        }
        let components = definition.components.iter();
        Ok(Self {
            version: definition.metadata.version.clone(),
            checksum: definition.metadata.aggregate_checksum.clone(),
            images: components
                .clone()
                .flat_map(|component| component.images.iter().cloned())
                .collect(),
            repos: components
                .flat_map(|component| component.repos.iter().cloned())
                .collect(),
        })
    }
}

impl Definition {
    /// Removes images and repositories that `base` contains and that cannot have
    /// changed, and records the base. Components that become empty stay.
    ///
    /// # Errors
    ///
    /// [`DifferentialError`]
    pub fn reduce(&mut self, base: &Base) -> Result<(), DifferentialError> {
        if self.metadata.version.is_empty() {
            return Err(DifferentialError::Version);
        }
        if self.metadata.version == base.version {
            return Err(DifferentialError::SameVersion(base.version.clone()));
        }
        for component in &mut self.components {
            let carried = |image: &String| base.images.contains(image) && is_fixed_image(image);
            component.images.retain(|image| !carried(image));
            let carried = |repo: &String| base.repos.contains(repo) && is_fixed_repo(repo);
            component.repos.retain(|repo| !carried(repo));
        }
        self.build.differential = true;
        let build = &mut self.build;
        build.differential_package_version.clone_from(&base.version);
        // So that a signature covers the exact base and not only its version.
        build
            .differential_package_checksum
            .clone_from(&base.checksum);
        Ok(())
    }
}

/// Whether `image` is certainly the same as when the base was built. Keeps invalid
/// references: the planner reports them.
fn is_fixed_image(image: &str) -> bool {
    image.parse::<Reference>().is_ok_and(|reference| {
        let moving = |tag| MOVING_TAGS.contains(&tag);
        // Without tag and digest, the tag is `latest`.
        !reference.tag().is_some_and(moving)
            && (reference.tag().is_some() || reference.digest().is_some())
    })
}

fn is_fixed_repo(url: &str) -> bool {
    RepoUrl::parse(url).is_ok_and(|url| match url.wanted {
        Wanted::All => false,
        Wanted::Commit(_) => true,
        Wanted::Reference(name) => name.starts_with("refs/tags/"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::Strictness;
    use super::*;
    use crate::yaml::SourceText;

    fn definition(version: &str, images: &str, repos: &str) -> Definition {
        let source = SourceText::new(
            "jackal.yaml",
            format!(
                "kind: JackalPackageConfig\nmetadata:\n  name: a\n  version: '{version}'\n\
                 components:\n- name: one\n  images: [{images}]\n- name: two\n  repos: [{repos}]\n"
            ),
        );
        Definition::parse(&source, Strictness::Existing).unwrap()
    }

    #[test]
    fn fixed_content_of_the_base_is_left_out() {
        let sum = "0".repeat(64);
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let images = [
            "r.io/a:1",
            "r.io/a:latest",
            "r.io/a",
            "b:stable",
            "b:nightly",
            &format!("r.io/c@sha256:{sum}"),
            &format!("r.io/d:latest@sha256:{sum}"),
        ];
        let repos = [
            "https://x.io/r.git@v1",
            "https://x.io/r.git@refs/tags/v2",
            &format!("https://x.io/r.git@{commit}"),
            "https://x.io/r.git",
            "https://x.io/r.git@refs/heads/main",
            "https://x.io/r.git@0123456",
        ];
        let list = |texts: &[&str]| {
            let quoted: Vec<String> = texts.iter().map(|text| format!("'{text}'")).collect();
            quoted.join(", ")
        };
        let old = definition("1", &list(&images), &list(&repos));
        // In any component of the base; compared as written.
        let new = [&images[..], &["r.io/a:2", "docker.io/library/b:stable"]].concat();
        let mut reduced = definition("2", &list(&new), &list(&repos));
        reduced.components.swap(0, 1);
        reduced.reduce(&Base::of(&old).unwrap()).unwrap();
        let [two, one] = reduced.components.as_slice() else {
            panic!("a component is missing");
        };
        let kept = [
            "r.io/a:latest",
            "r.io/a",
            "b:stable",
            "b:nightly",
            images[6],
            "r.io/a:2",
            "docker.io/library/b:stable",
        ];
        assert_eq!(one.images, kept);
        let kept = ["https://x.io/r.git", "https://x.io/r.git@refs/heads/main"];
        assert_eq!(two.repos, kept);
        assert!(reduced.build.differential);
        assert_eq!(reduced.build.differential_package_version, "1");
    }

    #[test]
    fn equal_and_missing_versions_are_refused() {
        let mut new = definition("1", "", "");
        let base = Base::of(&definition("1", "", "")).unwrap();
        let same = DifferentialError::SameVersion("1".into());
        assert_eq!(new.reduce(&base), Err(same));
        new.metadata.version.clear();
        assert_eq!(new.reduce(&base), Err(DifferentialError::Version));
        assert_eq!(Base::of(&new), Err(DifferentialError::BaseVersion));
    }
}
