//! Runs a program that says something about itself.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::disk::look;

/// How long a program may take to say its version: a JVM on a busy machine takes seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// Maximum length of what is read of it, in bytes: 16 KiB.
const MAX_PRINTED: u64 = 16 << 10;

/// Whether a command succeeds, and what it prints.
pub(super) fn printed(mut command: Command) -> Option<(bool, String)> {
    look::beyond_files();
    let mut child = command
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let end = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().ok()? {
            break status;
        }
        if Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let mut text = Vec::new();
    let (stdout, stderr) = (child.stdout.take()?, child.stderr.take()?);
    stdout.take(MAX_PRINTED).read_to_end(&mut text).ok()?;
    stderr.take(MAX_PRINTED).read_to_end(&mut text).ok()?;
    Some((
        status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    ))
}
