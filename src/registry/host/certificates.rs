//! TLS to a host whose certificates are in a folder: which servers it accepts, and
//! which client certificate it presents.
//!
//! Source: containers-certs.d(5); docs/spec/registry.md, "Hosts and schemes".

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;

/// The certificates of one host.
pub(super) struct Files {
    authorities: Vec<CertificateDer<'static>>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl Files {
    /// Reads `*.crt`, and the first `*.cert` with its `*.key`.
    ///
    /// # Errors
    ///
    /// The file that cannot be used, and why.
    pub(super) fn in_folder(folder: &Path) -> Result<Self, String> {
        let mut files = Self {
            authorities: Vec::new(),
            identity: None,
        };
        let io = |error: io::Error| error.to_string();
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder).map_err(io)? {
            paths.push(entry.map_err(io)?.path());
        }
        paths.sort();
        for path in paths {
            match path.extension().and_then(|end| end.to_str()) {
                Some("crt") => files.authorities.extend(certificates(&path)?),
                Some("cert") if files.identity.is_none() => {
                    let key = path.with_extension("key");
                    let pem = read(&key)?;
                    let secret = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
                        format!("`{}`: expected a private key in PEM", key.display())
                    })?;
                    files.identity = Some((certificates(&path)?, secret));
                }
                Some("key") if !path.with_extension("cert").is_file() => {
                    return Err(format!("`{}` has no matching .cert file", path.display()));
                }
                _ => {}
            }
        }
        Ok(files)
    }

    /// The TLS settings for the host; with `accept_any`, of any server.
    ///
    /// # Errors
    ///
    /// A certificate that is malformed, or a key that does not fit.
    pub(super) fn config(self, accept_any: bool) -> Result<ClientConfig, Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = HostVerifier {
            usual: Verifier::new_with_extra_roots(self.authorities.clone(), Arc::clone(&provider))?,
            authorities: self.authorities,
            accept_any,
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match self.identity {
            Some((chain, key)) => config.with_client_auth_cert(chain, key)?,
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("`{}`: {error}", path.display()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(path)?;
    let wrong = || format!("`{}`: expected certificates in PEM", path.display());
    let found = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    found
        .ok()
        .filter(|found| !found.is_empty())
        .ok_or_else(wrong)
}

/// Accepts certificates issued by the authorities of the system and of the host, and
/// the certificates of the host's authorities themselves: a server in a lab often has
/// a single self-signed certificate, which does not count as an authority.
#[derive(Debug)]
struct HostVerifier {
    usual: Verifier,
    authorities: Vec<CertificateDer<'static>>,
    accept_any: bool,
}

impl ServerCertVerifier for HostVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.accept_any {
            return Ok(ServerCertVerified::assertion());
        }
        let usual = self.usual.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match usual {
            // What it may be used for is checked after its period of validity, which
            // has errors of its own.
            Err(Error::InvalidCertificate(CertificateError::Other(_)))
                if self.authorities.contains(end_entity) =>
            {
                let certificate = ParsedCertificate::try_from(end_entity)?;
                verify_server_name(&certificate, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            usual => usual,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};

    use super::*;

    /// A self-signed certificate, as an authority or not.
    fn own(name: &str, authority: bool, end: i32) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(end, 1, 1);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    fn accepts(
        authority: &CertificateDer<'static>,
        shown: &CertificateDer<'static>,
        name: &str,
    ) -> bool {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let authorities = vec![authority.clone()];
        let verifier = HostVerifier {
            usual: Verifier::new_with_extra_roots(authorities.clone(), provider).unwrap(),
            authorities,
            accept_any: false,
        };
        let name = ServerName::try_from(name.to_owned()).unwrap();
        // The first day of 2026.
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_767_225_600));
        let verified = verifier.verify_server_cert(shown, &[], &name, &[], now);
        verified.is_ok()
    }

    #[test]
    fn a_certificate_that_signed_itself_is_trusted_for_its_own_name_and_time() {
        for authority in [true, false] {
            let lab = own("127.0.0.1", authority, 2040);
            assert!(accepts(&lab, &lab, "127.0.0.1"), "{authority}");
            assert!(
                !accepts(&lab, &lab, "127.0.0.2"),
                "{authority}: another name"
            );
            let old = own("127.0.0.1", authority, 2024);
            assert!(!accepts(&old, &old, "127.0.0.1"), "{authority}: expired");
            let other = own("127.0.0.1", authority, 2040);
            assert!(
                !accepts(&lab, &other, "127.0.0.1"),
                "{authority}: another key"
            );
        }
    }
}
