//! From a checked pipeline to the instances of its tasks: matrices multiplied,
//! templates rendered, references resolved, conditions decided.
//!
//! The planner reads the instances. They depend on the arguments alone, and so
//! does their order. It never opens a file or reads the environment.

mod instance;
mod render;

pub(crate) use render::is_of_git;
mod scope;

use std::collections::BTreeMap;

pub use instance::{Instance, RenderedOutput, RunsAfter};

use super::error::ExpandError;
use super::matrix::Row;
use super::model::Pipeline;
use super::render::{Rows, Spent};

/// Maximum number of instances of one pipeline.
pub const MAX_TOTAL: usize = 20_000;

/// Maximum number of edges between instances: above any real build, and few enough to
/// fit into memory.
const MAX_EDGES: usize = 1_000_000;

/// What a run knows besides the file and the parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The environment of the run; only declared names are read.
    pub env: BTreeMap<String, String>,
    /// `sha`, `shortSha`, `branch`, `tag`, `commitTime` and `dirty`, if known.
    pub git: BTreeMap<String, String>,
    /// `os/arch` of tasks that name no platform.
    pub platform: String,
}

/// A pipeline of a workspace.
#[derive(Debug, Clone)]
pub struct Member<'p> {
    /// The pipeline.
    pub pipeline: &'p Pipeline,
    /// Begins the names of its tasks: its folder and `:`, or nothing.
    pub prefix: &'p str,
    /// Bound values, from [`Pipeline::bind_params`].
    pub params: &'p BTreeMap<String, String>,
    /// What the run knows besides.
    pub facts: &'p Facts,
}

/// Every instance of every task of each pipeline, by task name and then in the order of
/// its matrix; or the first mistake of that pipeline. `others` are the names of tasks
/// that are in no pipeline, and that references may name.
#[must_use]
pub fn expand(
    members: &[Member<'_>],
    others: &[String],
) -> Vec<Result<Vec<Instance>, ExpandError>> {
    let all = expand_all(members, others).into_iter();
    all.map(|made| match made.mistakes.into_iter().next() {
        Some(first) => Err(first),
        None => Ok(made.instances),
    })
    .collect()
}

/// What can be made of a pipeline.
#[derive(Debug, Default)]
pub struct Expanded {
    pub instances: Vec<Instance>,
    /// One for each task that cannot be expanded, and one for each overlap.
    pub mistakes: Vec<ExpandError>,
}

/// The same as [`expand`], with every mistake, and the instances of tasks without one.
#[must_use]
pub fn expand_all(members: &[Member<'_>], others: &[String]) -> Vec<Expanded> {
    let spent = Spent::default();
    let alone = [Row::new()];
    let mut rows: Rows<'_> = (others.iter())
        .map(|name| (name.clone(), alone.as_slice()))
        .collect();
    let mut total = 0_usize;
    for member in members {
        for (id, task) in &member.pipeline.tasks {
            total += task.rows.len();
            rows.insert(format!("{}{id}", member.prefix), &task.rows);
        }
    }
    let mut edges = 0;
    let make = |member| match count(total, MAX_TOTAL, "task instances") {
        Ok(()) => of_member(member, &rows, &spent, &mut edges),
        Err(error) => Expanded {
            mistakes: vec![error],
            ..Expanded::default()
        },
    };
    let mut all: Vec<Expanded> = members.iter().map(make).collect();
    let made = all.iter_mut().flat_map(|made| &mut made.instances);
    skip_dependants(&mut made.collect::<Vec<_>>());
    // Those of skipped instances overlap with nothing.
    for made in &mut all {
        made.mistakes.extend(overlaps(&made.instances));
    }
    all
}

fn count(found: usize, limit: usize, what: &'static str) -> Result<(), ExpandError> {
    match found > limit {
        true => Err(ExpandError::TooMany { what, limit }),
        false => Ok(()),
    }
}

fn of_member<'p>(
    member: &'p Member<'p>,
    rows: &'p Rows<'p>,
    spent: &'p Spent,
    edges: &mut usize,
) -> Expanded {
    let mut all = Expanded::default();
    // Once for all of them: it visits each.
    let usable = scope::usable(member.pipeline);
    for task in member.pipeline.tasks.values() {
        for row in &task.rows {
            let scope = scope::Scope::new(member, task, row, (rows, &usable), spent);
            match scope.and_then(|scope| scope.instance()) {
                Ok(made) => {
                    *edges += made.depends_on.len();
                    all.instances.push(made);
                }
                Err(error) => {
                    all.mistakes.push(error);
                    // Other instances of the task have the same one.
                    break;
                }
            }
            if let Err(error) = count(*edges, MAX_EDGES, "edges between task instances") {
                all.mistakes.push(error);
                return all;
            }
        }
    }
    all
}

/// Skips the dependants of skipped instances, unless their conditions allow it.
fn skip_dependants(instances: &mut [&mut Instance]) {
    let mut waiting: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, instance) in instances.iter().enumerate() {
        for id in &instance.depends_on {
            waiting.entry(id).or_default().push(index);
        }
    }
    let mut skipped: Vec<bool> = instances.iter().map(|i| i.skipped).collect();
    let mut gone = vec![0; instances.len()];
    let mut queue: Vec<usize> = (0..skipped.len()).filter(|at| skipped[*at]).collect();
    while let Some(at) = queue.pop() {
        let dependants = waiting.get(instances[at].id.as_str());
        for &next in dependants.into_iter().flatten() {
            gone[next] += 1;
            let instance = &instances[next];
            let after = instance.runs_after;
            let may_fail = after.failure && gone[next] < instance.depends_on.len();
            if !skipped[next] && !after.skipped && !may_fail {
                skipped[next] = true;
                queue.push(next);
            }
        }
    }
    for (instance, skipped) in instances.iter_mut().zip(skipped) {
        instance.skipped = skipped;
    }
}

