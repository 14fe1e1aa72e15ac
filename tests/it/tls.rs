//! Registries over TLS: what each setting allows, and which setting an error
//! suggests.

use std::path::Path;

use jackal::rehearsal::{Login, Options, Tls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::publish::{Rehearsal, built};

/// A CA, and the certificate it issues for `name`, in `folder`.
fn certificates(folder: &Path) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = CertifiedIssuer::self_signed(authority, key).unwrap();
    std::fs::write(folder.join("ca.crt"), authority.pem()).unwrap();
    for name in ["server", "client"] {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let issued = params.signed_by(&key, &authority).unwrap();
        std::fs::write(folder.join(format!("{name}.crt")), issued.pem()).unwrap();
        let path = folder.join(format!("{name}.key"));
        std::fs::write(path, key.serialize_pem()).unwrap();
    }
}

#[test]
fn every_tls_setting_works_or_the_error_names_it() {
    let sandbox = built();
    let folder = sandbox.src().join("../tls");
    std::fs::create_dir(&folder).unwrap();
    certificates(&folder);
    let server = |mutual: bool| {
        let login = Login {
            user: "u".to_owned(),
            password: "secret-canary".to_owned(),
            token_ttl: Some(std::time::Duration::from_secs(60)),
        };
        let tls = Tls {
            certificate: folder.join("server.crt"),
            key: folder.join("server.key"),
            client_authorities: mutual.then(|| folder.join("ca.crt")),
        };
        Rehearsal::new(Options {
            tls: Some(tls),
            login: Some(login),
            ..Options::default()
        })
    };
    let clear = Rehearsal::with_faults(&[]);
    let (plain, mutual) = (server(false), server(true));
    let host = |registry: &Rehearsal| registry.host();
    let authority = "put its CA into --certs-dir";
    let shown = "*.cert and *.key into --certs-dir";
    // The registry, the files in its certificate folder, a flag: the expected message.
    type Cell<'a> = (
        &'a Rehearsal,
        &'a [&'a str],
        Option<&'a str>,
        Result<(), &'a str>,
    );
    let cells: [Cell<'_>; 12] = [
        (&plain, &["ca"], None, Ok(())),
        (&plain, &["ca", "client"], None, Ok(())),
        (&plain, &[], None, Err("seems to use TLS")),
        (&plain, &["none"], None, Err(authority)),
        (
            &plain,
            &["none"],
            Some("--insecure-skip-tls-verify"),
            Ok(()),
        ),
        (
            &plain,
            &["ca"],
            Some("--plain-http"),
            Err("seems to use TLS"),
        ),
        (&mutual, &["ca", "client"], None, Ok(())),
        (&mutual, &["ca"], None, Err(shown)),
        (&mutual, &["client"], None, Err(authority)),
        (
            &mutual,
            &["client"],
            Some("--insecure-skip-tls-verify"),
            Ok(()),
        ),
        (&clear, &["ca"], None, Err("add --plain-http")),
        (&clear, &["ca"], Some("--plain-http"), Ok(())),
    ];
    for (number, (registry, files, flag, expected)) in cells.into_iter().enumerate() {
        let certs = folder.join(number.to_string());
        let own = certs.join(host(registry));
        std::fs::create_dir_all(if files.is_empty() { &certs } else { &own }).unwrap();
        let copy = |from: &str, to: &str| {
            std::fs::copy(folder.join(from), own.join(to)).unwrap();
        };
        if files.contains(&"ca") {
            copy("ca.crt", "ca.crt");
        }
        if files.contains(&"client") {
            copy("client.crt", "client.cert");
            copy("client.key", "client.key");
        }
        let to = registry.at("team");
        let mut args = vec!["package", "publish", "--state-dir", "../state"];
        args.extend(["--certs-dir", certs.to_str().unwrap()]);
        let archive = "dist/jackal-package-demo-amd64-1.0.0.tar.zst";
        args.extend(flag.into_iter().chain([archive, &to]));
        let mut command = sandbox.command(&args);
        // `u:secret-canary`
        let auths = format!(
            r#"{{"auths":{{"{}":{{"auth":"dTpzZWNyZXQtY2FuYXJ5"}}}}}}"#,
            host(registry)
        );
        let out = command.env("DOCKER_AUTH_CONFIG", auths).output().unwrap();
        let stderr = String::from_utf8(out.stderr).unwrap();
        assert!(!stderr.contains("canary"), "{number}: {stderr}");
        match expected {
            Ok(()) => assert_eq!(out.status.code(), Some(0), "{number}: {stderr}"),
            Err(advice) => {
                assert_eq!(out.status.code(), Some(4), "{number}: {stderr}");
                assert!(stderr.contains(advice), "{number}: {stderr}");
                assert_eq!(stderr.trim().lines().count(), 1, "{number}: {stderr}");
            }
        }
    }
}
