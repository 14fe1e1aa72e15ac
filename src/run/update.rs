//! Resolves references again and moves their pins.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::ground::site::Site;
use crate::ground::{Class, Failure};
use crate::kinds::Kind as _;
use crate::kinds::pins::Moved;
use crate::package::NamesIn;
use crate::plan::Plan;

/// Resolves every pinned reference of `plan` again (or only those in `names`, unless it
/// is empty), and writes the pins once all of them are resolved.
pub(crate) async fn update(
    site: &Arc<Site>,
    plan: &Plan,
    names: &[String],
    named: &BTreeMap<PathBuf, NamesIn>,
) -> Result<Vec<Moved>, Failure> {
    let mut pins = Vec::new();
    for step in plan.steps.values() {
        pins.extend(step.work.pins()?);
    }
    if let Some(unknown) = names
        .iter()
        .find(|name| pins.iter().all(|pin| pin.name != **name))
    {
        let message = format!(
            "no package uses `{unknown}`: give the full reference, as `jackal graph` shows it"
        );
        return Err(Failure::new(Class::Configuration, message));
    }
    pins.retain(|pin| names.is_empty() || names.contains(&pin.name));
    let mut answers = Vec::with_capacity(pins.len());
    for pin in &pins {
        answers.push((&pin.folder, pin.ask(site).await?));
    }
    let mut moved: Vec<Moved> = Vec::with_capacity(answers.len());
    for (folder, keep) in answers {
        let pinned = site.pins(folder, keep)?;
        // A platform of the plan may have moved along with another one.
        let new = |pin: &Moved| {
            let mut before = moved.iter();
            !before.any(|old| (&old.reference, &old.platform) == (&pin.reference, &pin.platform))
        };
        let new: Vec<Moved> = pinned.into_iter().filter(new).collect();
        moved.extend(new);
    }
    for (folder, named) in named {
        let dropped = site.pins(folder, |lock| lock.retain(named))?;
        moved.extend(dropped.into_iter().map(Moved::from));
    }
    Ok(moved)
}
