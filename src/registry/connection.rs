//! How registries are reached, as the user configured it.

use std::path::PathBuf;

use super::{Credentials, CredentialsError, Hosts, LoginText, Options, Registry};

/// What the command line and the environment say about registries.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Schemes and certificates.
    pub hosts: Hosts,
    /// Texts with logins; for each host, the first one that has a login is used.
    pub logins: Vec<LoginText>,
    /// Folders to look for credential helpers in.
    pub helper_folders: Vec<PathBuf>,
    pub on_retry: fn(&str),
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            hosts: Hosts::default(),
            logins: Vec::new(),
            helper_folders: Vec::new(),
            on_retry: |_| {},
        }
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The credentials cannot be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

impl Connection {
    /// Creates a client, without connecting.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`]
    pub fn client(&self) -> Result<Registry, ConnectionError> {
        let credentials = Credentials::from_docker_configs(&self.logins, &self.helper_folders)?;
        Ok(Registry::new(Options {
            hosts: self.hosts.clone(),
            credentials,
            on_retry: self.on_retry,
            ..Options::default()
        }))
    }
}
