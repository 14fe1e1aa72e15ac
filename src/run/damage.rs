//! Whether damage in the cache is why a step failed.

use std::sync::Arc;

use crate::ground::threads::blocking;
use crate::ground::{Class, Failure};
use crate::kinds::{Task, Work};
use crate::plan::Step;

/// Whether damaged bytes of the cache may be why a step failed. What a command reads
/// was checked before it began.
pub(super) fn may_be_damage(step: &Step, failure: &Failure) -> bool {
    let command = matches!(step.work, Work::Run(_) | Work::Actions(_));
    let class = matches!(
        failure.class,
        Class::Task | Class::Configuration | Class::Environment
    );
    !command && class && failure.again.is_none()
}

/// Whether anything that a step read from the cache is damaged.
pub(super) async fn is_damage(task: &Task<'_>) -> bool {
    let Ok(prepared) = task.prepare().await else {
        return false;
    };
    let site = Arc::clone(task.cx.site);
    let found = blocking(move || {
        let known = site.remembered(&prepared.action.key(), prepared.form)?;
        let outputs = known.map(|known| known.result.outputs).unwrap_or_default();
        let outputs = outputs.into_iter().map(|output| output.digest);
        Ok(site.read_through(prepared.inputs.stored().into_iter().chain(outputs)))
    });
    found.await.unwrap_or(false)
}
