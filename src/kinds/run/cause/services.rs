//! Services that ended before the command, or were not ready.

use super::super::services::prefixes;
use super::Scene;
use crate::ground::link::{How, Lost};
use crate::ground::sandbox::Level;
use crate::ground::{Cause, CauseKind};

/// How many lines of a service's log are named.
const MAX_LINES: usize = 3;

/// What `lost` means, with the end of the service's output in `log`.
pub(super) fn cause(scene: &Scene<'_>, lost: Lost, log: &str) -> Option<Cause> {
    let service = scene.work.services.get(lost.service)?;
    let name = &service.name;
    let at = |key: &str| scene.work.place.at(&format!("services.{name}{key}"));
    let when = match lost.later {
        true => "while the command ran",
        false => "before the command started",
    };
    let (message, help) = match lost.how {
        How::Exit(0) => (
            format!("the service `{name}` {} {when}", lost.how),
            format!(
                "let its command{} stay in the foreground: a service runs until it is stopped",
                at(".run")
            ),
        ),
        How::Exit(_) | How::Signal(_) => (
            format!("the service `{name}` {} {when}", lost.how),
            format!("correct its command{}", at(".run")),
        ),
        How::Late => (
            format!(
                "the service `{name}` was not ready within {:?}",
                service.limit
            ),
            format!(
                "correct its `ready`{}, or raise the `timeout` there",
                at(".ready")
            ),
        ),
        How::Stopped => (
            format!("the service `{name}` was not ready"),
            format!("check what it waits for, and its `ready`{}", at(".ready")),
        ),
        How::Taken => (
            format!("the port of the service `{name}` was in use before it started"),
            match scene.level == Level::Namespaces && !scene.work.network {
                true => format!("give each service a port of its own{}", at(".ready")),
                false => format!(
                    "end the program that uses it, or choose another port{}: without a network of its own, the task uses the ports of this machine",
                    at(".ready")
                ),
            },
        ),
    };
    let end = tail(log, &prefixes(std::iter::once(name.as_str())));
    let message = match end.is_empty() {
        true => message,
        false => format!("{message}; its log ends with `{}`", end.join("`, `")),
    };
    let kind = CauseKind::Service;
    Some(Cause {
        kind,
        message,
        help,
    })
}

/// The last lines of `log` that have one of the prefixes, without it.
fn tail<'l>(log: &'l str, prefixes: &[String]) -> Vec<&'l str> {
    let own = log.lines().rev().filter_map(|line| {
        let mut prefixes = prefixes.iter();
        let text = prefixes
            .find_map(|prefix| line.strip_prefix(prefix.as_str()))?
            .trim();
        (!text.is_empty()).then_some(text)
    });
    let mut lines: Vec<&str> = own.take(MAX_LINES).collect();
    lines.reverse();
    lines
}

/// A log without what marks the lines of services, to look for causes in them.
pub(super) fn plain(scene: &Scene<'_>, log: &str) -> String {
    let services = scene.work.services.iter();
    let prefixes = prefixes(services.map(|service| service.name.as_str()));
    let lines = log.split_inclusive('\n');
    let plain = lines.map(|line| {
        let mut prefixes = prefixes.iter();
        let text = prefixes.find_map(|prefix| line.strip_prefix(prefix.as_str()));
        text.unwrap_or(line)
    });
    plain.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_services_output_is_found_between_other_lines() {
        let log = "db | one\nmade\ndb | two\nother | x\ndb | \ndb (ready) | refused\ndb | three\n";
        let found = tail(log, &prefixes(["db"].into_iter()));
        assert_eq!(found, ["two", "refused", "three"]);
        assert!(tail(log, &prefixes(["none"].into_iter())).is_empty());
    }
}
