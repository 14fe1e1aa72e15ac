//! GitLab: one job for each schedule, in a file for `include`.
//!
//! GitLab keeps the times of schedules outside of the repository; a comment has the
//! command that creates each of them.
//!
//! Source: GitLab, "Scheduled pipelines", "CI/CD YAML syntax reference".

use super::export::{ExportOptions, Exported, Named, login_script, login_variables};
use crate::text::{shell_line, shell_word};
use crate::yaml::{double_quoted, literal_block};

/// The variable of a scheduled pipeline that selects its job.
const SELECTS: &str = "JACKAL_SCHEDULE";

const FILE: &str = "jackal-schedules.gitlab-ci.yml";

pub(super) fn export(all: &[Named<'_>], options: &ExportOptions) -> Exported {
    let mut text = format!(
        "# Include it in .gitlab-ci.yml: `include: {{ local: {FILE} }}`.\n\
         # Jobs of other files need a rule that leaves scheduled pipelines out:\n\
         # `if: $CI_PIPELINE_SOURCE == \"schedule\"` with `when: never`.\n"
    );
    for one in all {
        text.push('\n');
        text.push_str(&job(one, options));
    }
    Exported {
        files: [(FILE.to_owned(), text)].into(),
        warnings: Vec::new(),
    }
}

fn job(one: &Named<'_>, options: &ExportOptions) -> String {
    let (id, needs) = (&one.id, &one.needs);
    let schedule = &one.of.schedule;
    let image = options.image.as_ref();
    let image = image.map_or_else(String::new, |image| {
        format!("  image: {}\n", double_quoted(image))
    });
    let identity = match needs.identity {
        true => "  id_tokens:\n    SIGSTORE_ID_TOKEN:\n      aud: sigstore\n",
        false => "",
    };
    let mut script = String::new();
    let mut wanted: Vec<String> = needs.secrets.keys().cloned().collect();
    for host in &needs.registries {
        let [user, password] = login_variables(host);
        // The token of the job is for GitLab's own registry only.
        script.push_str(&format!(
            "if [ \"${{CI_REGISTRY:-}}\" = {host} ]; then {user}=$CI_REGISTRY_USER {password}=$CI_REGISTRY_PASSWORD; fi\n",
            host = shell_word(host),
        ));
        wanted.extend([user, password]);
    }
    script.push_str(&login_script(needs));
    script.push_str(&format!("{}\n", shell_line(one.of.command())));
    let wanted = match wanted.as_slice() {
        [] => String::new(),
        names => format!(
            "# It reads these variables, apart from logins for GitLab's own registry: {}.\n",
            names.join(", ")
        ),
    };
    format!(
        "# {origin}\n{wanted}\
         # Create its times with:\n\
         # glab schedule create --description jackal-{id} --ref main --cron \"{cron}\" --cronTimeZone \"{zone}\" --variable \"{SELECTS}:{id}\"\n\
         jackal-{id}:\n{image}  rules:\n    \
         - if: '$CI_PIPELINE_SOURCE == \"schedule\" && ${SELECTS} == \"{id}\"'\n  \
         resource_group: jackal-{id}\n{identity}  \
         variables:\n    JACKAL_CACHE: $CI_PROJECT_DIR/.jackal-cache\n  \
         cache:\n    key: jackal-{id}\n    paths:\n      - .jackal-cache/\n    when: always\n  \
         script:\n    - {script}\n",
        origin = one.origin(),
        cron = schedule.cron.canonical(),
        zone = schedule.timezone,
        script = literal_block(&script, 6),
    )
}
