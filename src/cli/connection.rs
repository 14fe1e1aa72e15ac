//! Flags, files and environment that say how registries are reached.
//!
//! Logins: `DOCKER_AUTH_CONFIG` (the text itself), then the files that
//! `REGISTRY_AUTH_FILE` and `DOCKER_CONFIG` name, then the usual files of Podman
//! and Docker. Certificates: the folders that Podman and Docker look into.
//! Source: containers-auth.json(5), containers-certs.d(5).

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use super::command_error::CommandError;
use super::environment::{home, program_folders, variable};
use super::output::{note, waiting};
use super::values::{pairs, rate_per_host, size_per_host};
use crate::app::{Connection, Hosts, LoginText, PerHost, PlainHttp, Profile};
use crate::text::with_causes;

/// How to reach registries.
#[derive(Args, Debug)]
#[command(next_help_heading = "Registry options")]
pub(super) struct ConnectionArgs {
    /// Use HTTP instead of HTTPS, for every registry or for HOST (repeatable)
    #[arg(long, value_name = "HOST[:PORT]", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    plain_http: Vec<String>,
    /// Accept any TLS certificate; the registry's identity is not verified
    #[arg(long, alias = "insecure")]
    insecure_skip_tls_verify: bool,
    /// Folder with certificates [default: those of Podman and Docker]
    ///
    /// It contains a folder for each registry, HOST[:PORT], with CA certificates
    /// (*.crt) and client certificates (*.cert) with keys (*.key). Default:
    /// ~/.config/containers/certs.d, /etc/containers/certs.d, ~/.docker/certs.d and
    /// /etc/docker/certs.d.
    #[arg(
        long,
        value_name = "DIR",
        env = "JACKAL_CERTS_DIR",
        hide_env_values = true
    )]
    certs_dir: Option<PathBuf>,
    /// Send the credentials for HOST to this token server (repeatable)
    ///
    /// A registry may name a token server. If that is at another host or port, it gets
    /// no credentials unless the registry's documentation names it, as Docker Hub's
    /// does, or it is named here.
    #[arg(
        long,
        value_name = "HOST=SERVER",
        env = "JACKAL_TOKEN_SERVER",
        hide_env_values = true,
        value_delimiter = ','
    )]
    token_server: Vec<String>,
    /// Set the kind of a registry, such as r.example=artifactory (repeatable)
    #[arg(long, value_name = "HOST=KIND")]
    registry_profile: Vec<String>,
    /// Limit requests per second, such as 5 or r.example=0.5 (repeatable)
    ///
    /// Without HOST, the limit applies to each registry. Requests to storage
    /// that a registry redirects to are not counted.
    #[arg(long, value_name = "[HOST=]N", value_parser = rate_per_host)]
    max_requests_per_second: Vec<(Option<String>, f64)>,
    /// A flag of Zarf without effect: retries follow the registry's instructions.
    #[arg(long, value_name = "N", hide = true)]
    retries: Option<u32>,
}

/// What registries accept.
#[derive(Args, Debug)]
#[command(next_help_heading = "Registry options")]
pub(super) struct UploadArgs {
    /// Upload larger blobs in chunks of SIZE, such as 95MB (repeatable)
    ///
    /// For proxies that limit the size of requests. Without HOST, the limit
    /// applies to each registry.
    #[arg(long, value_name = "[HOST=]SIZE", value_parser = size_per_host)]
    max_request_body: Vec<(Option<String>, u64)>,
    /// Maximum size of a layer, such as 10GB [default: by registry] (repeatable)
    ///
    /// Without HOST, the limit applies to each registry.
    #[arg(long, value_name = "[HOST=]SIZE", value_parser = size_per_host)]
    max_layer: Vec<(Option<String>, u64)>,
}

impl UploadArgs {
    pub(super) fn limit(self, connection: &mut Connection) {
        connection.hosts.max_bodies = by_host(self.max_request_body);
        connection.hosts.max_layers = by_host(self.max_layer);
    }
}

fn by_host<T>(given: Vec<(Option<String>, T)>) -> PerHost<T> {
    let mut all = PerHost::default();
    for (host, value) in given {
        match host {
            Some(host) => drop(all.hosts.insert(host, value)),
            None => all.every = Some(value),
        }
    }
    all
}

impl ConnectionArgs {
    pub(super) fn into_connection(mut self) -> Result<Connection, CommandError> {
        // An empty variable counts as unset.
        self.token_server.retain(|pair| !pair.is_empty());
        let mut profiles = BTreeMap::new();
        for (host, name) in pairs("--registry-profile", &self.registry_profile)? {
            let profile = name.parse::<Profile>();
            let profile = profile
                .map_err(|error| CommandError::usage(format!("--registry-profile: {error}")))?;
            profiles.insert(host, profile);
        }
        if self.insecure_skip_tls_verify {
            note("warning: TLS certificates of registries are NOT verified");
        }
        let plain_http = match self.plain_http {
            none if none.is_empty() => PlainHttp::Nearby,
            hosts if hosts.iter().any(String::is_empty) => PlainHttp::Everywhere,
            hosts => PlainHttp::Hosts(hosts.into_iter().collect()),
        };
        let home = home();
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
                token_servers: pairs("--token-server", &self.token_server)?,
                rates: by_host(self.max_requests_per_second),
                ..Hosts::default()
            },
            logins: logins(home),
            helper_folders: program_folders(),
            on_retry: waiting,
        })
    }
}

/// Every text with logins; the first that has one for a host counts.
fn logins(home: Option<PathBuf>) -> Vec<LoginText> {
    let mut found = Vec::new();
    let mut add = |from: String, text: Result<String, String>| found.push(LoginText { from, text });
    let name = "DOCKER_AUTH_CONFIG";
    if let Some(text) = variable(name).and_then(|text| text.into_string().ok()) {
        add(name.to_owned(), Ok(text));
    }
    if let Some(path) = variable("REGISTRY_AUTH_FILE").map(PathBuf::from) {
        // The user named it, so a missing file is an error once a login is needed.
        let from = format!("`{}` (REGISTRY_AUTH_FILE)", path.display());
        let text = std::fs::read_to_string(&path);
        add(from, text.map_err(|error| with_causes(&error)));
    }
    let runtime = variable("XDG_RUNTIME_DIR").map(PathBuf::from);
    let usual = [
        variable("DOCKER_CONFIG").map(|folder| PathBuf::from(folder).join("config.json")),
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
            Err(error) => note(&format!("warning: ignoring the logins in {from}: {error}")),
        }
    }
    found
}
