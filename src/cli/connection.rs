//! Flags, files and environment that say how registries are reached.
//!
//! Logins: `DOCKER_AUTH_CONFIG` (the text itself), then the files that
//! `REGISTRY_AUTH_FILE` and `DOCKER_CONFIG` name, Podman's and Docker's usual
//! ones. Certificates: the folders that Podman and Docker look into. Source:
//! containers-auth.json(5), containers-certs.d(5).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::command_error::CommandError;
use super::options::{cache_folder, environment, pairs, program_folders, transfers};
use super::output::{note, waiting};
use super::trust::TrustArgs;
use crate::app::{Connection, ReadOptions};
use crate::oci::Digest;
use crate::plan::implied::host_architecture;
use crate::registry::{Hosts, LoginText, PerHost, PlainHttp, Profile};
use crate::verify::Check;

/// What every command that speaks to a registry understands.
#[derive(Args, Debug)]
pub(super) struct ConnectionArgs {
    /// Speak HTTP instead of HTTPS to every registry, or with =HOST[:PORT] to
    /// that one (may be repeated)
    #[arg(long, value_name = "HOST", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    plain_http: Vec<String>,
    /// Take any TLS certificate of a registry: who it is, is then not checked
    #[arg(long)]
    insecure_skip_tls_verify: bool,
    /// Folder with a folder for each registry, HOST[:PORT], that holds its
    /// *.crt and, to identify us, *.cert with *.key
    /// (default: ~/.config/containers/certs.d, /etc/containers/certs.d, ~/.docker/certs.d, /etc/docker/certs.d)
    #[arg(long, value_name = "DIR", env = "JACKAL_CERTS_DIR")]
    certs_dir: Option<PathBuf>,
    /// What kind of registry a host is, such as r.example=artifactory, where its
    /// name does not tell (may be repeated)
    #[arg(long, value_name = "HOST=KIND")]
    registry_profile: Vec<String>,
    /// Ask every registry, or with HOST=N that one, at most N times a second,
    /// such as 5 or 0.5; what its storage is asked is not counted (may be repeated)
    #[arg(long, value_name = "[HOST=]N", value_parser = rate)]
    max_requests_per_second: Vec<(Option<String>, f64)>,
    /// Send blobs above SIZE, such as 95MB, in pieces of it to every registry, or
    /// with HOST=SIZE to that one: for proxies that take no larger requests (may
    /// be repeated)
    #[arg(long, value_name = "[HOST=]SIZE", value_parser = body)]
    max_request_body: Vec<(Option<String>, u64)>,
    /// Send no layer above SIZE, such as 10GB, to any registry, or with HOST=SIZE
    /// to that one, instead of what is known of its kind (may be repeated)
    #[arg(long, value_name = "[HOST=]SIZE", value_parser = body)]
    max_layer: Vec<(Option<String>, u64)>,
}

/// Takes apart `[HOST=]VALUE`.
fn per_host(text: &str) -> (Option<String>, &str) {
    match text.rsplit_once('=') {
        Some((host, value)) => (Some(host.to_owned()).filter(|h| !h.is_empty()), value),
        None => (None, text),
    }
}

fn collected<T>(given: Vec<(Option<String>, T)>) -> PerHost<T> {
    let mut all = PerHost::default();
    for (host, value) in given {
        match host {
            Some(host) => drop(all.hosts.insert(host, value)),
            None => all.every = Some(value),
        }
    }
    all
}

fn body(text: &str) -> Result<(Option<String>, u64), String> {
    let (host, size) = per_host(text);
    match crate::pipeline::size::parse(size) {
        Ok(0) => Err("nothing can be sent in 0 bytes".to_owned()),
        Ok(size) => Ok((host, size)),
        Err(error) => Err(error.to_string()),
    }
}

fn rate(text: &str) -> Result<(Option<String>, f64), String> {
    let (host, number) = per_host(text);
    let rate = number.parse::<f64>().ok();
    // An hour apart is as good as never.
    let rate = rate.filter(|rate| (1.0 / 3600.0..=1e6).contains(rate));
    let rate = rate.ok_or("expected requests a second, such as 5, 0.5 or r.example=5")?;
    Ok((host, rate))
}

