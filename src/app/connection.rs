//! How registries are reached: what every operation that speaks to one takes.

use std::path::PathBuf;

use crate::registry::{
    Credentials, CredentialsError, Hosts, LoginText, Options, Registry, RegistryError,
};

/// Everything about registries from the command line and environment.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Schemes and certificates.
    pub hosts: Hosts,
    /// Logins; the first text that has one for a host counts.
    pub logins: Vec<LoginText>,
    /// Folders that credential helpers are looked up in.
    pub helper_folders: Vec<PathBuf>,
    /// Who hears of further attempts.
    pub tell: fn(&str),
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            hosts: Hosts::default(),
            logins: Vec::new(),
            helper_folders: Vec::new(),
            tell: |_| {},
        }
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The logins cannot be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The client cannot be set up.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl Connection {
    /// A client; it connects to nothing yet.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`]
    pub fn client(&self) -> Result<Registry, ConnectionError> {
        let credentials = Credentials::from_docker_configs(&self.logins, &self.helper_folders)?;
        Ok(Registry::new(Options {
            hosts: self.hosts.clone(),
            credentials,
            tell: self.tell,
            ..Options::default()
        })?)
    }
}
