//! Differential packages: a definition without what an earlier package carries.
//!
//! Takes the base's definition, which `app` has read and verified, and works on
//! the composed one before anything is planned. What may have moved since is
//! kept: a tag such as `latest`, a branch.
//!
//! Source: docs/spec/package.md, "Differential packages".

use std::collections::BTreeSet;

use super::{Definition, RepoUrl, Wanted};
use crate::oci::Reference;

/// Tags that are meant to move.
const MOVING_TAGS: [&str; 3] = ["latest", "nightly", "stable"];

/// What a differential package counts on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    version: String,
    checksum: String,
    images: BTreeSet<String>,
    repos: BTreeSet<String>,
}

/// Why there can be no differential package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DifferentialError {
    /// The base does not say which version it is.
    #[error("the base has no metadata.version: a differential package needs one to build upon")]
    BaseVersion,
    /// The new package does not say which version it is.
    #[error("the package has no metadata.version: a differential package needs one")]
    Version,
    /// Both are the same version.
    #[error(
        "the package and its base are both version `{0}`: raise metadata.version, or name an \
         earlier package"
    )]
    SameVersion(String),
}

impl Base {
    /// What the package of `definition` carries.
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
    /// Takes out the images and repositories that `base` carries and that
    /// cannot have changed, and records what was built upon. A component that
    /// nothing is left of stays.
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
        // So that a signature says which base, not only which version of it.
        build
            .differential_package_checksum
            .clone_from(&base.checksum);
        Ok(())
    }
}

/// Whether `image` means the same as when the base was made. What cannot be
/// read is kept: the plan says what is wrong with it.
fn is_fixed_image(image: &str) -> bool {
    image.parse::<Reference>().is_ok_and(|reference| {
        let moving = |tag| MOVING_TAGS.contains(&tag);
        // Without tag and digest, `latest` is meant.
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
    fn what_the_base_carries_and_cannot_move_is_taken_out() {
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
