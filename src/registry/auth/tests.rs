use std::collections::BTreeMap;

use crate::oci::Reference;
use crate::registry::canned::{answer, client, serve, serve_at};
use crate::registry::{Credentials, Hosts, LoginText, Options, Registry, RegistryError};

/// The login `u:p`, for `host`; its token server is `named`.
fn with_login(host: &str, named: Option<&str>) -> Registry {
    let text = LoginText {
        from: "a.json".to_owned(),
        text: Ok(format!(r#"{{"auths":{{"{host}":{{"auth":"dTpw"}}}}}}"#)),
    };
    let named = named.map(|named| (host.to_owned(), named.to_owned()));
    Registry::new(Options {
        credentials: Credentials::from_docker_configs(&[text], &[]).unwrap(),
        hosts: Hosts {
            token_servers: named.into_iter().collect::<BTreeMap<_, _>>(),
            ..Hosts::default()
        },
        ..Options::default()
    })
}

fn refusal(challenges: &[&str]) -> Vec<u8> {
    let lines = challenges.iter();
    let lines: String = lines
        .map(|challenge| format!("WWW-Authenticate: {challenge}\r\n"))
        .collect();
    answer("401 No", &lines, 0, "")
}

#[tokio::test]
async fn a_login_goes_to_a_token_server_elsewhere_only_if_the_user_names_it() {
    let token = || answer("200 OK", "", 13, r#"{"token":"t"}"#);
    let good = || answer("200 OK", "", 2, "{}");
    let (foreign, requests) = serve_at("127.0.0.2", vec![token(), token()]).await;
    let bearer = format!("Bearer realm=\"http://{foreign}/token\",service=\"s\"");
    let refused = || refusal(&[&bearer]);
    let answers = vec![refused(), refused(), good(), refused(), refused(), good()];
    let (host, _) = serve(answers).await;
    let reference: Reference = format!("{host}/a").parse().unwrap();
    let error = with_login(&host, None).resolve(&reference).await;
    let error = error.unwrap_err();
    assert!(
        matches!(error, RegistryError::ForeignRealm { .. }),
        "{error}"
    );
    let advice = format!("--token-server {host}={foreign}");
    assert!(error.to_string().contains(&advice), "{error}");
    assert!(requests.lock().unwrap().is_empty());
    // Without a login there is nothing to keep from it.
    client().resolve(&reference).await.unwrap();
    let other = with_login(&host, Some("127.0.0.2"))
        .resolve(&reference)
        .await;
    assert!(matches!(other, Err(RegistryError::ForeignRealm { .. })));
    let named = with_login(&host, Some(foreign.as_str()));
    named.resolve(&reference).await.unwrap();
    let requests = requests.lock().unwrap();
    assert!(!requests[0].to_lowercase().contains("authorization"));
    assert!(requests[1].contains("Basic dTpw"));
}

#[tokio::test]
async fn a_token_server_that_redirects_elsewhere_takes_no_login_there() {
    let (foreign, requests) = serve_at("127.0.0.2", Vec::new()).await;
    for body in [r#""auth":"dTpw""#, r#""identitytoken":"secret""#] {
        let bearer = "Bearer realm=\"http://HOST/token\"";
        let moved = format!("Location: http://{foreign}/token\r\n");
        let moved = answer("307 Moved", &moved, 0, "");
        let (host, _) = serve(vec![refusal(&[bearer]), moved]).await;
        let reference: Reference = format!("{host}/a").parse().unwrap();
        let registry = crate::registry::canned::with_login(&host, body);
        assert!(registry.resolve(&reference).await.is_err());
    }
    assert!(requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn any_of_several_challenges_is_met_in_any_order() {
    let good = || answer("200 OK", "", 2, "{}");
    let basic = "Basic realm=\"x\"";
    let bearer = "Bearer realm=\"http://HOST/token\",service=\"s\"";
    let both = format!("{basic}, {bearer}");
    for offer in [&[basic, bearer][..], &[bearer, basic], &[both.as_str()]] {
        // Without a login, a token may be requested; with one, the token covers less.
        for login in [true, false] {
            let token = answer("200 OK", "", 13, r#"{"token":"t"}"#);
            let (host, seen) = serve(vec![refusal(offer), token, good()]).await;
            let reference: Reference = format!("{host}/a").parse().unwrap();
            let registry = match login {
                true => with_login(&host, None),
                false => client(),
            };
            registry.resolve(&reference).await.unwrap();
            let seen = seen.lock().unwrap();
            assert_eq!(seen[1].contains("Basic dTpw"), login, "{offer:?}");
            let last = seen[2].to_lowercase();
            assert!(last.contains("authorization: bearer t"), "{offer:?}");
        }
    }
    // The token server is not to be trusted with the login, and the registry is.
    let foreign = "Bearer realm=\"http://127.0.0.2:1/token\"";
    for offer in [&[basic, foreign][..], &[foreign, basic]] {
        let (host, seen) = serve(vec![refusal(offer), good()]).await;
        let reference: Reference = format!("{host}/a").parse().unwrap();
        with_login(&host, None).resolve(&reference).await.unwrap();
        assert!(seen.lock().unwrap()[1].contains("Basic dTpw"), "{offer:?}");
    }
}
