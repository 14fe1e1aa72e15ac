//! How each host is accessed: scheme, certificates, limits.
//!
//! Certificates are in folders named after the host, as for Docker and Podman
//! (`certs.d/HOST/*.crt`, `*.cert` with `*.key`), below folders that the caller
//! names. Source: containers-certs.d(5); docs/spec/registry.md, "Hosts and
//! schemes".

mod certificates;
mod names;
pub(in crate::registry) mod pace;
pub(in crate::registry) mod profile;

use crate::disk::look;
use crate::oci::{DOCKER_HUB_API, is_docker_hub};
use crate::text::with_causes;
use std::collections::{BTreeMap, BTreeSet, HashMap};
#[cfg(test)]
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use reqwest::redirect::{Action, Attempt, Policy};

use super::RegistryError;
use super::error::reason;
use certificates::Files;
use names::{Names, Shared};
use profile::Profile;

pub(in crate::registry) use names::Unresolved;

/// Maximum silence within a response before the connection counts as lost.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Maximum time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Maximum number of redirects; storage behind a registry needs one or two.
const MAX_REDIRECTS: usize = 5;

/// The hosts that are accessed without TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PlainHttp {
    /// Those on this machine and in private networks.
    #[default]
    Nearby,
    /// These, and those of [`Nearby`](Self::Nearby).
    Hosts(BTreeSet<String>),
    Everywhere,
}

#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// The hosts that are accessed without TLS.
    pub plain_http: PlainHttp,
    /// Folders with a subfolder of certificates for each host; the first one
    /// that has the host applies.
    pub certificates: Vec<PathBuf>,
    /// Token servers on other hosts that may get a registry's credentials.
    pub token_servers: BTreeMap<String, String>,
    pub insecure_skip_tls_verify: bool,
    /// Profiles of hosts whose names do not show the kind of registry.
    pub profiles: BTreeMap<String, Profile>,
    /// Maximum number of requests per second.
    pub rates: PerHost<f64>,
    /// Maximum size of a request body, in bytes.
    pub max_bodies: PerHost<u64>,
    /// Maximum size of a layer, in bytes, overriding the profile.
    pub max_layers: PerHost<u64>,
}

/// A setting for all hosts, with overrides for single ones.
#[derive(Clone, Debug)]
pub struct PerHost<T> {
    /// For hosts without an entry.
    pub every: Option<T>,
    /// Overrides by host.
    pub hosts: BTreeMap<String, T>,
}

impl<T> Default for PerHost<T> {
    fn default() -> Self {
        Self {
            every: None,
            hosts: BTreeMap::new(),
        }
    }
}

impl<T: Copy> PerHost<T> {
    /// The setting for `host`.
    fn of(&self, host: &str) -> Option<T> {
        self.hosts.get(host).copied().or(self.every)
    }
}

impl Hosts {
    /// A client for services of `host` that need HTTP/2, with the host's certificates, or
    /// without TLS if it is `plain`. `connecting` and `silence` limit how long connecting and
    /// waiting for more of an answer take.
    ///
    /// # Errors
    ///
    /// Its certificates cannot be used.
    pub fn grpc_client(
        &self,
        host: &str,
        plain: bool,
        [connecting, silence]: [Option<Duration>; 2],
    ) -> Result<reqwest::Client, RegistryError> {
        look::beyond_files();
        let mut builder = service_client()
            .http2_prior_knowledge()
            .http2_adaptive_window(true)
            .connect_timeout(connecting.unwrap_or(CONNECT_TIMEOUT));
        if let Some(silence) = silence {
            builder = builder.read_timeout(silence);
        }
        if plain {
            // Proxies pass on HTTP/2 only within TLS.
            builder = builder.no_proxy();
        }
        if self.insecure_skip_tls_verify {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        let mut folders = self.certificates.iter().map(|dir| dir.join(host));
        if let Some(folder) = folders.find(|folder| folder.is_dir()) {
            let read = Files::in_folder(&folder).map_err(|what| unusable(&folder, &what))?;
            let mut config = read
                .config(self.insecure_skip_tls_verify)
                .map_err(|error| unusable(&folder, &with_causes(&error)))?;
            config.alpn_protocols = vec![b"h2".to_vec()];
            builder = builder.tls_backend_preconfigured(config);
        }
        let built = builder.build();
        built.map_err(|error| RegistryError::Setup(reason(error)))
    }
}

/// What the user says about a registry's token server.
#[derive(Clone, Copy, Debug)]
pub(in crate::registry) struct TokenServer<'a> {
    /// Whether the registry, and so its token server, may be without TLS.
    pub plain: bool,
    /// A host other than the registry's that may get its credentials.
    pub named: Option<&'a str>,
}

