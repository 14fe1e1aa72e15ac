//! `jackal ci`: jobs for CI services, as each expects them.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::affected::AffectedArgs;
use super::command_error::CommandError;
use super::environment::runtime;
use super::options::{PlaceArgs, PlanArgs, TargetArgs};
use super::output::print;
use super::prepare::{Questions, prepare};
use crate::app::ChosenTask;

/// Maximum number of jobs in a matrix of GitHub Actions.
const MAX_JOBS: usize = 256;

#[derive(Subcommand)]
pub(super) enum CiCommand {
    /// Print jobs for the tasks of the workspace, or for those that changes affect
    ///
    /// For GitHub Actions, two lines for $GITHUB_OUTPUT: `matrix`, and `any`, which is
    /// `false` if there is nothing to do. For GitLab, a child pipeline.
    Matrix(MatrixArgs),
}

/// Arguments of `jackal ci matrix`.
#[derive(Args)]
pub(super) struct MatrixArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// CI service
    #[arg(long = "for", value_enum, value_name = "SERVICE")]
    service: Service,
    /// What a job is made of
    #[arg(long, value_enum, default_value = "folder")]
    by: By,
    /// Maximum number of jobs; more than that are joined
    #[arg(long, value_name = "N", default_value_t = MAX_JOBS, value_parser = at_least_one)]
    max_jobs: usize,
    /// Command of the jobs for GitLab
    #[arg(long, value_name = "COMMAND", default_value = "jackal build")]
    command: String,
    /// Job of another file that the jobs for GitLab extend
    #[arg(long, value_name = "JOB")]
    extends: Option<String>,
    #[command(flatten)]
    affected: AffectedArgs,
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a number of at least 1".to_owned()),
        Ok(number) => Ok(number),
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Service {
    /// GitHub Actions: a matrix
    Github,
    /// GitLab: a child pipeline
    Gitlab,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// All tasks of a folder
    Folder,
    /// A task that no other one needs
    Task,
}

pub(super) fn run(command: CiCommand) -> Result<(), CommandError> {
    let CiCommand::Matrix(args) = command;
    let since = args.affected.since()?;
    let place = args.place.into_place()?;
    let options = args.plan.options(place, args.target.into_target()?)?;
    let prepared = prepare(&options, Questions::Never)?;
    let tasks = match since {
        Some(since) => {
            let affected = super::affected::find(&prepared, &since, &runtime()?)?;
            let tasks = affected.tasks.into_iter();
            tasks.map(|task| task.chosen).collect()
        }
        None => prepared.chosen()?,
    };
    let jobs = joined(jobs(&tasks, args.by), args.max_jobs);
    print(&match args.service {
        Service::Github => for_github(&jobs),
        Service::Gitlab => for_gitlab(&jobs, &args.command, args.extends.as_deref()),
    })
}

/// One job of a CI service.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Job {
    name: String,
    /// For the command line, each as one word of a shell.
    targets: Vec<String>,
    tags: Vec<String>,
}

fn jobs(tasks: &[ChosenTask], by: By) -> Vec<Job> {
    let mut jobs: BTreeMap<&str, Job> = BTreeMap::new();
    // What another task of a job needs is built with that.
    let within = |task: &'_ ChosenTask| match by {
        By::Folder => task.folder.clone(),
        By::Task => String::new(),
    };
    let needed: BTreeSet<(String, &str)> = tasks
        .iter()
        .flat_map(|task| task.after.iter().map(|on| (within(task), on.as_str())))
        .collect();
    for task in tasks {
        if needed.contains(&(within(task), task.task.as_str())) {
            continue;
        }
        let name = match by {
            By::Folder => &task.folder,
            By::Task => &task.task,
        };
        let job = jobs.entry(name).or_insert_with(|| Job {
            name: name.clone(),
            targets: Vec::new(),
            tags: Vec::new(),
        });
        job.targets.push(word(&task.target));
        job.tags.extend(task.tags.iter().cloned());
    }
    let mut jobs: Vec<Job> = jobs.into_values().collect();
    for job in &mut jobs {
        job.targets.sort();
        job.tags.sort();
        job.tags.dedup();
    }
    jobs
}

/// The same in at most `most` jobs, as even as possible.
fn joined(jobs: Vec<Job>, most: usize) -> Vec<Job> {
    if jobs.len() <= most {
        return jobs;
    }
    let (each, more) = (jobs.len() / most, jobs.len() % most);
    let mut rest = jobs.into_iter();
    let groups = (0..most).filter_map(|at| {
        let mut first = rest.next()?;
        let others = each + usize::from(at < more) - 1;
        if others > 0 {
            first.name = format!("{} and {others} more", first.name);
        }
        for other in rest.by_ref().take(others) {
            first.targets.extend(other.targets);
            first.tags.extend(other.tags);
        }
        first.tags.sort();
        first.tags.dedup();
        Some(first)
    });
    groups.collect()
}

/// `text` as one word of a POSIX shell: services put it into scripts, and whoever names a
/// folder must not write commands.
fn word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._/:@%+=,-".contains(&byte);
    match !text.is_empty() && text.bytes().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

