//! `jackal schema`: JSON Schemas of the files that users write or read.

/// The schema of pipeline files.
#[must_use]
pub fn pipeline() -> String {
    with_id("pipeline", &crate::pipeline::schema::json_schema())
}

/// The schema of workspace files.
#[must_use]
pub fn workspace() -> String {
    with_id("workspace", &crate::pipeline::schema::workspace_schema())
}

/// The schema of package definitions.
#[must_use]
pub fn package() -> String {
    with_id("package", &crate::package::Definition::json_schema())
}

/// The schema of run records.
#[must_use]
pub fn run() -> String {
    with_id("run", &crate::run::record::RunRecord::json_schema())
}

/// The schema of affected tasks.
#[must_use]
pub fn affected() -> String {
    with_id("affected", &super::affected::Affected::json_schema())
}

/// The schema of policy files.
#[must_use]
pub fn policy() -> String {
    with_id("policy", &crate::verify::policy_schema())
}

/// The schema with its name for programs that refer to it: its place in the repository.
fn with_id(name: &str, schema: &str) -> String {
    let folder = concat!(env!("CARGO_PKG_REPOSITORY"), "/schemas");
    let mut schema: serde_json::Value = serde_json::from_str(schema).unwrap_or_default();
    schema["$id"] = format!("{folder}/{name}.schema.json").into();
    format!("{schema:#}\n")
}
