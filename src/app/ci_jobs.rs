//! Tasks as jobs of a CI service.

use std::collections::{BTreeMap, BTreeSet};

use super::affected::ChosenTask;
use crate::text::shell_word;

/// One job of a CI service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub name: String,
    /// For the command line, each as one word of a shell.
    pub targets: Vec<String>,
    pub tags: Vec<String>,
}

/// What a job is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobOf {
    /// All tasks of a folder.
    Folder,
    /// A task that no other one needs.
    Task,
}

/// At most `most` jobs that build `tasks`.
#[must_use]
pub fn jobs(tasks: &[ChosenTask], of: JobOf, most: usize) -> Vec<Job> {
    joined(all_jobs(tasks, of), most)
}

fn all_jobs(tasks: &[ChosenTask], of: JobOf) -> Vec<Job> {
    let mut jobs: BTreeMap<&str, Job> = BTreeMap::new();
    // What another task of a job needs is built with that.
    let within = |task: &'_ ChosenTask| match of {
        JobOf::Folder => task.folder.clone(),
        JobOf::Task => String::new(),
    };
    let needed: BTreeSet<(String, &str)> = tasks
        .iter()
        .flat_map(|task| task.after.iter().map(|on| (within(task), on.as_str())))
        .collect();
    for task in tasks {
        if needed.contains(&(within(task), task.task.as_str())) {
            continue;
        }
        let name = match of {
            JobOf::Folder => &task.folder,
            JobOf::Task => &task.task,
        };
        let job = jobs.entry(name).or_insert_with(|| Job {
            name: name.clone(),
            targets: Vec::new(),
            tags: Vec::new(),
        });
        job.targets.push(shell_word(&task.target));
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
        let named = |of| -> Vec<String> {
            let jobs = all_jobs(&tasks(), of).into_iter();
            jobs.map(|job| format!("{} = {}", job.name, job.targets.join(" ")))
                .collect()
        };
        assert_eq!(
            named(JobOf::Folder),
            [
                ". = .:all",
                r"apps/$(x) 'y' = 'apps/$(x) '\''y'\'':link'",
                "libs/core = libs/core:test",
            ]
        );
        assert_eq!(
            named(JobOf::Task),
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
}
