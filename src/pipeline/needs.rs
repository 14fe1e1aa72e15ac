//! What the tasks of a pipeline need of the place where they run.

use std::collections::{BTreeMap, BTreeSet};

use super::expression::Template;
use super::limits::SecretSource;
use super::model::Task;
use super::verb::Verb;

/// What a task needs of the place where it runs, as far as the file says it without
/// `${{ }}`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Hosts of registries that packages are published to.
    pub registries: BTreeSet<String>,
    /// Variables with secret values, each with the key of the task that names it.
    pub secrets: BTreeMap<String, String>,
    /// Whether something is signed with an identity of the job.
    pub identity: bool,
}

impl Needs {
    /// Adds what another task needs.
    pub fn extend(&mut self, other: Self) {
        self.registries.extend(other.registries);
        self.secrets.extend(other.secrets);
        self.identity |= other.identity;
    }
}

/// The variable with the password of a key.
const PASSWORD: &str = "COSIGN_PASSWORD";

impl Task {
    #[must_use]
    pub fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        for (name, secret) in &self.settings.secrets {
            if let SecretSource::Env(variable) = &secret.from {
                let key = format!("secrets.{name}.env");
                needs.secrets.insert(variable.clone(), key);
            }
        }
        match &self.verb {
            Verb::Publish(publish) => {
                let places = [&publish.to].into_iter().chain(&publish.mirrors);
                needs.registries.extend(places.filter_map(host));
            }
            Verb::Sign(sign) if sign.keyless => needs.identity = true,
            Verb::Sign(sign) => {
                let key = sign.key.as_ref().map_or("", Template::beginning);
                let held = key.strip_prefix("env://").map(str::to_owned);
                let password = sign.password_file.is_none().then(|| PASSWORD.to_owned());
                let variables = held.into_iter().chain(password);
                (needs.secrets).extend(variables.map(|name| (name, "key".to_owned())));
            }
            _ => {}
        }
        // They become names in other files.
        needs.secrets.retain(|name, _| is_variable(name));
        needs
    }
}

/// The host of a destination, if no `${{ }}` part can change it.
fn host(to: &Template) -> Option<String> {
    let (host, _) = to.beginning().strip_prefix("oci://")?.split_once('/')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    (!host.is_empty() && host.chars().all(plain)).then(|| host.to_owned())
}

/// Whether a text is the name of a variable.
fn is_variable(name: &str) -> bool {
    let start = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(start) && name.chars().all(|c| start(c) || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::parse;
    use crate::yaml::SourceText;

    #[test]
    fn registries_secrets_and_identities_are_found() {
        let text = "kind: JackalPipeline\nversion: 1\nname: web\ntasks:\n  \
            a: { run: [x], inputs: [], secrets: { T: { env: TOKEN }, F: { file: f }, O: { env: 'a b' } } }\n  \
            p: { package: { definition: jackal.yaml } }\n  \
            s: { sign: { subjects: p, key: 'env://SIGNING_KEY' } }\n  \
            k: { sign: { subjects: p, keyless: true } }\n  \
            q: { publish: { packages: p, to: 'oci://r.example:5000/x/${{ git.branch }}', mirrors: ['oci://${{ git.branch }}/x', 'oci-layout:d'] } }\n";
        let pipeline = parse(&SourceText::new("p.yaml", text)).unwrap();
        let mut needs = Needs::default();
        let tasks = pipeline.tasks.values();
        tasks.for_each(|task| needs.extend(task.needs()));
        let names: Vec<&str> = needs.secrets.keys().map(String::as_str).collect();
        assert_eq!(names, ["COSIGN_PASSWORD", "SIGNING_KEY", "TOKEN"]);
        assert_eq!(
            needs.registries.into_iter().collect::<Vec<_>>(),
            ["r.example:5000"]
        );
        assert!(needs.identity);
    }
}
