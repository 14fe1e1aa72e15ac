//! `jackal clean`: takes back what builds put into the workspace.

use super::build::Prepared;
use crate::ground::{Class, Failure, Withdrawal};
use crate::kinds::Kind as _;

impl Prepared {
    /// Removes the outputs and archives of the chosen tasks, as far as they are as they
    /// were written. The cache still has them.
    ///
    /// # Errors
    ///
    /// The cache is only read, a file cannot be looked at, or Git's index cannot be read.
    /// Files that cannot be removed are in the result.
    pub fn clean(&self, mut withdrawal: Withdrawal) -> Result<Withdrawal, Failure> {
        if self.site.cas.is_read_only() {
            let message = "this cache is only read, so it does not say what builds wrote: name the cache that they used, with --cache-dir";
            return Err(Failure::new(Class::Configuration, message));
        }
        withdrawal.whole = self.whole;
        let plan = &self.plan;
        for step in plan.chosen.iter().filter_map(|id| plan.steps.get(id)) {
            step.work.withdraw(&self.site, &mut withdrawal)?;
        }
        Ok(withdrawal)
    }
}
