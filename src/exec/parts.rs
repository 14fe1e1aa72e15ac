//! The steps of one component: what its parts are made by, and its tar.
//!
//! Implied and declared plans both come here, so a component is made in the
//! same way in both. A part is a step of its own: to change a chart's values
//! packages no other chart and clones no repository again.

use super::executors;
use super::folders::Folders;
use super::plan::{Part, Plan, PlanError, Step, Work};
use crate::package::Component;

impl Plan {
    /// Adds the steps of `component`; its tar is made by the one called `id`.
    pub(super) fn component(
        &mut self,
        id: &str,
        folders: Folders,
        component: &Component,
        step: impl Fn(String, Vec<String>, Work) -> Step,
    ) -> Result<(), PlanError> {
        let made = made(&folders, component);
        let mut parts = Vec::with_capacity(made.len());
        for (name, place, work) in made {
            let of = format!("{id}:{name}");
            self.add(step(of.clone(), Vec::new(), work));
            parts.push(Part { place, of });
        }
        let after = parts.iter().map(|part| part.of.clone()).collect();
        let work = Work::Component {
            folders,
            component: Box::new(component.clone()),
            parts,
        };
        self.add(step(id.to_owned(), after, work));
        Ok(())
    }
}

/// What steps make of the component: the step's name, the place, the work.
fn made(folders: &Folders, component: &Component) -> Vec<(String, String, Work)> {
    let mut made = Vec::new();
    for chart in &component.charts {
        if executors::is_archive(&chart.local_path) {
            continue;
        }
        let file = executors::chart_file(chart);
        let work = Work::Chart {
            folders: folders.clone(),
            chart: Box::new(chart.clone()),
        };
        let name = file.trim_end_matches(".tgz");
        made.push((format!("chart:{name}"), format!("charts/{file}"), work));
    }
    made
}
