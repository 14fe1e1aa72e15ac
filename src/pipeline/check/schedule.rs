//! Reads one of the file's `schedules`.

use std::collections::BTreeMap;

use crate::cron::{self, Cron, CronError};
use crate::pipeline::model::{Param, Schedule, Scheduled};
use crate::pipeline::reader::Reader;
use crate::yaml::{Fields, Node};

/// Names of schedules: they become parts of the names of files and of Kubernetes'
/// objects, which have at most 52 characters for a cron job.
pub(in crate::pipeline) const SCHEDULE_NAME: &str = "^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$";

/// The schedule `name`; `None` after a mistake in its times.
pub(super) fn schedule(
    name: &str,
    node: &Node,
    params: &BTreeMap<String, Param>,
    r: &mut Reader,
) -> Option<Schedule> {
    let is_name = regex::Regex::new(SCHEDULE_NAME).is_ok_and(|form| form.is_match(name));
    if !is_name {
        r.at(
            node.span,
            format!("`{name}` cannot be the name of a schedule"),
            "Use at most 30 lower-case letters, digits and hyphens.",
        );
    }
    let mut f = Fields::new(node, "the schedule", &mut r.mistakes);
    let cron = f.node("cron");
    if cron.is_none() {
        r.missing(&f, "cron");
    }
    let cron = cron.and_then(|node| {
        let text = r.text(node)?;
        noted(Cron::parse(&text), node, r)
    });
    let timezone = match f.node("timezone") {
        None => Some("UTC".to_owned()),
        Some(node) => r.text(node).and_then(|name| {
            let zone = noted(cron::zone(&name), node, r);
            zone.map(|(name, _)| name)
        }),
    };
    let mut tasks = Vec::new();
    for node in Reader::nodes(&mut f, "tasks") {
        let Some(text) = r.text(node) else { continue };
        if text.contains(':') {
            let help = "Use `targets` for what is in other folders.";
            r.at(
                node.span,
                format!("`{text}` is not a task of this file"),
                help,
            );
            continue;
        }
        let task = text.split('[').next().unwrap_or(&text).to_owned();
        r.edges.push((format!("schedules.{name}"), task, node.span));
        tasks.push(text);
    }
    let mut targets = Vec::new();
    for node in Reader::nodes(&mut f, "targets") {
        let Some(text) = r.text(node) else { continue };
        if text.is_empty() || text.starts_with('-') {
            let help = "Write FOLDER, FOLDER:TASK, :TASK or tag:NAME.";
            r.at(node.span, format!("`{text}` is not a target"), help);
        }
        targets.push(text);
    }
    if let (Some(_), Some(node)) = (f.node("tasks"), f.node("targets")) {
        let message = "`targets` cannot be used with `tasks`";
        r.at(node.span, message, "Remove one of them.");
    }
    let runs = match f.node("targets") {
        Some(_) => Scheduled::Targets(targets),
        None => Scheduled::Tasks(tasks),
    };
    let values = values(&mut f, &runs, params, r);
    let description = f.string("description", &mut r.mistakes);
    f.finish(&mut r.mistakes);
    Some(Schedule {
        cron: cron?,
        timezone: timezone?,
        runs,
        params: values,
        description,
    })
}

/// The values of parameters. Those of other files are not known here.
fn values(
    f: &mut Fields<'_>,
    runs: &Scheduled,
    params: &BTreeMap<String, Param>,
    r: &mut Reader,
) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    let own = matches!(runs, Scheduled::Tasks(_));
    for (name, node) in r.pairs(f, "params") {
        let Some(text) = node.scalar() else {
            let message = format!("`{name}` is a {}, expected a value", node.kind());
            r.coded(
                crate::codes::Code::WrongType,
                node.span,
                message,
                "Write one value.",
            );
            continue;
        };
        let accepted = match params.get(&name) {
            Some(param) => param.accept(&name, text).map_err(|error| error.to_string()),
            None if own => Err(format!("no parameter named `{name}`")),
            None => Ok(text.to_owned()),
        };
        match accepted {
            Ok(value) => drop(values.insert(name, value)),
            Err(message) => r.at(node.span, message, "Correct the parameter."),
        }
    }
    let missing = params.iter().filter(|(name, param)| {
        own && param.required && param.default.is_none() && !values.contains_key(*name)
    });
    for (name, _) in missing {
        r.at(
            f.span(),
            format!("the required parameter `{name}` has no value in the schedule"),
            format!("Add `params: {{ {name}: VALUE }}`, or give the parameter a default."),
        );
    }
    values
}

