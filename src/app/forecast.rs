//! How long a plan may take, from how long its tasks took before.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::ground::site::Site;

/// What is needed to say how long a run will take.
pub struct Forecast {
    /// What each task waits for.
    pub after: BTreeMap<String, Vec<String>>,
    /// How many tasks run at once.
    pub jobs: usize,
    pub(super) site: Arc<Site>,
    /// Each task with its folder, and its name there.
    pub(super) names: Vec<(String, PathBuf, String)>,
}

impl Forecast {
    /// Reads how many milliseconds each task took when it last ran; those that never did are
    /// left out.
    #[must_use]
    pub fn millis(&self) -> BTreeMap<String, u64> {
        let took = self.names.iter().filter_map(|(task, home, name)| {
            let took = self.site.last_took_ms(home, name)?;
            Some((task.clone(), took))
        });
        took.collect()
    }
}
