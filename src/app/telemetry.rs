//! Sends the trace of a run to an OpenTelemetry collector, if the environment names one.
//!
//! Source: OpenTelemetry specification, "OTLP exporter configuration" and "Environment
//! variable specification"; W3C Trace Context for `TRACEPARENT`.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::rand;
use percent_encoding::percent_decode_str;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use crate::registry::runtime::apart;
use crate::registry::{is_temporary, service_client};
use crate::run::record::RunRecord;
use crate::run::{Trace, otlp};
use crate::text::{with_causes, without_logins};

/// Default time limit of a request, of the specification.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where and how a trace is sent.
#[derive(Debug)]
struct Export {
    url: String,
    headers: HeaderMap,
    timeout: Duration,
    trace: Trace,
}

/// Sends the trace of a run, in which each task waited for those in `after`. Does nothing
/// if `environment` names no collector.
///
/// # Errors
///
/// A message for the user: a variable is malformed, or the collector does not accept it.
pub fn export_trace(
    environment: &BTreeMap<String, String>,
    record: &RunRecord,
    after: &BTreeMap<String, Vec<String>>,
) -> Result<(), String> {
    let Some(export) = Export::of(environment)? else {
        return Ok(());
    };
    let bodies = otlp(record, after, &export.trace);
    let sent = apart(export.send(bodies)).unwrap_or_else(|error| Err(error.to_string()));
    let shown = without_logins(&export.url);
    sent.map_err(|error| format!("the trace of this run was not sent to {shown}: {error}"))
}

