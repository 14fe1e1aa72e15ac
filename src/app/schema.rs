//! `jackal schema`: JSON Schemas of the files that users write or read.

/// The schema of pipeline files.
#[must_use]
pub fn pipeline() -> String {
    crate::pipeline::schema::json_schema()
}

/// The schema of workspace files.
#[must_use]
pub fn workspace() -> String {
    crate::pipeline::schema::workspace_schema()
}

/// The schema of package definitions.
#[must_use]
pub fn package() -> String {
    crate::package::Definition::json_schema()
}

/// The schema of run records.
#[must_use]
pub fn run() -> String {
    crate::run::record::RunRecord::json_schema()
}

/// The schema of affected tasks.
#[must_use]
pub fn affected() -> String {
    super::affected::Affected::json_schema()
}

/// The schema of policy files.
#[must_use]
pub fn policy() -> String {
    crate::verify::policy_schema()
}
