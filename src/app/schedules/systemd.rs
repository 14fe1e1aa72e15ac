//! systemd: a service and a timer for each schedule.
//!
//! Source: systemd.service(5), systemd.timer(5), systemd.time(7).

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::export::{ExportError, ExportOptions, Exported, Named};
use super::quote::systemd;

pub(super) fn export(all: &[Named<'_>], options: &ExportOptions) -> Result<Exported, ExportError> {
    let mut exported = Exported::default();
    for one in all {
        let name = format!("jackal-{}", one.id);
        let service = service(one, &name, options)?;
        exported.files.insert(format!("{name}.service"), service);
        exported
            .files
            .insert(format!("{name}.timer"), timer(one, &name));
    }
    Ok(exported)
}

/// `folder` as the value of a key that is not split into words.
fn path(folder: &Path) -> Result<String, ExportError> {
    let refused = || ExportError::Folder(folder.to_string_lossy().into_owned());
    let text = folder.to_str().ok_or_else(refused)?;
    let odd = text.chars().any(crate::text::steers) || text.contains('\\');
    if odd || text.trim() != text || !text.starts_with('/') {
        return Err(refused());
    }
    Ok(text.replace('%', "%%"))
}

/// Updates the checkout that the folder is in, if it is in one.
const PULL: &str = "while [ ! -e .git ] && [ \"$PWD\" != / ]; do cd ..; done; [ ! -e .git ] || exec git pull --quiet --ff-only";

/// The user of the service: the owner of the checkout, since Git refuses those of others.
fn user(one: &Named<'_>, options: &ExportOptions) -> Result<String, ExportError> {
    const ADVICE: &str = "# It runs as root, who must own the folder: Git refuses those of others. Else name the owner.\n#User=\n";
    let user = match (&options.user, &options.checkout) {
        (Some(name), _) => name.clone(),
        (None, Some(_)) => return Ok(ADVICE.to_owned()),
        (None, None) => match fs::metadata(&one.of.root).map(|found| found.uid()) {
            Ok(0) | Err(_) => return Ok(ADVICE.to_owned()),
            Ok(owner) => owner.to_string(),
        },
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    match !user.is_empty() && user.chars().all(is_name) && !user.starts_with('-') {
        true => Ok(format!("User={user}\n")),
        false => Err(ExportError::User(user)),
    }
}

fn service(one: &Named<'_>, name: &str, options: &ExportOptions) -> Result<String, ExportError> {
    let words: Vec<String> = one.of.command().iter().map(|word| systemd(word)).collect();
    let folder = options.checkout.as_deref().unwrap_or(&one.of.root);
    Ok(format!(
        "# {origin}\n\
         # Put both files into /etc/systemd/system, then: systemctl enable --now {name}.timer\n\
         # Variables and secrets are read from /etc/jackal/{name}.env, if it exists.\n\
         [Unit]\nDescription={title}\nWants=network-online.target\nAfter=network-online.target\n\n\
         [Service]\nType=oneshot\n{user}\
         # The checkout on this machine.\nWorkingDirectory={folder}\n\
         EnvironmentFile=-/etc/jackal/{name}.env\nEnvironment=JACKAL_CACHE=/var/cache/{name}\n\
         CacheDirectory={name}\nCacheDirectoryMode=0700\n\
         # A checkout that is not updated would publish the same again and again.\n\
         ExecStartPre=/usr/bin/env sh -c {pull}\n\
         ExecStart=/usr/bin/env {words}\n",
        origin = one.origin(),
        title = one.title().replace('%', "%%"),
        user = user(one, options)?,
        folder = path(folder)?,
        pull = systemd(PULL),
        words = words.join(" "),
    ))
}

fn timer(one: &Named<'_>, name: &str) -> String {
    let schedule = &one.of.schedule;
    let events = schedule.cron.calendar_events(&schedule.timezone);
    let events: String = events
        .iter()
        .map(|event| format!("OnCalendar={event}\n"))
        .collect();
    format!(
        "# {origin}\n[Unit]\nDescription={title}\n\n[Timer]\n{events}\
         # A machine that was off runs it once when it is on again.\nPersistent=true\nUnit={name}.service\n\n\
         [Install]\nWantedBy=timers.target\n",
        origin = one.origin(),
        title = one.title().replace('%', "%%"),
    )
}
