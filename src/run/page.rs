//! A run, or a plan, as one page for a browser: it loads nothing, and shows what it is
//! given as text only.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::trace::rows;
use crate::page::Page;
use crate::run::record::{RunRecord, Status, TaskRecord};

const PAGE: Page = Page {
    style: include_str!("page/style.css"),
    body: include_str!("page/body.html"),
    script: include_str!("page/script.js"),
};

/// Maximum length of the end of a failed task's log, in characters.
const MAX_LOG: usize = 16_000;

/// A task of a plan.
#[derive(Debug)]
pub struct Planned<'p> {
    pub id: &'p str,
    pub verb: &'p str,
    /// The tasks that it waits for; those that are not in the plan do not count.
    pub after: Vec<&'p str>,
}

/// The page of a run, in which each task waited for those in `after`.
#[must_use]
pub fn run_page(title: &str, record: &RunRecord, after: &BTreeMap<String, Vec<String>>) -> String {
    let tasks = record.tasks.iter();
    let places: HashMap<&str, usize> = (tasks.clone().enumerate())
        .map(|(at, task)| (task.task.as_str(), at))
        .collect();
    let rows = rows(record);
    let tasks: Vec<Value> = tasks
        .map(|task| {
            let before = after.get(&task.task).into_iter().flatten();
            let needs = before.filter_map(|name| places.get(name.as_str()).copied());
            let row = rows.get(task.task.as_str()).copied();
            of_record(task, needs.collect(), row)
        })
        .collect();
    filled(&json!({
        "title": title,
        "jackal": record.jackal,
        "startMs": record.start_ms,
        "wallMs": record.wall_ms,
        "tasks": tasks,
    }))
}

/// The page of a plan.
#[must_use]
pub fn plan_page(title: &str, plan: &[Planned<'_>]) -> String {
    let places: HashMap<&str, usize> = (plan.iter().enumerate())
        .map(|(at, task)| (task.id, at))
        .collect();
    let tasks: Vec<Value> = plan
        .iter()
        .map(|task| {
            let needs = task
                .after
                .iter()
                .filter_map(|name| places.get(name).copied());
            let mut shown = of_record(&TaskRecord::new(task.id, task.verb), needs.collect(), None);
            shown["status"] = json!("planned");
            shown
        })
        .collect();
    filled(&json!({ "title": title, "wallMs": null, "tasks": tasks }))
}

fn of_record(task: &TaskRecord, needs: Vec<usize>, row: Option<usize>) -> Value {
    let outputs: Vec<Value> = (task.outputs.iter())
        .map(|one| json!({"name": one.name, "digest": one.digest, "size": one.size}))
        .collect();
    let tests = task.tests.as_ref().map(|tests| {
        let bad = tests.failures + tests.errors;
        format!(
            "{} tests, {bad} failed, {} skipped",
            tests.tests, tests.skipped
        )
    });
    let log = match task.status {
        Status::Failed => {
            let skipped = task.log.chars().count().saturating_sub(MAX_LOG);
            task.log.chars().skip(skipped).collect()
        }
        _ => String::new(),
    };
    json!({
        "id": task.task,
        "verb": task.verb,
        "status": task.status.word(),
        "reason": task.reason,
        "place": task.place,
        "level": task.level,
        "key": task.action_key,
        "startMs": task.start_ms,
        "wallMs": if row.is_some() { task.wall_ms } else { 0 },
        "row": row.map_or(-1, |row| i64::try_from(row).unwrap_or(-1)),
        "attempts": task.attempts,
        "bytesMade": task.bytes_made,
        "bytesFetched": task.bytes_fetched,
        "outputs": outputs,
        "tests": tests,
        "log": log,
        "needs": needs,
    })
}

/// The page with `data`.
fn filled(data: &Value) -> String {
    let made = || {
        let mut page = PAGE.begin(Vec::new())?;
        serde_json::to_writer(&mut page, data)?;
        page.end()
    };
    // Writing to memory does not fail.
    let made: std::io::Result<Vec<u8>> = made();
    String::from_utf8(made.unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::tests::data;

    #[test]
    fn a_run_is_in_its_page_and_no_text_leaves_its_element() {
        let bad = "</script><script>alert(1)</script><!--";
        let record = RunRecord {
            version: 1,
            jackal: "0".to_owned(),
            start_ms: 5,
            wall_ms: 30,
            tasks: vec![
                TaskRecord {
                    status: Status::Executed,
                    wall_ms: 10,
                    ..TaskRecord::new("a", "run")
                },
                TaskRecord {
                    status: Status::Failed,
                    reason: bad.to_owned(),
                    log: format!("{}end", "x".repeat(MAX_LOG)),
                    start_ms: 10,
                    wall_ms: 20,
                    ..TaskRecord::new(bad, "run")
                },
                TaskRecord {
                    status: Status::Cached,
                    wall_ms: 1,
                    ..TaskRecord::new("c", "image")
                },
            ],
        };
        let after = [(bad.to_owned(), vec!["a".to_owned(), "gone".to_owned()])].into();
        let page = run_page(bad, &record, &after);
        assert_eq!(page.matches("</script>").count(), 2);
        let data = data(&page);
        assert_eq!(data["title"], bad);
        assert_eq!(data["tasks"][1]["id"], bad);
        assert_eq!(data["tasks"][1]["needs"], json!([0]));
        assert_eq!(data["tasks"][1]["row"], 0);
        let log = data["tasks"][1]["log"].as_str().unwrap();
        assert!(
            log.ends_with("xend") && log.len() == MAX_LOG,
            "{}",
            log.len()
        );
        // What was cached has no place in the timeline.
        assert_eq!(data["tasks"][2]["row"], -1);
        assert_eq!(data["tasks"][2]["wallMs"], 0);
    }

    #[test]
    fn a_plan_is_in_its_page() {
        let plan = [
            Planned {
                id: "a",
                verb: "run",
                after: vec![],
            },
            Planned {
                id: "b",
                verb: "image",
                after: vec!["a", "elsewhere"],
            },
        ];
        let data = data(&plan_page("p", &plan));
        assert_eq!(data["wallMs"], Value::Null);
        assert_eq!(data["tasks"][1]["needs"], json!([0]));
        assert_eq!(data["tasks"][1]["status"], "planned");
    }
}