/// Outputs that overlap one of an earlier instance.
fn overlaps(instances: &[Instance]) -> Vec<ExpandError> {
    let mut found = Vec::new();
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for instance in instances.iter().filter(|i| !i.skipped) {
        for output in &instance.outputs {
            let key = format!("{}/", output.path);
            let above = key
                .match_indices('/')
                .find_map(|(at, _)| seen.get(&key[..=at]));
            let other = above.copied().or_else(|| {
                let (path, other) = seen.range(key.clone()..).next()?;
                path.starts_with(&key).then_some(*other)
            });
            match other {
                Some(other) => found.push(ExpandError::OutputOverlap {
                    instance: instance.id.clone(),
                    path: output.path.clone(),
                    other: other.to_owned(),
                }),
                None => drop(seen.insert(key, &instance.id)),
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::check::parse;
    use crate::pipeline::verb::{self, Verb};
    use crate::text::with_causes;
    use crate::yaml::SourceText;

    fn made(tasks: &str, params: &[(&str, &str)]) -> Result<Vec<Instance>, String> {
        let text = format!(
            "kind: JackalPipeline\nversion: 1\nname: web\nparams:\n  v: {{}}\n  \
             channel: {{ default: nightly }}\nenv: {{ LC_ALL: C, WHERE: '${{{{ params.channel }}}}' }}\n\
             passThroughEnv: [HOME]\ntasks:\n{tasks}"
        );
        let pipeline = parse(&SourceText::new("p.yaml", text)).map_err(|e| e.to_string())?;
        let given = params.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        let params = pipeline.bind_params(&given.collect()).unwrap();
        let mut facts = Facts {
            platform: "linux/amd64".into(),
            ..Facts::default()
        };
        facts.env.insert("HOME".into(), "/root".into());
        let members = [Member {
            pipeline: &pipeline,
            prefix: "",
            params: &params,
            facts: &facts,
        }];
        let made = expand(&members, &[]).remove(0);
        made.map_err(|error| {
            let help = error.help().unwrap_or_default();
            format!("{}: {help}", with_causes(&error))
        })
    }

    fn ids(list: &[Instance]) -> Vec<&str> {
        list.iter().map(|i| i.id.as_str()).collect()
    }

    const MONOREPO: &str = "  bundle: { run: [npm, 'v=${{ params.v }}'], inputs: ['web/**', 'param:v', 'env:HOME'], outputs: [dist/, { path: log.txt, optional: true }], workdir: web }\n  \
        img:\n    matrix: { arch: [amd64, arm64] }\n    image: { base: 'task:ubi[arch=${{ matrix.arch }}]', layers: [{ from: 'task:bundle', to: /srv }] }\n  \
        ubi: { matrix: { arch: [amd64, arm64] }, images: { from: ['ubi:9'], platform: 'linux/${{ matrix.arch }}' } }\n  \
        all: { images: { from: ['task:img', 'redis:7'] } }\n  \
        parts: { component: { definition: jackal.yaml, name: web } }\n  \
        boms: { sbom: { of: [parts, img] } }\n  \
        pkg: { package: { definition: jackal.yaml, set: { V: '${{ env.WHERE }}' }, components: parts, images: 'img[arch=arm64]', sboms: boms } }\n";

    #[test]
    fn every_verb_is_rendered_and_every_reference_is_an_edge() {
        let list = made(MONOREPO, &[("v", "1.4")]).unwrap();
        let names = [
            "all",
            "boms",
            "bundle",
            "img[arch=amd64]",
            "img[arch=arm64]",
            "parts",
            "pkg",
            "ubi[arch=amd64]",
            "ubi[arch=arm64]",
        ];
        assert_eq!(ids(&list), names);
        assert_eq!(list[0].depends_on, ["img[arch=amd64]", "img[arch=arm64]"]);
        assert_eq!(list[1].depends_on.len(), 3);
        let argv = vec!["npm".to_owned(), "v=1.4".to_owned()];
        assert_eq!(list[2].verb, Verb::Run(verb::Run { argv, shell: None }));
        assert_eq!(list[2].input_globs, ["web/**"]);
        assert_eq!(list[2].input_values["param:v"], "1.4");
        assert_eq!(list[2].input_values["env:HOME"], "/root");
        assert_eq!(list[2].outputs[0].path, "dist");
        assert!(list[2].outputs[0].directory && list[2].outputs[1].optional);
        assert_eq!(list[2].env["LC_ALL"], "C");
        assert_eq!(list[2].pass_through, ["HOME"]);
        assert_eq!(list[4].depends_on, ["bundle", "ubi[arch=arm64]"]);
        let Verb::Image(image) = &list[4].verb else {
            panic!("{:?}", list[4].verb)
        };
        let base = verb::ImageSource::Task("ubi[arch=arm64]".into());
        assert_eq!(image.base, base);
        let Verb::Package(package) = &list[6].verb else {
            panic!("{:?}", list[6].verb)
        };
        assert_eq!(
            (package.set["V"].as_str(), &package.images[..]),
            ("nightly", &["img[arch=arm64]".to_owned()][..])
        );
        assert_eq!(list, made(MONOREPO, &[("v", "1.4")]).unwrap());
    }

    #[test]
    fn a_false_condition_skips_an_instance_and_its_dependents() {
        let tasks = "  a: { matrix: { os: [linux, mac] }, if: \"matrix.os == 'mac' && params.v != ''\", run: ['${{ params.v }}'], inputs: [] }\n  \
            b: { run: [x], inputs: ['task:a'] }\n  c: { if: always(), run: [x], inputs: [], needs: [a] }\n  \
            d: { run: [x], inputs: [], needs: [b] }\n  e: { if: failure(), run: [x], inputs: [], needs: [a] }\n";
        let skipped = |params: &[(&str, &str)]| {
            let list = made(tasks, params).unwrap();
            let gone = list.iter().filter(|i| i.skipped).map(|i| i.id.clone());
            gone.collect::<Vec<_>>()
        };
        assert_eq!(skipped(&[]), ["a[os=linux]", "a[os=mac]", "b", "d", "e"]);
        assert_eq!(skipped(&[("v", "1")]), ["a[os=linux]", "b", "d"]);
        let list = made(tasks, &[("v", "1")]).unwrap();
        let c = list.iter().find(|i| i.id == "c").unwrap();
        assert!(c.runs_after.failure && c.runs_after.skipped);
    }

    #[test]
    fn errors_of_expansion_name_the_instance_and_the_next_step() {
        for (tasks, part) in [
            (
                "  a: { run: ['${{ params.v }}'], inputs: [] }\n",
                "give --param v=VALUE",
            ),
            (
                "  a: { run: ['${{ git.sha }}'], inputs: [] }\n",
                "Git checkout",
            ),
            (
                "  a: { matrix: { n: ['1', '2'] }, run: [x], inputs: [], outputs: [o/] }\n",
                "overlaps an output of `a[n=1]`",
            ),
            (
                "  a: { run: [x], inputs: [], outputs: ['../o'] }\n",
                "without `..`",
            ),
            (
                "  a: { run: [x], inputs: [], outputs: [d/.git/config] }\n",
                "give it another name",
            ),
            (
                "  a: { run: [x], inputs: [], outputs: ['dist/*.txt'] }\n",
                "is a pattern, expected a path",
            ),
            (
                "  a: { run: [x], inputs: [], outputs: ['{a,b}.txt'] }\n",
                "is a pattern, expected a path",
            ),
            (
                "  a: { matrix: { n: ['1', '2'] }, images: { from: ['r:1'] } }\n  b: { image: { base: 'task:a' } }\n",
                "expected one",
            ),
            (
                "  a: { matrix: { n: ['1'] }, images: { from: ['r:1'] } }\n  b: { sbom: { of: 'a[n=${{ params.channel }}]' } }\n",
                "use one of: a[n=1]",
            ),
        ] {
            let found = made(tasks, &[]).unwrap_err();
            assert!(found.contains(part), "{part}: {found}");
        }
    }

    #[test]
    fn texts_that_a_matrix_multiplies_are_bounded() {
        let row: Vec<String> = (0..1000).map(|n| format!("'{n}'")).collect();
        let row = row.join(", ");
        let long = "t".repeat(60_000);
        for (key, text) in [
            ("run", format!("run: [x, '{long}'], inputs: [{long}]")),
            (
                "env",
                format!("run: [x], inputs: [], env: {{ A: '{long}' }}"),
            ),
        ] {
            let mut tasks = String::new();
            for n in 0..2 {
                tasks += &format!("  t{n}: {{ matrix: {{ n: [{row}] }}, {text} }}\n");
            }
            let found = made(&tasks, &[]).unwrap_err();
            assert!(found.contains("bytes of text"), "{key}: {found}");
        }
    }

    #[test]
    fn matrices_that_multiply_beyond_reason_are_refused() {
        let row: Vec<String> = (0..1000).map(|n| format!("'{n}'")).collect();
        let row = row.join(", ");
        let mut tasks = String::new();
        for n in 0..21 {
            tasks += &format!("  t{n}: {{ matrix: {{ n: [{row}] }}, run: [x], inputs: [] }}\n");
        }
        let found = made(&tasks, &[]).unwrap_err();
        assert!(found.contains("20000 task instances"), "{found}");
    }
}
