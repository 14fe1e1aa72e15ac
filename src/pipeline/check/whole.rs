//! Checks what only the whole file shows: unknown tasks, cycles, overlaps.

use std::collections::{BTreeMap, BTreeSet};

use crate::codes::Code;
use crate::pipeline::model::Task;
use crate::pipeline::reader::Reader;
use crate::yaml::nearest;

pub(super) fn check(tasks: &BTreeMap<String, Task>, written: Vec<String>, r: &mut Reader) {
    let known: BTreeSet<String> = written.into_iter().collect();
    let edges = std::mem::take(&mut r.edges);
    // One with a folder is known only with the whole workspace.
    let elsewhere = |to: &String| known.contains(to) || to.contains(':');
    for (_, to, span) in edges.iter().filter(|(_, to, _)| !elsewhere(to)) {
        let near = nearest(to, known.iter().map(String::as_str));
        let help = near.map_or("Add the task.".to_owned(), |k| {
            format!("Did you mean `{k}`?")
        });
        r.coded(
            Code::UnknownTask,
            *span,
            format!("no task named `{to}`"),
            help,
        );
    }
    let outputs = std::mem::take(&mut r.outputs);
    let mut seen: BTreeMap<String, &String> = BTreeMap::new();
    for (task, path, span) in &outputs {
        let key = format!("{}/", path.trim_end_matches('/'));
        let above = key.match_indices('/').map(|(at, _)| &key[..=at]);
        let other = above
            .filter_map(|p| seen.get(p))
            .next()
            .or_else(|| {
                let (p, t) = seen.range(key.clone()..).next()?;
                p.starts_with(&key).then_some(t)
            })
            .copied();
        if let Some(other) = other {
            let message =
                format!("the output `{path}` of `{task}` overlaps an output of `{other}`");
            let help = "Each path can be the output of one task only.";
            r.coded(Code::OutputOverlap, *span, message, help);
        }
        seen.insert(key, task);
    }
    let mut left: BTreeSet<&str> = tasks.keys().map(String::as_str).collect();
    loop {
        let before = left.len();
        let blocked: BTreeSet<&str> = edges
            .iter()
            .filter(|(_, to, _)| left.contains(to.as_str()))
            .map(|(from, _, _)| from.as_str())
            .collect();
        left.retain(|t| blocked.contains(t));
        if left.len() == before {
            break;
        }
    }
    let Some(mut at) = left.first().copied() else {
        return;
    };
    let mut path: Vec<&str> = Vec::new();
    while !path.contains(&at) {
        path.push(at);
        let next = edges
            .iter()
            .find(|(from, to, _)| from == at && left.contains(to.as_str()));
        let Some((_, to, _)) = next else { return };
        at = to;
    }
    let start = path.iter().position(|t| *t == at).unwrap_or(0);
    let shown = [&path[start..], &[at]].concat().join(" -> ");
    if let Some((_, _, span)) = edges
        .iter()
        .find(|(from, to, _)| from == path[path.len() - 1] && to == at)
    {
        let message = format!("dependency cycle: {shown}");
        let help = "Remove one of these references.";
        r.coded(Code::DependencyCycle, *span, message, help);
    }
}