fn noted<T>(read: Result<T, CronError>, node: &Node, r: &mut Reader) -> Option<T> {
    read.map_err(|error| r.at(node.span, error.message, error.help))
        .ok()
}

#[cfg(test)]
mod tests {
    use crate::pipeline::model::Scheduled;
    use crate::pipeline::parse;
    use crate::yaml::SourceText;

    const HEAD: &str = "kind: JackalPipeline\nversion: 1\nname: web\n\
        params: { channel: { enum: [nightly, stable], default: stable }, level: { type: number } }\n\
        tasks:\n  a: { run: [x], inputs: [] }\nschedules:\n";

    fn mistakes(schedules: &str) -> String {
        let source = SourceText::new("p.yaml", format!("{HEAD}{schedules}"));
        parse(&source).map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn a_schedule_has_times_tasks_and_parameters() {
        let text = format!(
            "{HEAD}  nightly: {{ cron: '0 3 * * *', timezone: europe/berlin, tasks: a, params: {{ channel: nightly, level: 1e1 }} }}\n  \
             all: {{ cron: '@daily' }}\n  far: {{ cron: '@daily', targets: [tag:nightly], params: {{ x: 1 }} }}\n"
        );
        let pipeline = parse(&SourceText::new("p.yaml", text)).unwrap();
        let nightly = &pipeline.schedules["nightly"];
        assert_eq!(nightly.timezone, "Europe/Berlin");
        assert_eq!(nightly.runs, Scheduled::Tasks(vec!["a".to_owned()]));
        assert_eq!(nightly.params["channel"], "nightly");
        assert_eq!(nightly.params["level"], "10");
        let all = &pipeline.schedules["all"];
        assert_eq!(
            (all.timezone.as_str(), &all.runs),
            ("UTC", &Scheduled::Tasks(Vec::new()))
        );
        assert_eq!(pipeline.schedules["far"].params["x"], "1");
    }

    #[test]
    fn every_mistake_has_its_line() {
        for (schedule, part) in [
            ("  n: { tasks: a }", "`cron` is missing"),
            (
                "  n: { cron: '0 0 30 2 *' }",
                "no month of this schedule has day 30",
            ),
            ("  n: { cron: 5 }", "found a number, expected a string"),
            (
                "  n: { cron: '@daily', timezone: Mars/X }",
                "no time zone `Mars/X`",
            ),
            ("  n: { cron: '@daily', tasks: [b] }", "no task named `b`"),
            ("  n: { cron: '@daily', tasks: ['lib:a'] }", "Use `targets`"),
            (
                "  n: { cron: '@daily', tasks: a, targets: [lib] }",
                "cannot be used with `tasks`",
            ),
            (
                "  n: { cron: '@daily', targets: ['--force'] }",
                "`--force` is not a target",
            ),
            (
                "  n: { cron: '@daily', params: { chanel: x } }",
                "no parameter named `chanel`",
            ),
            (
                "  n: { cron: '@daily', params: { channel: x } }",
                "expected one of: nightly, stable",
            ),
            ("  n: { cron: '@daily', zone: UTC }", "unknown key `zone`"),
            (
                "  Nightly: { cron: '@daily' }",
                "cannot be the name of a schedule",
            ),
        ] {
            let found = mistakes(&format!("{schedule}\n"));
            assert!(found.contains(part), "{schedule}: {found}");
            assert!(found.contains("p.yaml:8:"), "{schedule}: {found}");
        }
        let text = HEAD.replace("default: stable", "required: true");
        let source = SourceText::new("p.yaml", format!("{text}  n: {{ cron: '@daily' }}\n"));
        let found = parse(&source).unwrap_err().to_string();
        assert!(
            found.contains("the required parameter `channel` has no value"),
            "{found}"
        );
    }
}
