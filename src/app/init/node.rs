//! Node.js packages.

use serde_json::Value;

use super::draft::{Delivered, Draft, Run, Task, WITHOUT_OUTPUTS, owned};
use super::files::Folder;

/// Package managers: a lock file, and the command that installs exactly that. Its first
/// word is the program, and the name of its cache.
const MANAGERS: [(&str, &str); 4] = [
    ("package-lock.json", "npm ci --no-audit --no-fund"),
    ("pnpm-lock.yaml", "pnpm install --frozen-lockfile"),
    ("yarn.lock", "yarn install --frozen-lockfile"),
    ("", "npm install --no-audit --no-fund"),
];

/// Where bundlers and compilers put their results, by a file that tells which.
const RESULTS: [(&str, &str); 4] = [
    ("next.config.js", ".next/"),
    ("next.config.mjs", ".next/"),
    ("angular.json", "dist/"),
    ("react-scripts", "build/"),
];

pub(super) fn node(folder: &Folder) -> Option<Draft> {
    let text = folder.text("package.json")?;
    let package: Value = serde_json::from_str(&text).ok()?;
    let script = |name: &str| package["scripts"][name].is_string();
    let manager = MANAGERS.iter();
    let mut manager = manager.filter(|(lock, _)| lock.is_empty() || folder.has(lock));
    let (lock, install) = *manager.next()?;
    let program = install.split_whitespace().next()?;
    let result = result_of(folder, &text);
    let install_needed = ["dependencies", "devDependencies"]
        .iter()
        .any(|key| package[*key].as_object().is_some_and(|all| !all.is_empty()));
    let task = |name: &str, outputs: Vec<String>, remarks: &[&str]| Task {
        name: name.to_owned(),
        remarks: owned(remarks),
        run: Run::Shell(match install_needed {
            true => format!("{install} && {program} run {name}"),
            false => format!("{program} run {name}"),
        }),
        inputs: vec![
            "**".to_owned(),
            "!node_modules/**".to_owned(),
            format!("!{result}**"),
        ],
        outputs,
        tools: owned(&["node", program]),
        caches: owned(install_needed.then_some(program).as_slice()),
        network: install_needed.then(|| match lock {
            "" => "packages".to_owned(),
            lock => format!("packages; their checksums are in {lock}"),
        }),
    };
    let mut draft = Draft {
        at: folder.at.clone(),
        ..Draft::default()
    };
    if script("build") {
        draft.tasks.push(task("build", vec![result.clone()], &[]));
        draft.delivered.push(Delivered {
            source: result.trim_end_matches('/').to_owned(),
            target: format!("/srv/{}", folder.name()),
            executable: false,
        });
    }
    if script("test") {
        draft
            .tasks
            .push(task("test", Vec::new(), &[WITHOUT_OUTPUTS]));
    }
    if draft.tasks.is_empty() {
        return None;
    }
    if lock.is_empty() && install_needed {
        draft.notes.push(
            "the lock file is missing: run `npm install` once, and use `npm ci` in the tasks"
                .to_owned(),
        );
    }
    Some(draft)
}

/// The folder with what `build` makes.
fn result_of(folder: &Folder, package: &str) -> String {
    let mut rows = RESULTS.iter();
    let row = rows.find(|(mark, _)| folder.has(mark) || package.contains(&format!("\"{mark}\"")));
    if let Some((_, result)) = row {
        return (*result).to_owned();
    }
    let compiler = folder.text("tsconfig.json").unwrap_or_default();
    let named = compiler.split("\"outDir\"").nth(1);
    let named = named.and_then(|rest| rest.split('"').nth(1));
    match named.map(|name| name.trim_start_matches("./").trim_end_matches('/')) {
        Some(name) if !name.is_empty() && !name.starts_with("..") => format!("{name}/"),
        _ => "dist/".to_owned(),
    }
}
