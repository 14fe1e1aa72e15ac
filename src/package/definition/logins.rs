//! Definitions without the logins that addresses in them hold.

use super::records::{Component, Definition};
use crate::text::{login_in, public_url};

impl Component {
    /// Every address or path that content is fetched from.
    fn sources(&mut self) -> impl Iterator<Item = &mut String> {
        let manifests = self.manifests.iter_mut();
        let manifests =
            manifests.flat_map(|one| one.files.iter_mut().chain(&mut one.kustomizations));
        let charts = self.charts.iter_mut().flat_map(|chart| {
            let values = chart.values_files.iter_mut();
            let templated = chart.templated_values_files.iter_mut();
            values.chain(templated).chain([&mut chart.url])
        });
        let files = self.files.iter_mut().map(|file| &mut file.source);
        let data = self.data_injections.iter_mut().map(|data| &mut data.source);
        let repositories = self.repos.iter_mut();
        manifests
            .chain(charts)
            .chain(files)
            .chain(data)
            .chain(repositories)
    }
}

impl Definition {
    /// The definition as a package carries it: its readers must not learn the logins
    /// with which its content was fetched.
    #[must_use]
    pub fn without_logins(&self) -> Self {
        let mut copy = self.clone();
        for source in copy.components.iter_mut().flat_map(Component::sources) {
            *source = public_url(source);
        }
        copy
    }

    /// The logins that its addresses hold.
    #[must_use]
    pub fn logins(&self) -> Vec<String> {
        let mut copy = self.clone();
        let sources = copy.components.iter_mut().flat_map(Component::sources);
        let found = sources.filter_map(|source| login_in(source).map(str::to_owned));
        found.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::{Chart, DataInjection, File, Manifest};

    #[test]
    fn every_address_loses_its_login() {
        let at = |name: &str| format!("https://u:hush@h/{name}");
        let component = Component {
            files: vec![File {
                source: at("file"),
                ..File::default()
            }],
            data_injections: vec![DataInjection {
                source: at("data"),
                ..DataInjection::default()
            }],
            manifests: vec![Manifest {
                files: vec![at("manifest")],
                kustomizations: vec![at("kustomization")],
                ..Manifest::default()
            }],
            charts: vec![Chart {
                url: at("chart"),
                values_files: vec![at("values")],
                templated_values_files: vec![at("templated")],
                ..Chart::default()
            }],
            repos: vec![at("repo.git@v1")],
            ..Component::default()
        };
        let definition = Definition {
            components: vec![component],
            ..Definition::default()
        };
        assert_eq!(definition.to_yaml().matches("hush").count(), 8);
        let public = definition.without_logins().to_yaml();
        assert!(!public.contains("hush"), "{public}");
        assert_eq!(public.matches("https://h/").count(), 8, "{public}");
        assert_eq!(definition.logins(), vec!["u:hush"; 8]);
    }
}
