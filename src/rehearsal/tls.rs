//! TLS for rehearsals: a server certificate, and CAs for client certificates.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;

/// Certificate files in PEM.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The certificate, with intermediate certificates.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// CAs of client certificates. If set, clients must have one.
    pub client_authorities: Option<PathBuf>,
}

impl Tls {
    pub(super) fn acceptor(&self) -> io::Result<TlsAcceptor> {
        crate::registry::install_tls();
        let wrong = |path: &Path, error: &dyn std::fmt::Display| {
            let message = format!("`{}`: {error}", path.display());
            io::Error::new(io::ErrorKind::InvalidInput, message)
        };
        let certificates = |path: &Path| -> io::Result<Vec<CertificateDer<'static>>> {
            let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
            found.map_err(|error| wrong(path, &error))
        };
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key);
        let key = key.map_err(|error| wrong(&self.key, &error))?;
        let config = ServerConfig::builder();
        let config = match &self.client_authorities {
            None => config.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for authority in certificates(path)? {
                    roots.add(authority).map_err(|error| wrong(path, &error))?;
                }
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
                config.with_client_cert_verifier(verifier.map_err(|error| wrong(path, &error))?)
            }
        };
        let config = config.with_single_cert(chain, key);
        let config = config.map_err(|error| wrong(&self.certificate, &error))?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
