//! Kubernetes: one cron job for each schedule, and a claim for the cache.
//!
//! Source: Kubernetes, "CronJob"; API reference of `batch/v1`.

use super::export::{ExportError, ExportOptions, Exported, Named};
use super::quote::kubernetes;
use crate::text::without_logins;
use crate::yaml::double_quoted;

pub(super) fn export(all: &[Named<'_>], options: &ExportOptions) -> Result<Exported, ExportError> {
    let missing = |flag, why| ExportError::Missing {
        to: "kubernetes",
        flag,
        why,
    };
    let image = options.image.as_deref();
    let image = image.ok_or_else(|| missing("--image", "a container image with jackal and git"))?;
    let git = options.git.as_deref();
    let git = git.ok_or_else(|| missing("--git", "the repository that a job clones"))?;
    // Tokens also travel in queries.
    if without_logins(git) != git || git.contains(['?', '#']) {
        return Err(ExportError::Login);
    }
    let mut exported = Exported::default();
    for one in all {
        let name = format!("jackal-{}.yaml", one.id);
        exported.files.insert(name, cron_job(one, image, git));
        if one.needs.identity {
            exported.warnings.push(format!(
                "`{}` signs with an identity: the secret `{}` must hold a valid SIGSTORE_ID_TOKEN at each run",
                one.of.name, one.id
            ));
        }
    }
    Ok(exported)
}

fn list(words: &[String], indent: usize) -> String {
    let words = words.iter().map(|word| double_quoted(&kubernetes(word)));
    words
        .map(|word| format!("{:indent$}- {word}\n", ""))
        .collect()
}

fn cron_job(one: &Named<'_>, image: &str, git: &str) -> String {
    let (id, needs) = (&one.id, &one.needs);
    // Some names are numbers, truth values or nothing to YAML, unless they are quoted.
    let quoted = double_quoted(id);
    let cache = double_quoted(&format!("{id}-cache"));
    let login = double_quoted(&format!("{id}-login"));
    let schedule = &one.of.schedule;
    let clone = [
        "git",
        "clone",
        "--quiet",
        "--depth=1",
        "--",
        git,
        "/work/source",
    ];
    let clone: Vec<String> = clone.map(str::to_owned).into();
    let mut secrets: Vec<String> = needs.secrets.keys().cloned().collect();
    secrets.extend(needs.identity.then(|| "SIGSTORE_ID_TOKEN".to_owned()));
    let secrets: String = secrets
        .iter()
        .map(|name| {
            let name = double_quoted(name);
            format!(
                "                - name: {name}\n                  valueFrom:\n                    \
                 secretKeyRef: {{ name: {quoted}, key: {name}, optional: true }}\n"
            )
        })
        .collect();
    format!(
        "# {origin}\n\
         # It reads the secret `{id}` for variables, the secret `{id}-login` of type\n\
         # kubernetes.io/dockerconfigjson for registries, and keeps its cache in the claim\n\
         # `{id}-cache`; without the secrets it runs without logins.\n\
         apiVersion: batch/v1\nkind: CronJob\nmetadata:\n  name: {quoted}\n  labels:\n    \
         app.kubernetes.io/name: jackal\n    app.kubernetes.io/instance: {quoted}\n\
         spec:\n  schedule: {cron}\n  timeZone: {zone}\n  concurrencyPolicy: Forbid\n  \
         startingDeadlineSeconds: 3600\n  successfulJobsHistoryLimit: 3\n  failedJobsHistoryLimit: 3\n  \
         jobTemplate:\n    spec:\n      backoffLimit: 0\n      template:\n        spec:\n          \
         restartPolicy: Never\n          automountServiceAccountToken: false\n          \
         securityContext: {{ runAsNonRoot: true, runAsUser: 1000, runAsGroup: 1000, fsGroup: 1000 }}\n          \
         initContainers:\n            - name: clone\n              image: {image}\n              command:\n{clone}              \
         volumeMounts:\n                - {{ name: work, mountPath: /work }}\n          \
         containers:\n            - name: build\n              image: {image}\n              \
         workingDir: /work/source\n              command:\n{command}              env:\n                \
         - {{ name: HOME, value: /work/home }}\n                \
         - {{ name: JACKAL_CACHE, value: /cache/jackal }}\n                \
         - {{ name: DOCKER_CONFIG, value: /login }}\n{secrets}              \
         volumeMounts:\n                - {{ name: work, mountPath: /work }}\n                \
         - {{ name: cache, mountPath: /cache }}\n                \
         - {{ name: login, mountPath: /login, readOnly: true }}\n          \
         volumes:\n            - name: work\n              emptyDir: {{}}\n            \
         - name: cache\n              persistentVolumeClaim: {{ claimName: {cache} }}\n            \
         - name: login\n              secret:\n                secretName: {login}\n                \
         optional: true\n                items:\n                  - {{ key: .dockerconfigjson, path: config.json }}\n\
         ---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata:\n  name: {cache}\nspec:\n  \
         accessModes: [ReadWriteOnce]\n  resources:\n    requests:\n      storage: 20Gi\n",
        origin = one.origin(),
        cron = double_quoted(&schedule.cron.canonical()),
        zone = double_quoted(&schedule.timezone),
        image = double_quoted(image),
        clone = list(&clone, 16),
        command = list(&one.of.command(), 16),
    )
}