fn for_github(jobs: &[Job]) -> String {
    let include: Vec<Value> = jobs
        .iter()
        .map(|job| {
            json!({
                "name": job.name,
                "targets": job.targets.join(" "),
                "tags": job.tags.join(" "),
            })
        })
        .collect();
    format!(
        "matrix={}\nany={}\n",
        json!({"include": include}),
        !jobs.is_empty()
    )
}

/// JSON strings are YAML strings.
fn for_gitlab(jobs: &[Job], command: &str, extends: Option<&str>) -> String {
    // Without it, the pipeline of a merge request would have no jobs.
    let mut text = "workflow:\n  rules:\n    - when: always\n".to_owned();
    let mut job = |name: &str, extends: Option<&str>, script: &str| {
        text.push_str(&format!("{}:\n", json!(format!("jackal: {name}"))));
        if let Some(extends) = extends {
            text.push_str(&format!("  extends: {}\n", json!(extends)));
        }
        text.push_str(&format!("  script:\n    - {}\n", json!(script)));
    };
    for Job { name, targets, .. } in jobs {
        job(name, extends, &format!("{command} {}", targets.join(" ")));
    }
    if jobs.is_empty() {
        // A pipeline must have a job.
        job("nothing to do", extends, "echo nothing to do");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(folder: &str, name: &str, after: &[&str]) -> ChosenTask {
        let prefix = match folder {
            "." => String::new(),
            folder => format!("{folder}:"),
        };
        ChosenTask {
            task: format!("{prefix}{name}"),
            target: format!("{folder}:{name}"),
            verb: "run",
            folder: folder.to_owned(),
            file: format!("{folder}/jackal.pipeline.yaml"),
            tags: vec!["linux".to_owned()],
            after: after.iter().map(|&on| on.to_owned()).collect(),
        }
    }

    fn tasks() -> Vec<ChosenTask> {
        vec![
            task("libs/core", "compile", &[]),
            task("libs/core", "test", &["libs/core:compile"]),
            task("apps/$(x) 'y'", "link", &["libs/core:compile"]),
            task(".", "all", &[]),
        ]
    }

    #[test]
    fn a_job_is_a_folder_or_a_task_that_no_other_needs() {
        let by = |by| -> Vec<String> {
            let jobs = jobs(&tasks(), by).into_iter();
            jobs.map(|job| format!("{} = {}", job.name, job.targets.join(" ")))
                .collect()
        };
        assert_eq!(
            by(By::Folder),
            [
                ". = .:all",
                r"apps/$(x) 'y' = 'apps/$(x) '\''y'\'':link'",
                "libs/core = libs/core:test",
            ]
        );
        assert_eq!(
            by(By::Task),
            [
                "all = .:all",
                r"apps/$(x) 'y':link = 'apps/$(x) '\''y'\'':link'",
                "libs/core:test = libs/core:test",
            ]
        );
    }

    #[test]
    fn more_jobs_than_a_service_takes_are_joined_without_losing_one() {
        let jobs: Vec<Job> = (0..11)
            .map(|at| Job {
                name: format!("{at}"),
                targets: vec![format!("t{at}")],
                tags: Vec::new(),
            })
            .collect();
        for most in 1..13 {
            let joined = joined(jobs.clone(), most);
            assert_eq!(joined.len(), most.min(11));
            let targets: Vec<String> = joined.iter().flat_map(|job| job.targets.clone()).collect();
            let all: Vec<String> = jobs.iter().flat_map(|job| job.targets.clone()).collect();
            assert_eq!(targets, all);
            let sizes: Vec<usize> = joined.iter().map(|job| job.targets.len()).collect();
            let (most, least) = (sizes.iter().max().unwrap(), sizes.iter().min().unwrap());
            assert!(most - least <= 1, "{sizes:?}");
        }
    }

    #[test]
    fn a_matrix_is_one_line_and_says_whether_there_is_anything() {
        let text = for_github(&jobs(&tasks(), By::Folder));
        let (matrix, any) = text.split_once('\n').unwrap();
        assert_eq!(any, "any=true\n");
        let matrix: Value = serde_json::from_str(matrix.strip_prefix("matrix=").unwrap()).unwrap();
        assert_eq!(matrix["include"].as_array().unwrap().len(), 3);
        assert_eq!(matrix["include"][2]["targets"], "libs/core:test");
        assert_eq!(for_github(&[]), "matrix={\"include\":[]}\nany=false\n");
    }

    #[test]
    fn a_child_pipeline_has_a_job_also_if_nothing_is_to_do() {
        let jobs = jobs(&tasks(), By::Folder);
        let text = for_gitlab(&jobs, "jackal build --keep-going", Some(".jackal"));
        assert_eq!(
            text,
            "workflow:\n  rules:\n    - when: always\n\
             \"jackal: .\":\n  extends: \".jackal\"\n  script:\n    - \"jackal build --keep-going .:all\"\n\
             \"jackal: apps/$(x) 'y'\":\n  extends: \".jackal\"\n  script:\n    \
             - \"jackal build --keep-going 'apps/$(x) '\\\\''y'\\\\'':link'\"\n\
             \"jackal: libs/core\":\n  extends: \".jackal\"\n  script:\n    \
             - \"jackal build --keep-going libs/core:test\"\n"
        );
        let empty = for_gitlab(&[], "jackal build", None);
        assert!(
            empty
                .ends_with("\"jackal: nothing to do\":\n  script:\n    - \"echo nothing to do\"\n")
        );
    }
}
