//! systemd: a service and a timer for each schedule.
//!
//! Source: systemd.service(5), systemd.timer(5), systemd.time(7).

use std::path::Path;

use super::export::{ExportError, ExportOptions, Exported, Named};
use super::quote::systemd;
use crate::workspace;

pub(super) fn export(all: &[Named<'_>], options: &ExportOptions) -> Result<Exported, ExportError> {
    let mut exported = Exported::default();
    for one in all {
        let folder = options.checkout.as_deref().unwrap_or(&one.of.root);
        let name = format!("jackal-{}", one.id);
        let service = service(one, &name, folder)?;
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

fn service(one: &Named<'_>, name: &str, folder: &Path) -> Result<String, ExportError> {
    let words: Vec<String> = one.of.command().iter().map(|word| systemd(word)).collect();
    // Whether this workspace is of Git, as the one on the machine with the timer is then.
    let pull = match workspace::checkout(&one.of.root) {
        Some(_) => {
            "# A checkout that is not updated would publish the same again and again.\n\
                 ExecStartPre=/usr/bin/env git pull --quiet --ff-only\n"
        }
        None => "",
    };
    Ok(format!(
        "# {origin}\n\
         # Put both files into /etc/systemd/system, then: systemctl enable --now {name}.timer\n\
         # Variables and secrets are read from /etc/jackal/{name}.env, if it exists.\n\
         # It runs as root. Add User= to [Service] for another user, who must own the folder.\n\
         [Unit]\nDescription={title}\nWants=network-online.target\nAfter=network-online.target\n\n\
         [Service]\nType=oneshot\nWorkingDirectory={folder}\n\
         EnvironmentFile=-/etc/jackal/{name}.env\nEnvironment=JACKAL_CACHE=/var/cache/{name}\n\
         CacheDirectory={name}\nCacheDirectoryMode=0700\n{pull}\
         ExecStart=/usr/bin/env {words}\n",
        origin = one.origin(),
        title = one.title().replace('%', "%%"),
        folder = path(folder)?,
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
