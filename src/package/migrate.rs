//! Deprecated keys and what stands for them now.
//!
//! At create, `compose` adds the new form and the old one stays beside it, for
//! older programs. On load, which is dealt with here, an old key whose new form
//! was already written is dropped, so that nothing runs twice.

use super::{Action, Actions};
use super::{ActionDefaults, ActionSet, Component, Definition, Scripts, SetVariable};

/// The migration of `scripts`, as `build.migrations` names it.
pub(super) const SCRIPTS: &str = "scripts-to-actions";
/// The migration of `setVariable`, as `build.migrations` names it.
pub(super) const SET_VARIABLE: &str = "pluralize-set-variable";

/// The migrations that every package made here has been through, as
/// `build.migrations` names them.
pub const MIGRATIONS: [&str; 2] = [SCRIPTS, SET_VARIABLE];

/// From here on a number of retries means no limit: older programs wrote their
/// largest integer, 31 or 63 bits wide.
pub const UNLIMITED_RETRIES: i64 = i32::MAX as i64;

/// An old key that was found, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The component's name.
    pub component: String,
    /// The deprecated key.
    pub old: &'static str,
    /// What to write instead.
    pub new: &'static str,
}

impl Definition {
    /// Settles the deprecated keys of a package that was read: dropped where
    /// the migration was done at create, migrated where it was not. A package
    /// that knows of no migrations is left as it is.
    pub fn settle_migrations(&mut self) -> Vec<Migrated> {
        let mut found = Vec::new();
        if self.build.migrations.is_empty() {
            return found;
        }
        let done = |name: &str| self.build.migrations.iter().any(|done| done == name);
        let (scripts, variable) = (done(SCRIPTS), done(SET_VARIABLE));
        for component in &mut self.components {
            if !scripts {
                component.migrate_scripts(&mut found);
            }
            component.scripts = Scripts::default();
            if !variable {
                component.migrate_set_variable(&mut found);
            }
            for action in component.actions.each_mut() {
                action.set_variable.clear();
            }
        }
        found
    }
}

impl Component {
    fn migrate_scripts(&mut self, found: &mut Vec<Migrated>) {
        let scripts = &self.scripts;
        let defaults = ActionDefaults {
            mute: !scripts.show_output,
            max_total_seconds: scripts.timeout_seconds,
            max_retries: if scripts.retry { UNLIMITED_RETRIES } else { 0 },
            ..ActionDefaults::default()
        };
        let mut any = false;
        let actions = &mut self.actions;
        let mut take = |commands: &[String], set: &mut ActionSet, after: bool| {
            if commands.is_empty() {
                return;
            }
            any = true;
            set.defaults = defaults.clone();
            let list = if after {
                &mut set.after
            } else {
                &mut set.before
            };
            list.extend(commands.iter().map(|cmd| Action {
                cmd: cmd.clone(),
                ..Action::default()
            }));
        };
        take(&scripts.prepare, &mut actions.on_create, false);
        take(&scripts.before, &mut actions.on_deploy, false);
        take(&scripts.after, &mut actions.on_deploy, true);
        if any {
            found.push(Migrated {
                component: self.name.clone(),
                old: "scripts",
                new: "actions",
            });
        }
    }

    fn migrate_set_variable(&mut self, found: &mut Vec<Migrated>) {
        let mut any = false;
        for action in self.actions.each_mut() {
            if action.set_variable.is_empty() {
                continue;
            }
            any = true;
            if action.set_variables.is_empty() {
                action.set_variables.push(SetVariable {
                    name: action.set_variable.clone(),
                    ..SetVariable::default()
                });
            }
        }
        if any {
            found.push(Migrated {
                component: self.name.clone(),
                old: "setVariable",
                new: "setVariables",
            });
        }
    }
}

impl Actions {
    /// Every action of every set.
    fn each_mut(&mut self) -> impl Iterator<Item = &mut Action> {
        [
            &mut self.on_create,
            &mut self.on_deploy,
            &mut self.on_remove,
        ]
        .into_iter()
        .flat_map(|set| {
            let ActionSet {
                before,
                after,
                on_success,
                on_failure,
                ..
            } = set;
            before
                .iter_mut()
                .chain(after)
                .chain(on_success)
                .chain(on_failure)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::Strictness;
    use crate::yaml::SourceText;

    const OLD: &str = "components:\n- name: a\n  scripts:\n    retry: true\n    prepare: [p]\n    \
                       after: [z]\n  actions:\n    onDeploy:\n      onFailure:\n      - cmd: c\n        \
                       setVariable: X\n";

    fn old() -> Definition {
        Definition::parse(&SourceText::new("jackal.yaml", OLD), Strictness::Existing).unwrap()
    }

    #[test]
    fn old_keys_that_were_not_migrated_gain_their_new_form() {
        let mut definition = old();
        definition.build.migrations = vec!["another".to_owned()];
        let found = definition.settle_migrations();
        let olds: Vec<&str> = found.iter().map(|migrated| migrated.old).collect();
        assert_eq!(olds, ["scripts", "setVariable"]);
        let component = &definition.components[0];
        let create = &component.actions.on_create;
        assert_eq!(create.before[0].cmd, "p");
        assert!(create.defaults.mute);
        assert_eq!(create.defaults.max_retries, UNLIMITED_RETRIES);
        let deploy = &component.actions.on_deploy;
        assert_eq!(deploy.after[0].cmd, "z");
        assert_eq!(deploy.on_failure[0].set_variables[0].name, "X");
        assert_eq!(component.scripts, Scripts::default());
    }

    #[test]
    fn what_was_migrated_at_create_does_not_run_twice() {
        let mut definition = old();
        definition.build.migrations = MIGRATIONS.map(str::to_owned).to_vec();
        let actions = definition.components[0].actions.clone();
        assert!(definition.settle_migrations().is_empty());
        let component = &definition.components[0];
        assert_eq!(component.scripts, Scripts::default());
        assert_eq!(component.actions.on_create, actions.on_create);
        assert_eq!(component.actions.on_deploy.after, actions.on_deploy.after);
        assert!(
            component.actions.on_deploy.on_failure[0]
                .set_variable
                .is_empty()
        );
    }

    #[test]
    fn only_a_package_that_knows_migrations_is_settled() {
        let mut definition = old();
        assert!(definition.settle_migrations().is_empty());
        assert_eq!(definition, old());
        definition.build.migrations = vec![SCRIPTS.to_owned()];
        assert_eq!(definition.settle_migrations()[0].old, "setVariable");
        assert!(definition.components[0].actions.on_create.before.is_empty());
    }
}
