//! Names that managers have for versions, such as `lts/*`.

use std::path::Path;

use super::installed::Installed;
use super::layouts::names;
use super::selectors::text;
use super::version::components;
use crate::disk::look;

/// Maximum number of names for names for a version.
const MAX_ALIASES: usize = 10;

/// Where a manager keeps names for versions, below its own folder.
#[derive(Clone, Copy)]
pub(super) enum Aliases {
    No,
    /// A folder of files, each with another name or a version.
    Files(&'static str),
    /// A folder of links to versions.
    Links(&'static str),
}

impl Aliases {
    /// What a name of the manager in the folder `home` stands for; anything else as it is.
    pub(super) fn meant(self, home: &Path, wanted: String, installed: &[Installed]) -> String {
        let mut parts = wanted.split('/');
        if parts.any(|part| matches!(part, "" | "." | "..")) {
            return wanted;
        }
        match self {
            Self::No => wanted,
            Self::Files(folder) => of_file(&home.join(folder), wanted, installed),
            Self::Links(folder) => {
                let found = of_link(&home.join(folder), &wanted, installed);
                found.unwrap_or(wanted)
            }
        }
    }
}

/// What a name of nvm stands for, whose files are in `folder`.
fn of_file(folder: &Path, wanted: String, installed: &[Installed]) -> String {
    let mut name = wanted;
    for _ in 0..MAX_ALIASES {
        // `lts/-1` is the line of versions before the newest one: they have names in
        // the order of the alphabet.
        if let Some(back) = name.strip_prefix("lts/-") {
            let mut lines = names(&folder.join("lts"));
            lines.retain(|line| line != "*");
            lines.sort_unstable();
            let line = back
                .parse()
                .ok()
                .and_then(|back| lines.iter().nth_back(back));
            match line {
                Some(line) => name = format!("lts/{line}"),
                None => break,
            }
        }
        let mut parts = name.split('/');
        if parts.any(|part| matches!(part, "" | "." | "..")) {
            break;
        }
        let found = text(&folder.join(&name));
        let next = found.as_deref().and_then(|text| text.lines().next());
        match next.map(str::trim).filter(|next| !next.is_empty()) {
            Some(next) => name = next.to_owned(),
            None => break,
        }
    }
    // nvm knows these two without a file.
    let newest = installed.iter().max_by_key(|one| components(&one.version));
    match newest.filter(|_| matches!(name.as_str(), "node" | "stable")) {
        Some(newest) => newest.version.clone(),
        None => name,
    }
}

/// The version that the link of fnm in `folder` leads to.
fn of_link(folder: &Path, wanted: &str, installed: &[Installed]) -> Option<String> {
    // As it names the links that it makes for these itself.
    let name = match wanted.strip_prefix("lts/") {
        Some("*") => "lts-latest".to_owned(),
        Some(line) => format!("lts-{}", line.to_lowercase()),
        None => wanted.to_owned(),
    };
    let root = look::canonicalize(&folder.join(name)).ok()?;
    let found = installed.iter().find(|one| {
        let own = look::canonicalize(&one.root);
        // The link may also lead to the folder around it.
        own.is_ok_and(|own| own == root || own.parent() == Some(&root))
    });
    found.map(|one| one.version.clone())
}
