//! GitHub Actions: one workflow for each schedule.
//!
//! Source: GitHub, "Events that trigger workflows", `schedule`; "Workflow syntax".

use std::collections::BTreeMap;

use super::export::{ExportError, ExportOptions, Exported, Named, login_script, login_variables};
use super::quote::github;
use crate::text::shell_line;
use crate::yaml::{double_quoted, literal_block};

/// GitHub's own registry, which takes the token of the job.
const GHCR: &str = "ghcr.io";

/// GitHub starts a schedule at most this often, in minutes.
const MIN_MINUTES: u32 = 5;

/// Names of secrets that GitHub refuses begin so.
const RESERVED: &str = "GITHUB_";

/// The secret that each job has, with a login for [`GHCR`].
const TOKEN: &str = "GITHUB_TOKEN";

pub(super) fn export(all: &[Named<'_>], options: &ExportOptions) -> Result<Exported, ExportError> {
    let mut exported = Exported::default();
    for one in all {
        let file = format!("jackal-{}.yml", one.id);
        if one.of.schedule.cron.least_minutes_apart() < MIN_MINUTES {
            exported.warnings.push(format!(
                "`{}` is due more than once in {MIN_MINUTES} minutes: GitHub does not run it that often",
                one.of.name
            ));
        }
        let refused = |name: &&String| name.starts_with(RESERVED) && *name != TOKEN;
        if let Some(name) = one.needs.secrets.keys().find(refused) {
            return Err(ExportError::GithubName(name.clone()));
        }
        exported.files.insert(file, workflow(one, options));
    }
    Ok(exported)
}

fn workflow(one: &Named<'_>, options: &ExportOptions) -> String {
    let (id, needs) = (&one.id, &one.needs);
    let schedule = &one.of.schedule;
    let packages = match needs.registries.contains(GHCR) {
        true => "  packages: write\n",
        false => "",
    };
    let identity = match needs.identity {
        true => "  id-token: write\n",
        false => "",
    };
    let (container, check) = match &options.image {
        Some(image) => {
            let image = double_quoted(&github(image));
            (format!("    container: {image}\n"), String::new())
        }
        None => {
            let script = "command -v jackal || { echo '::error::jackal is not installed on this runner'; exit 1; }";
            let step = format!(
                "      # Install jackal here, or export again with --image.\n      - name: Find jackal\n        run: {}\n",
                double_quoted(script)
            );
            (String::new(), step)
        }
    };
    let mut env: BTreeMap<String, String> = BTreeMap::new();
    let secret = |name: &str| format!("${{{{ secrets.{name} }}}}");
    for name in needs.secrets.keys() {
        env.insert(name.clone(), secret(name));
    }
    for host in &needs.registries {
        let [user, password] = login_variables(host);
        let values = match host == GHCR {
            true => ["${{ github.actor }}".to_owned(), secret(TOKEN)],
            false => [secret(&user), secret(&password)],
        };
        env.extend([user, password].into_iter().zip(values));
    }
    let mut secrets: Vec<&str> = env
        .values()
        .filter_map(|value| value.strip_prefix("${{ secrets.")?.strip_suffix(" }}"))
        .filter(|name| *name != TOKEN)
        .collect();
    secrets.sort_unstable();
    let wanted = match secrets.as_slice() {
        [] => String::new(),
        names => format!("# It needs these secrets: {}.\n", names.join(", ")),
    };
    env.insert("JACKAL_CACHE".to_owned(), "/tmp/jackal-cache".to_owned());
    let env: String = env
        .iter()
        .map(|(name, value)| {
            let (name, value) = (double_quoted(name), double_quoted(value));
            format!("          {name}: {value}\n")
        })
        .collect();
    let command = github(&shell_line(one.of.command()));
    let script = format!("{}{command}\n", login_script(needs));
    format!(
        "# {origin}\n\
         # Commit it as .github/workflows/jackal-{id}.yml: GitHub starts schedules from the default branch only.\n\
         {wanted}\
         name: {title}\n\
         \"on\":\n  schedule:\n    - cron: {cron}\n      timezone: {zone}\n  workflow_dispatch: {{}}\n\
         permissions:\n  contents: read\n{packages}{identity}\
         concurrency:\n  group: jackal-{id}\n  cancel-in-progress: false\n\
         jobs:\n  build:\n    runs-on: ubuntu-latest\n{container}    steps:\n      \
         - uses: actions/checkout@v4\n        with:\n          persist-credentials: false\n      \
         - uses: actions/cache@v4\n        with:\n          path: /tmp/jackal-cache\n          \
         key: jackal-{id}-${{{{ github.run_id }}}}\n          restore-keys: jackal-{id}-\n\
         {check}      - name: Build\n        env:\n{env}        run: {script}\n",
        origin = one.origin(),
        title = double_quoted(&format!("jackal {}", one.of.name)),
        cron = double_quoted(&schedule.cron.canonical()),
        zone = double_quoted(&schedule.timezone),
        script = literal_block(&script, 10),
    )
}