pub(in crate::registry) struct Clients {
    hosts: Hosts,
    names: Arc<Names>,
    /// Made when it is first needed: the certificates of the system take some
    /// milliseconds to read.
    shared: OnceLock<Http>,
    own: Mutex<HashMap<String, Http>>,
}

/// HTTP clients for the same hosts.
#[derive(Clone)]
pub(in crate::registry) struct Http {
    /// Times out if a response does not arrive or continue.
    pub reads: reqwest::Client,
    /// For uploads, during which no response is expected.
    pub writes: reqwest::Client,
    /// For credentials, which no other host may get: a redirect would send those
    /// in a body to its target.
    pub logins: reqwest::Client,
}

/// What each request names as its sender.
const USER_AGENT: &str = concat!("jackal/", env!("CARGO_PKG_VERSION"));

/// A client for services that are no registries, which may be changed further. It follows
/// no redirects: such services have none, and requests carry tokens.
pub fn service_client() -> reqwest::ClientBuilder {
    install_tls();
    reqwest::Client::builder()
        .redirect(Policy::none())
        .user_agent(USER_AGENT)
}

/// Selects the TLS provider of this process. May be called repeatedly.
pub fn install_tls() {
    // Fails only if a provider is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

impl Clients {
    pub(in crate::registry) fn new(hosts: Hosts) -> Self {
        install_tls();
        Self {
            hosts,
            names: Names::new(),
            shared: OnceLock::new(),
            own: Mutex::default(),
        }
    }

    /// The client for files of any host.
    pub(in crate::registry) fn shared(&self) -> Result<&Http, RegistryError> {
        look::beyond_files();
        if let Some(known) = self.shared.get() {
            return Ok(known);
        }
        let made = http(&self.hosts, &self.names, None)?;
        Ok(self.shared.get_or_init(|| made))
    }

    /// The client for `host`, with its certificates.
    pub(in crate::registry) fn of(&self, host: &str) -> Result<Http, RegistryError> {
        look::beyond_files();
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(http) = own.get(host) {
            return Ok(http.clone());
        }
        let folders = self.hosts.certificates.iter();
        let folder = folders
            .map(|dir| dir.join(host))
            .find(|folder| folder.is_dir());
        let made = match folder {
            Some(folder) => http(&self.hosts, &self.names, Some(&folder))?,
            None => self.shared()?.clone(),
        };
        own.insert(host.to_owned(), made.clone());
        Ok(made)
    }

    /// Whether `host` is spoken to without TLS.
    pub(in crate::registry) fn is_plain(&self, host: &str) -> bool {
        match &self.hosts.plain_http {
            PlainHttp::Everywhere => true,
            PlainHttp::Hosts(hosts) if hosts.contains(host) => true,
            _ => is_local(host) && !self.has_certificates(host),
        }
    }

    /// What the user says about the token server of `host`.
    pub(in crate::registry) fn token_server(&self, host: &str) -> TokenServer<'_> {
        TokenServer {
            plain: self.is_plain(host),
            named: self.hosts.token_servers.get(host).map(String::as_str),
        }
    }

    pub(in crate::registry) fn profile(&self, host: &str) -> Profile {
        let configured = self.hosts.profiles.get(host).copied();
        let profile = configured.unwrap_or_else(|| *Profile::of_host(host));
        Profile {
            max_layer: self.hosts.max_layers.of(host).or(profile.max_layer),
            ..profile
        }
    }

    /// Minimum time between two requests to `host`.
    pub(in crate::registry) fn apart(&self, host: &str) -> Duration {
        let apart = self
            .hosts
            .rates
            .of(host)
            .map(|rate| Duration::try_from_secs_f64(rate.recip()));
        apart.and_then(Result::ok).unwrap_or_default()
    }

    /// Maximum size of a request body for `host`, if configured.
    pub(in crate::registry) fn max_body(&self, host: &str) -> Option<u64> {
        self.hosts.max_bodies.of(host)
    }

    /// If certificates are configured for a host, TLS is used even for a local
    /// one.
    fn has_certificates(&self, host: &str) -> bool {
        let mut folders = self.hosts.certificates.iter();
        folders.any(|dir| dir.join(host).is_dir())
    }
}

