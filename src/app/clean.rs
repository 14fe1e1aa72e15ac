//! `jackal clean`: takes back what builds put into the workspace.

use super::build::Prepared;
use crate::ground::{Failure, Withdrawal};
use crate::kinds::Kind as _;

impl Prepared {
    /// Removes the outputs and archives of the chosen tasks, as far as they are as they
    /// were written. The cache still has them.
    ///
    /// # Errors
    ///
    /// A file or folder cannot be read or removed.
    pub fn clean(&self, mut withdrawal: Withdrawal) -> Result<Withdrawal, Failure> {
        let plan = &self.plan;
        for step in plan.chosen.iter().filter_map(|id| plan.steps.get(id)) {
            step.work.withdraw(&self.site, &mut withdrawal)?;
        }
        Ok(withdrawal)
    }
}
