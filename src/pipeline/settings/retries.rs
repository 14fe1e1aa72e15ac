//! `retries`: a number, or how often, when and after what a task is tried again.

use serde_json::{Value, json};

use super::{number, whole_schema};
use crate::pipeline::kinds::{duration_schema_of, span};
use crate::pipeline::limits::{Retries, RetryOn};
use crate::pipeline::reader::Reader;
use crate::pipeline::record::{Keys, described, object};
use crate::yaml::{Fields, Node, Value as Yaml};

/// Maximum number of attempts: with delays that double, more is a mistake.
const MAX_ATTEMPTS: i64 = 100;

pub(super) fn retries_schema() -> Value {
    let pattern = "^(network|timeout|exit:-?[0-9]+)$";
    let default = Retries::plain(0);
    let mut form = object("", Keys::default());
    let backoff = "Delay before the first retry; it doubles with each retry.";
    form["properties"]["backoff"] = described(duration_schema_of(default.backoff), backoff);
    let longest = "Maximum delay between retries.";
    form["properties"]["maxDelay"] = described(duration_schema_of(default.max_delay), longest);
    form["properties"]["attempts"] = described(whole_schema(0), "Maximum number of retries.");
    form["properties"]["only"] = json!({
        "type": ["string", "array"],
        "pattern": pattern,
        "items": {"type": "string", "pattern": pattern},
        "description": "Retry only after these failures.",
    });
    form["type"] = json!(["integer", "object"]);
    form["minimum"] = json!(0);
    form
}

/// `retries: 3`, or a mapping.
pub(super) fn retries(node: &Node, r: &mut Reader) -> Retries {
    if !matches!(node.value, Yaml::Mapping(_)) {
        let attempts = node
            .plain_type()
            .and(node.scalar())
            .and_then(|text| text.parse::<i64>().ok())
            .filter(|number| (0..=MAX_ATTEMPTS).contains(number))
            .and_then(|number| u32::try_from(number).ok());
        if attempts.is_none() {
            let help = format!("Write a number from 0 to {MAX_ATTEMPTS}, or a mapping.");
            r.at(node.span, "`retries` is not a number of attempts", help);
        }
        return Retries::plain(attempts.unwrap_or(0));
    }
    let mut f = Fields::new(node, "`retries`", &mut r.mistakes);
    let attempts = number(&mut f, "attempts", 0..=MAX_ATTEMPTS, r).unwrap_or(0);
    let plain = Retries::plain(u32::try_from(attempts).unwrap_or(0));
    let made = Retries {
        backoff: span(&mut f, "backoff", r).unwrap_or(plain.backoff),
        max_delay: span(&mut f, "maxDelay", r).unwrap_or(plain.max_delay),
        only: Reader::nodes(&mut f, "only")
            .into_iter()
            .filter_map(|n| retry_on(n, r))
            .collect(),
        ..plain
    };
    f.finish(&mut r.mistakes);
    made
}

fn retry_on(node: &Node, r: &mut Reader) -> Option<RetryOn> {
    let text = node.scalar().unwrap_or_default();
    let code = text
        .strip_prefix("exit:")
        .and_then(|code| code.parse().ok());
    match (text, code) {
        ("network", _) => Some(RetryOn::Network),
        ("timeout", _) => Some(RetryOn::Timeout),
        (_, Some(code)) => Some(RetryOn::Exit(code)),
        _ => {
            let message = format!("`only` cannot list `{text}`");
            r.at(node.span, message, "Use network, timeout or exit:75.");
            None
        }
    }
}
