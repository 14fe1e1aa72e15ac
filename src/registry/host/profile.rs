//! Known behaviour of registries beyond the specification.
//!
//! The client adapts to it, and the rehearsal registry imitates it. Each fact
//! names its source.

use std::fmt;
use std::str::FromStr;

/// How a registry handles chunked uploads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunks {
    /// It joins the chunks.
    Joined,
    /// It keeps the first chunk but answers 201.
    ///
    /// Source: aws/containers-roadmap issue 2831.
    FirstOnly,
    /// It keeps the last chunk but answers 201.
    ///
    /// Source: wasmCloud/wasmCloud issue 3405.
    LastOnly,
    /// It refuses chunks above this many bytes with 416.
    ///
    /// Source: oras-project/rust-oci-client issue 35.
    AtMost(u64),
}

/// How a registry supports referrers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Referrers {
    /// It lists them.
    Listed,
    /// It has no referrers API; the fallback tag is used.
    Absent,
    /// It claims to support subjects but lists nothing.
    ///
    /// Source: sigstore/sigstore-js pull request 1183.
    Claimed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name on the command line.
    pub name: &'static str,
    /// Suffixes of its host names.
    pub hosts: &'static [&'static str],
    /// How it handles chunked uploads.
    pub chunks: Chunks,
    /// Whether an interrupted upload can be resumed.
    ///
    /// Source: tried with Debian's docker-registry 2.8.
    pub resumes: bool,
    /// Whether it mounts blobs from its other repositories.
    pub mounts: bool,
    /// How it supports referrers.
    pub referrers: Referrers,
    /// Maximum size of a layer, in bytes.
    pub max_layer: Option<u64>,
}

const GB: u64 = 1_000_000_000;

/// A registry that does what the specification says.
const GENERIC: Profile = Profile {
    name: "generic",
    hosts: &[],
    chunks: Chunks::Joined,
    resumes: true,
    mounts: true,
    referrers: Referrers::Listed,
    max_layer: None,
};

/// All profiles; the first one applies to unknown hosts.
pub const PROFILES: &[Profile] = &[
    GENERIC,
    // The reference implementation, to 2.8: no referrers API.
    Profile {
        name: "distribution",
        resumes: false,
        referrers: Referrers::Absent,
        ..GENERIC
    },
    Profile {
        name: "ecr",
        hosts: &[".amazonaws.com", ".amazonaws.com.cn", "public.ecr.aws"],
        chunks: Chunks::FirstOnly,
        mounts: false,
        referrers: Referrers::Claimed,
        ..GENERIC
    },
    Profile {
        name: "artifactory",
        hosts: &[".jfrog.io"],
        chunks: Chunks::LastOnly,
        ..GENERIC
    },
    // Source of the limits: aquaproj/aqua issue 4018.
    Profile {
        name: "ghcr",
        hosts: &["ghcr.io"],
        chunks: Chunks::AtMost(4 << 20),
        referrers: Referrers::Absent,
        max_layer: Some(10 * GB),
        ..GENERIC
    },
    // Source of the limit: oras-project/oras-py pull request 137. It applies to
    // the sum of the chunks.
    Profile {
        name: "quay",
        hosts: &["quay.io"],
        max_layer: Some(20 * GB),
        ..GENERIC
    },
    Profile {
        name: "harbor",
        ..GENERIC
    },
    Profile {
        name: "acr",
        hosts: &[".azurecr.io"],
        ..GENERIC
    },
    Profile {
        name: "zot",
        ..GENERIC
    },
];

impl Profile {
    /// The names of all profiles, for messages.
    #[must_use]
    pub fn names() -> String {
        let names: Vec<&str> = PROFILES.iter().map(|profile| profile.name).collect();
        names.join(", ")
    }

    /// The profile of `host`, a name with an optional port.
    #[must_use]
    pub fn of_host(host: &str) -> &'static Self {
        let name = host.split(':').next().unwrap_or(host);
        let fits = |ending: &&str| match ending.strip_prefix('.') {
            Some(_) => name.ends_with(*ending),
            None => name == *ending,
        };
        PROFILES
            .iter()
            .find(|profile| profile.hosts.iter().any(fits))
            .unwrap_or(&PROFILES[0])
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind of registry `{0}`: expected one of {names}", names = Profile::names())]
pub struct ProfileError(String);

impl FromStr for Profile {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, ProfileError> {
        let mut profiles = PROFILES.iter();
        let found = profiles.find(|profile| profile.name == text);
        found.copied().ok_or_else(|| ProfileError(text.to_owned()))
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_found_by_host_name() {
        for (host, name) in [
            ("ghcr.io", "ghcr"),
            ("1.dkr.ecr.eu-west-1.amazonaws.com", "ecr"),
            ("x.jfrog.io:443", "artifactory"),
            ("notghcr.io", "generic"),
            ("localhost:5000", "generic"),
        ] {
            assert_eq!(Profile::of_host(host).name, name, "{host}");
        }
        assert_eq!("quay".parse::<Profile>().unwrap().to_string(), "quay");
        assert!(
            "x".parse::<Profile>()
                .unwrap_err()
                .to_string()
                .contains("ghcr")
        );
    }
}
