//! `jackal ci`: jobs for CI services, as each expects them.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::affected::AffectedArgs;
use super::command_error::CommandError;
use super::environment::runtime;
use super::options::{PlaceArgs, PlanArgs, TargetArgs};
use super::output::print;
use super::prepare::{Questions, prepare};
use crate::app::{Job, JobOf, jobs};
use crate::yaml::double_quoted;

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
    service: Ci,
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
enum Ci {
    /// GitHub Actions: a matrix
    Github,
    /// GitLab: a child pipeline
    Gitlab,
}

#[derive(Clone, Copy, ValueEnum)]
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
    let of = match args.by {
        By::Folder => JobOf::Folder,
        By::Task => JobOf::Task,
    };
    let jobs = jobs(&tasks, of, args.max_jobs);
    print(&match args.service {
        Ci::Github => for_github(&jobs),
        Ci::Gitlab => for_gitlab(&jobs, &args.command, args.extends.as_deref()),
    })
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

fn for_gitlab(jobs: &[Job], command: &str, extends: Option<&str>) -> String {
    // Without it, the pipeline of a merge request would have no jobs.
    let mut text = "workflow:\n  rules:\n    - when: always\n".to_owned();
    let mut job = |name: &str, extends: Option<&str>, script: &str| {
        text.push_str(&format!("{}:\n", double_quoted(&format!("jackal: {name}"))));
        if let Some(extends) = extends {
            text.push_str(&format!("  extends: {}\n", double_quoted(extends)));
        }
        text.push_str(&format!("  script:\n    - {}\n", double_quoted(script)));
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

    fn jobs() -> Vec<Job> {
        let job = |name: &str, targets: &[&str]| Job {
            name: name.to_owned(),
            targets: targets.iter().map(|&word| word.to_owned()).collect(),
            tags: Vec::new(),
        };
        vec![
            job(".", &[".:all"]),
            job("apps/$(x) 'y'", &[r"'apps/$(x) '\''y'\'':link'"]),
            job("libs/core", &["libs/core:lint", "libs/core:test"]),
        ]
    }

    #[test]
    fn a_matrix_is_one_line_and_says_whether_there_is_anything() {
        let text = for_github(&jobs());
        let (matrix, any) = text.split_once('\n').unwrap();
        assert_eq!(any, "any=true\n");
        let matrix: Value = serde_json::from_str(matrix.strip_prefix("matrix=").unwrap()).unwrap();
        assert_eq!(matrix["include"].as_array().unwrap().len(), 3);
        assert_eq!(
            matrix["include"][2]["targets"],
            "libs/core:lint libs/core:test"
        );
        assert_eq!(for_github(&[]), "matrix={\"include\":[]}\nany=false\n");
    }

    #[test]
    fn a_child_pipeline_has_a_job_also_if_nothing_is_to_do() {
        let text = for_gitlab(&jobs(), "jackal build --keep-going", Some(".jackal"));
        assert_eq!(
            text,
            "workflow:\n  rules:\n    - when: always\n\
             \"jackal: .\":\n  extends: \".jackal\"\n  script:\n    - \"jackal build --keep-going .:all\"\n\
             \"jackal: apps/$(x) 'y'\":\n  extends: \".jackal\"\n  script:\n    \
             - \"jackal build --keep-going 'apps/$(x) '\\\\''y'\\\\'':link'\"\n\
             \"jackal: libs/core\":\n  extends: \".jackal\"\n  script:\n    \
             - \"jackal build --keep-going libs/core:lint libs/core:test\"\n"
        );
        let empty = for_gitlab(&[], "jackal build", None);
        assert!(
            empty
                .ends_with("\"jackal: nothing to do\":\n  script:\n    - \"echo nothing to do\"\n")
        );
    }
}