fn http(
    hosts: &Hosts,
    names: &Arc<Names>,
    certificates: Option<&Path>,
) -> Result<Http, RegistryError> {
    let build = |reads: bool, redirects: Policy| {
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_TIMEOUT)
            .dns_resolver(Shared(Arc::clone(names)))
            // URLs may contain secrets.
            .referer(false)
            // This timeout would end slow uploads, whose window may stay closed
            // for long. Stalled uploads are detected in `transfer`.
            .tcp_user_timeout(None)
            .redirect(redirects);
        if reads {
            builder = builder.read_timeout(READ_TIMEOUT);
        }
        if hosts.insecure_skip_tls_verify {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        if let Some(folder) = certificates {
            let read = Files::in_folder(folder).map_err(|what| unusable(folder, &what))?;
            let config = read
                .config(hosts.insecure_skip_tls_verify)
                .map_err(|error| unusable(folder, &with_causes(&error)))?;
            builder = builder.tls_backend_preconfigured(config);
        }
        builder
            .build()
            .map_err(|error| RegistryError::Setup(reason(error)))
    };
    Ok(Http {
        reads: build(true, Policy::custom(follow))?,
        writes: build(false, Policy::custom(follow))?,
        logins: build(true, Policy::custom(follow_at_home))?,
    })
}

fn unusable(folder: &Path, what: &str) -> RegistryError {
    RegistryError::Setup(format!("certificates in `{}`: {what}", folder.display()))
}

/// Follows a few redirects, but never from HTTPS to HTTP. The HTTP client drops
/// the credentials when the host changes.
fn follow(attempt: Attempt<'_>) -> Action {
    let secure = attempt.previous().iter().any(|url| url.scheme() == "https");
    if attempt.previous().len() > MAX_REDIRECTS {
        attempt.error("too many redirects")
    } else if secure && attempt.url().scheme() != "https" {
        attempt.error("redirected from https to http")
    } else {
        attempt.follow()
    }
}

/// Follows redirects within one origin.
fn follow_at_home(attempt: Attempt<'_>) -> Action {
    let first = attempt.previous().first();
    match first.is_none_or(|first| first.origin() == attempt.url().origin()) {
        true => follow(attempt),
        false => attempt
            .error("the token server redirects to another host, to which credentials are not sent"),
    }
}

/// The host that serves a registry's API.
pub(in crate::registry) fn answering(registry: &str) -> &str {
    match is_docker_hub(registry) {
        true => DOCKER_HUB_API,
        false => registry,
    }
}

/// Whether `host` is on this machine or in a private network, where TLS is not usual.
///
/// Source: docs/spec/registry.md, "Hosts and schemes".
fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|h| h.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or(host),
    };
    let name = name.to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".local")
        || name.parse::<IpAddr>().is_ok_and(|ip| match ip {
            IpAddr::V4(ip) => ip.is_loopback() || ip.is_private(),
            IpAddr::V6(ip) => ip.is_loopback(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(hosts: Hosts) -> Clients {
        Clients::new(hosts)
    }

    #[test]
    fn only_hosts_on_this_machine_and_in_private_networks_are_local() {
        for host in [
            "localhost",
            "localhost:1",
            "127.9.0.1:5",
            "[::1]:5",
            "a.local",
            "10.0.0.1",
            "172.31.0.1:5000",
            "192.168.1.9",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "docker.io",
            "172.32.0.1",
            "11.0.0.1",
            "10.0.0.1.io",
            "localhost.io",
            "1.local.io:5",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn plain_http_is_for_hosts_near_by_and_those_that_were_named() {
        let near = clients(Hosts::default());
        for host in [
            "localhost:5000",
            "127.0.0.1",
            "10.1.2.3:80",
            "[::1]:5000",
            "a.local",
        ] {
            assert!(near.is_plain(host), "{host}");
        }
        assert!(!near.is_plain("ghcr.io"));
        let named = clients(Hosts {
            plain_http: PlainHttp::Hosts(["r.example:80".to_owned()].into()),
            ..Hosts::default()
        });
        assert!(named.is_plain("r.example:80") && !named.is_plain("r.example"));
    }

    #[test]
    fn no_client_is_made_before_one_is_needed() {
        let clients = clients(Hosts::default());
        assert!(clients.is_plain("localhost") && clients.shared.get().is_none());
        clients.of("ghcr.io").unwrap();
        let first = std::ptr::from_ref(clients.shared().unwrap());
        assert_eq!(first, std::ptr::from_ref(clients.shared().unwrap()));
    }

    #[test]
    fn a_host_with_certificates_uses_tls_and_bad_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("127.0.0.1:5000");
        fs::create_dir(&folder).unwrap();
        let found = clients(Hosts {
            certificates: vec![dir.path().to_owned()],
            ..Hosts::default()
        });
        assert!(!found.is_plain("127.0.0.1:5000") && found.is_plain("127.0.0.1:5001"));
        fs::write(folder.join("client.cert"), "x").unwrap();
        let Err(error) = found.of("127.0.0.1:5000") else {
            panic!("a certificate without a key was taken");
        };
        assert!(error.to_string().contains("client.key"), "{error}");
    }
}