impl ConnectionArgs {
    pub(super) fn into_connection(self) -> Result<Connection, CommandError> {
        let mut profiles = BTreeMap::new();
        for (host, name) in pairs("--registry-profile", &self.registry_profile)? {
            let profile = name.parse::<Profile>();
            let profile = profile
                .map_err(|error| CommandError::usage(format!("--registry-profile: {error}")))?;
            profiles.insert(host, profile);
        }
        if self.insecure_skip_tls_verify {
            note("warning: TLS certificates of registries are NOT checked");
        }
        let plain_http = match self.plain_http {
            none if none.is_empty() => PlainHttp::Nearby,
            hosts if hosts.iter().any(String::is_empty) => PlainHttp::Everywhere,
            hosts => PlainHttp::Hosts(hosts.into_iter().collect()),
        };
        let home = environment("HOME").map(PathBuf::from);
        let below = |rest: &str| home.as_ref().map(|home| home.join(rest));
        let usual = [
            below(".config/containers/certs.d"),
            Some("/etc/containers/certs.d".into()),
            below(".docker/certs.d"),
            Some("/etc/docker/certs.d".into()),
        ];
        Ok(Connection {
            hosts: Hosts {
                plain_http,
                certificates: match self.certs_dir {
                    Some(folder) => vec![folder],
                    None => usual.into_iter().flatten().collect(),
                },
                insecure_skip_tls_verify: self.insecure_skip_tls_verify,
                profiles,
                rates: collected(self.max_requests_per_second),
                max_bodies: collected(self.max_request_body),
                max_layers: collected(self.max_layer),
            },
            logins: logins(home),
            helper_folders: program_folders(),
            tell: waiting,
        })
    }
}

/// What every command understands that reads a package from anywhere.
#[derive(Args, Debug)]
pub(super) struct ReadArgs {
    /// Which package of an index, such as amd64, arm64 or skeleton
    /// (default: this machine's)
    #[arg(long, short, value_name = "ARCH")]
    architecture: Option<String>,
    /// SHA-256 of a file that comes over http(s); of an oci:// package, the
    /// digest of its manifest
    #[arg(long, value_name = "HEX")]
    shasum: Option<String>,
    /// Transfers at the same time
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = transfers)]
    oci_concurrency: usize,
    /// Cache folder (default: ~/.cache/jackal)
    #[arg(long, value_name = "DIR", env = "JACKAL_CACHE")]
    cache_dir: Option<PathBuf>,
    /// File with bundles that speak about the package, beside those in its
    /// registry and in PACKAGE.sigstore.jsonl (may be repeated)
    #[arg(long, value_name = "FILE")]
    bundle: Vec<PathBuf>,
    /// What the files of an archive may have in all, such as 500GiB (default: 200
    /// times the archive's size, at least 32 GiB)
    #[arg(long, value_name = "SIZE")]
    max_content_size: Option<String>,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    trust: TrustArgs,
}

impl ReadArgs {
    /// Options to read with; `check` says what for.
    pub(super) fn into_options(self, check: Check) -> Result<ReadOptions, CommandError> {
        let digest = |text: String| {
            let hex = text.strip_prefix("sha256:").unwrap_or(&text);
            let read = Digest::from_hex(hex);
            read.map_err(|error| CommandError::usage(format!("--shasum: {error}")))
        };
        Ok(ReadOptions {
            connection: self.connection.into_connection()?,
            architecture: self
                .architecture
                .unwrap_or_else(|| host_architecture().to_owned()),
            cache: cache_folder(self.cache_dir).ok(),
            shasum: self.shasum.map(digest).transpose()?,
            concurrency: self.oci_concurrency,
            policy: self.trust.into_policy(check)?,
            bundles: self.bundle,
            stop: Arc::default(),
            content_limit: super::options::size("--max-content-size", self.max_content_size)?,
        })
    }
}

/// The texts with logins that there are, the one that counts first.
fn logins(home: Option<PathBuf>) -> Vec<LoginText> {
    let mut found = Vec::new();
    let mut add = |from: String, text: Result<String, String>| found.push(LoginText { from, text });
    let variable = "DOCKER_AUTH_CONFIG";
    if let Some(text) = environment(variable).and_then(|text| text.into_string().ok()) {
        add(variable.to_owned(), Ok(text));
    }
    if let Some(path) = environment("REGISTRY_AUTH_FILE").map(PathBuf::from) {
        // Named, so wanted: once a login is asked for, its absence is told.
        let from = format!("`{}` (REGISTRY_AUTH_FILE)", path.display());
        add(
            from,
            std::fs::read_to_string(&path).map_err(|error| error.to_string()),
        );
    }
    let runtime = environment("XDG_RUNTIME_DIR").map(PathBuf::from);
    let usual = [
        environment("DOCKER_CONFIG").map(|folder| PathBuf::from(folder).join("config.json")),
        runtime.map(|folder| folder.join("containers/auth.json")),
        home.as_ref()
            .map(|home| home.join(".config/containers/auth.json")),
        home.map(|home| home.join(".docker/config.json")),
    ];
    for path in usual.into_iter().flatten() {
        let from = format!("`{}`", path.display());
        match std::fs::read_to_string(&path) {
            Ok(text) => add(from, Ok(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => note(&format!("warning: logins in {from} are not used: {error}")),
        }
    }
    found
}