impl Export {
    fn of(environment: &BTreeMap<String, String>) -> Result<Option<Self>, String> {
        let get = |name: &str| environment.get(name).map(|text| text.trim());
        let get = |name: &str| get(name).filter(|text| !text.is_empty());
        let is = |name: &str, value: &str| get(name).is_some_and(|v| v.eq_ignore_ascii_case(value));
        if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
            return Ok(None);
        }
        let of_all = |url: &str| format!("{}/v1/traces", url.trim_end_matches('/'));
        let own = get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").map(str::to_owned);
        let Some(url) = own.or_else(|| get("OTEL_EXPORTER_OTLP_ENDPOINT").map(of_all)) else {
            return Ok(None);
        };
        let either = |name: &'static str| {
            let own = format!("OTEL_EXPORTER_OTLP_TRACES_{name}");
            get(&own).or_else(|| get(&format!("OTEL_EXPORTER_OTLP_{name}")))
        };
        if let Some(protocol) = either("PROTOCOL").filter(|name| !name.starts_with("http/")) {
            return Err(format!(
                "OTEL_EXPORTER_OTLP_PROTOCOL is `{protocol}`: traces are sent by http/json only"
            ));
        }
        let timeout = either("TIMEOUT").map(|text| {
            let number = text.parse().map(Duration::from_millis);
            number.map_err(|_| {
                format!("OTEL_EXPORTER_OTLP_TIMEOUT is `{text}`, expected milliseconds")
            })
        });
        let mut headers = HeaderMap::new();
        for (name, value) in pairs(either("HEADERS").unwrap_or_default()) {
            // Headers often hold tokens: no value is shown.
            let malformed = || format!("OTEL_EXPORTER_OTLP_HEADERS: `{name}` is no header");
            let mut value = HeaderValue::from_str(&value).map_err(|_| malformed())?;
            value.set_sensitive(true);
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed())?;
            headers.insert(name, value);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut resource = pairs(get("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default());
        let service = get("OTEL_SERVICE_NAME").map(str::to_owned);
        let known = resource.remove("service.name");
        let service = service.or(known).unwrap_or_else(|| "jackal".to_owned());
        resource.insert("service.name".to_owned(), service);
        let (id, parent) = match get("TRACEPARENT").and_then(parent) {
            Some((id, parent)) => (id, Some(parent)),
            None => {
                let mut id = [0; 16];
                rand::fill(&mut id).map_err(|_| "no random numbers".to_owned())?;
                (u128::from_be_bytes(id), None)
            }
        };
        Ok(Some(Self {
            url,
            headers,
            timeout: timeout.transpose()?.unwrap_or(TIMEOUT),
            trace: Trace {
                id,
                parent,
                resource,
            },
        }))
    }

    async fn send(&self, bodies: Vec<String>) -> Result<(), String> {
        let client = service_client()
            .timeout(self.timeout)
            .default_headers(self.headers.clone())
            .build()
            .map_err(|error| error.without_url().to_string())?;
        for body in bodies {
            let mut again = true;
            loop {
                let sent = client.post(&self.url).body(body.clone()).send().await;
                let status = sent.map_err(|error| {
                    let error = error.without_url();
                    with_causes(&error)
                })?;
                let status = status.status();
                if status.is_success() {
                    break;
                }
                if !again || !is_temporary(status.as_u16()) {
                    return Err(format!("it answered with status {}", status.as_u16()));
                }
                again = false;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        Ok(())
    }
}

/// `name=value,...`, with values in percent-encoding.
fn pairs(text: &str) -> BTreeMap<String, String> {
    text.split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| {
            let value = percent_decode_str(value.trim()).decode_utf8_lossy();
            (name.trim().to_owned(), value.into_owned())
        })
        .collect()
}

/// The trace and the span of `TRACEPARENT`; `None`: it is malformed, and does not count.
fn parent(text: &str) -> Option<(u128, u64)> {
    let mut parts = text.split('-');
    let version = parts.next()?;
    let (id, span) = (parts.next()?, parts.next()?);
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if version.len() != 2
        || id.len() != 32
        || span.len() != 16
        || ![version, id, span].into_iter().all(is_hex)
    {
        return None;
    }
    let id = u128::from_str_radix(id, 16).ok().filter(|id| *id != 0)?;
    let span = u64::from_str_radix(span, 16).ok().filter(|id| *id != 0)?;
    Some((id, span))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn export(variables: &[(&str, &str)]) -> Result<Option<Export>, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Export::of(&variables.iter().map(owned).collect())
    }

    #[test]
    fn the_environment_says_where_and_how() {
        assert!(export(&[]).unwrap().is_none());
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/");
        assert!(
            export(&[endpoint, ("OTEL_SDK_DISABLED", "true")])
                .unwrap()
                .is_none()
        );
        let made = export(&[
            endpoint,
            ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Basic%20x, a=b"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=s,team=t"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "500"),
            (
                "TRACEPARENT",
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            ),
        ]);
        let made = made.unwrap().unwrap();
        assert_eq!(made.url, "http://c:4318/v1/traces");
        assert_eq!(made.headers["authorization"], "Basic x");
        assert_eq!(made.headers["a"], "b");
        assert_eq!(made.timeout, Duration::from_millis(500));
        assert_eq!(made.trace.resource["service.name"], "s");
        assert_eq!(made.trace.resource["team"], "t");
        assert_eq!(made.trace.id >> 112, 0x0af7);
        assert_eq!(made.trace.parent, Some(0xb7ad_6b71_6920_3331));
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t/x");
        let made = export(&[endpoint, own, ("TRACEPARENT", "00-zz")])
            .unwrap()
            .unwrap();
        assert_eq!(made.url, "http://t/x");
        assert!(made.trace.parent.is_none());
        assert_eq!(made.trace.resource["service.name"], "jackal");
    }

    #[test]
    fn malformed_variables_are_named_without_their_secrets() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
        let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
        assert!(export(&[endpoint, grpc]).unwrap_err().contains("grpc"));
        let header = ("OTEL_EXPORTER_OTLP_HEADERS", "a=secret%0Avalue");
        let error = export(&[endpoint, header]).unwrap_err();
        assert!(
            error.contains("`a`") && !error.contains("secret"),
            "{error}"
        );
        let timeout = ("OTEL_EXPORTER_OTLP_TIMEOUT", "x");
        assert!(export(&[endpoint, timeout]).is_err());
    }
}
