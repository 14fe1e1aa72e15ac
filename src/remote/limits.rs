//! What a server says it can do, and what that means for requests to it.

use super::proto::{SHA256, ServerCapabilities, ZSTD};

/// The largest message that servers read unless they say otherwise: the default of gRPC,
/// 4 MiB, less what frames and headers may take.
const MESSAGE: u64 = (4 << 20) - (64 << 10);

/// Names of functions of digests, by their numbers in the protocol.
const FUNCTIONS: &[(i32, &str)] = &[
    (1, "sha256"),
    (2, "sha1"),
    (3, "md5"),
    (4, "vso"),
    (5, "sha384"),
    (6, "sha512"),
    (7, "murmur3"),
    (8, "sha256tree"),
    (9, "blake3"),
    (10, "gitsha1"),
];

/// Names of compressors, by their numbers in the protocol.
const COMPRESSORS: &[(i32, &str)] = &[(0, "identity"), (1, "zstd"), (2, "deflate"), (3, "brotli")];

/// What requests have to keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest batch, in bytes.
    pub batch: u64,
    /// Whether blobs may travel compressed.
    pub zstd: bool,
    /// The largest blob, in bytes.
    pub max_blob: Option<u64>,
    /// Whether results may be stored.
    pub writes: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch: MESSAGE,
            zstd: false,
            max_blob: None,
            writes: true,
        }
    }
}

/// What a server says it can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Lowest and highest version of the protocol, if it says so.
    pub versions: Option<(String, String)>,
    pub digest_functions: Vec<String>,
    pub compressors: Vec<String>,
    /// The largest batch, in bytes; 0: it names no limit.
    pub max_batch: u64,
    /// The largest blob, in bytes; 0: it names no limit.
    pub max_blob: u64,
    /// Whether results may be stored.
    pub writes: bool,
    /// Whether it has a cache at all.
    pub caches: bool,
    /// Whether it executes actions.
    pub executes: bool,
    speaks: bool,
    sha256: bool,
    zstd: bool,
}

impl Capabilities {
    pub(super) fn of(said: &ServerCapabilities) -> Self {
        let names = |table: &[(i32, &str)], numbers: &[i32]| {
            let name = |number: &i32| {
                let known = table.iter().find(|(own, _)| own == number);
                known.map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned())
            };
            numbers.iter().map(name).collect::<Vec<_>>()
        };
        let cache = said.cache_capabilities.clone().unwrap_or_default();
        let low = said.low_api_version.as_ref();
        let version = |it: &super::proto::SemVer| format!("{}.{}", it.major, it.minor);
        let limit = |number: i64| u64::try_from(number).unwrap_or(0);
        Self {
            versions: low
                .zip(said.high_api_version.as_ref())
                .map(|(low, high)| (version(low), version(high))),
            digest_functions: names(FUNCTIONS, &cache.digest_functions),
            compressors: names(COMPRESSORS, &cache.supported_compressors),
            max_batch: limit(cache.max_batch_total_size_bytes),
            max_blob: limit(cache.max_cas_blob_size_bytes),
            writes: cache
                .action_cache_update_capabilities
                .as_ref()
                .is_some_and(|update| update.update_enabled),
            caches: said.cache_capabilities.is_some(),
            executes: said
                .execution_capabilities
                .as_ref()
                .is_some_and(|execution| execution.exec_enabled),
            speaks: low.is_none_or(|low| low.major <= 2),
            sha256: cache.digest_functions.is_empty() || cache.digest_functions.contains(&SHA256),
            zstd: cache.supported_compressors.contains(&ZSTD),
        }
    }

    /// What requests have to keep to.
    ///
    /// # Errors
    ///
    /// Why this server cannot be used.
    pub fn limits(&self) -> Result<Limits, String> {
        if !self.speaks {
            let from = self.versions.as_ref().map_or("", |(low, _)| low);
            return Err(format!("the server speaks version {from}, expected 2"));
        }
        if !self.sha256 {
            let known = self.digest_functions.join(", ");
            return Err(format!("the server knows {known}, expected sha256"));
        }
        let own = Limits::default();
        Ok(Limits {
            batch: match self.max_batch {
                0 => own.batch,
                said => said.min(own.batch),
            },
            zstd: self.zstd,
            max_blob: (self.max_blob > 0).then_some(self.max_blob),
            writes: self.writes || !self.caches,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::proto::{CacheCapabilities, SemVer};

    fn said(cache: CacheCapabilities) -> Capabilities {
        Capabilities::of(&ServerCapabilities {
            cache_capabilities: Some(cache),
            ..ServerCapabilities::default()
        })
    }

    #[test]
    fn no_limit_means_the_default_of_the_transport() {
        for (advertised, batch) in [
            (0, MESSAGE),
            (65_536, 65_536),
            (-1, MESSAGE),
            (1 << 40, MESSAGE),
        ] {
            let found = said(CacheCapabilities {
                max_batch_total_size_bytes: advertised,
                ..CacheCapabilities::default()
            });
            assert_eq!(found.limits().unwrap().batch, batch, "{advertised}");
        }
    }

    #[test]
    fn a_server_without_our_digests_or_version_is_refused() {
        let found = said(CacheCapabilities {
            digest_functions: vec![9, 77],
            ..CacheCapabilities::default()
        });
        let error = found.limits().unwrap_err();
        assert_eq!(error, "the server knows blake3, 77, expected sha256");
        let found = Capabilities::of(&ServerCapabilities {
            low_api_version: Some(SemVer {
                major: 3,
                ..SemVer::default()
            }),
            high_api_version: Some(SemVer {
                major: 3,
                minor: 1,
                ..SemVer::default()
            }),
            ..ServerCapabilities::default()
        });
        assert!(found.limits().unwrap_err().contains("version 3.0"));
    }
}
