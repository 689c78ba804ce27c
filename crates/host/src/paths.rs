//! Where programs keep what is theirs, if nobody says otherwise.
//!
//! For root these are the folders of the system (Filesystem Hierarchy Standard 3.0), for others
//! those of the XDG Base Directory Specification.

use std::{env, path::PathBuf};

/// Returns the folder in which a program keeps what must outlive it.
///
/// `/var/lib/PROGRAM` for root, else `$XDG_STATE_HOME/PROGRAM` or `~/.local/state/PROGRAM`.
#[must_use]
pub fn state(program: &str) -> PathBuf {
    if nix::unistd::geteuid().is_root() {
        return PathBuf::from("/var/lib").join(program);
    }
    folder("XDG_STATE_HOME")
        .or_else(|| folder("HOME").map(|home| home.join(".local/state")))
        .unwrap_or_else(|| env::temp_dir().join(format!("user-{}", nix::unistd::geteuid())))
        .join(program)
}

/// Returns the unix socket through which operators talk to the coordinator of this machine.
///
/// `/run/bailiwick/coordinator.sock` for root, else `$XDG_RUNTIME_DIR/bailiwick/coordinator.sock`,
/// and without that folder a file in the coordinator's own.
#[must_use]
pub fn socket() -> PathBuf {
    if nix::unistd::geteuid().is_root() {
        return PathBuf::from("/run/bailiwick/coordinator.sock");
    }
    match folder("XDG_RUNTIME_DIR") {
        Some(run) => run.join("bailiwick/coordinator.sock"),
        None => state("bailiwick-coordinator").join("coordinator.sock"),
    }
}

/// An absolute folder from the environment; others do not count (XDG, "Basics").
fn folder(variable: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env::var_os(variable)?);
    path.is_absolute().then_some(path)
}
