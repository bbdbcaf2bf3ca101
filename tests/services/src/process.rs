//! Processes of servers, as Linux shows them below `/proc`.

use std::path::Path;
use std::process::Command;

use crate::until;

/// Whether the tests run as root, as which some servers refuse to run.
pub(crate) fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.trim_ascii() == b"0"
}

/// Runs a command to its end, which has to be a good one.
pub(crate) fn succeed(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The processes whose parent is this one.
pub(crate) fn children(parent: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().into_string().ok());
    ids.filter(|id| stat(&Path::new("/proc").join(id), 1).as_deref() == Some(parent)).collect()
}

/// Waits until every thread of a process stands still, which is some time after the signal was sent, or has ended.
pub(crate) fn until_stopped(id: &str) {
    until("a process that stands still", || {
        let threads = std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
        threads.into_iter().all(|thread| stat(&thread.path(), 0).is_none_or(|state| state == "T" || state == "Z"))
    });
}

/// Waits until a process has ended, which is some time after the signal was sent.
pub(crate) fn until_ended(id: &str) {
    until("the end of a process", || stat(&Path::new("/proc").join(id), 0).is_none_or(|state| state == "Z"));
}

/// A field of the file `stat`, counted from behind the name: 0 is the state, 1 the parent.
fn stat(process: &Path, field: usize) -> Option<String> {
    let stat = std::fs::read_to_string(process.join("stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name.split(' ').nth(field).map(str::to_owned)
}
