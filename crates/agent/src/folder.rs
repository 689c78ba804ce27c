//! The state folder: what of an agent outlives the program.
//!
//! ```text
//!  agent.toml      settings, written by people
//!  agent.key       the key: it is the identity
//!  joining         which invitation the key was made for, until there is an identity
//!  identity.toml   certificate, coordinator, and whom to trust
//!  plan            what is to be measured
//!  spool/          reports that are not acknowledged
//! ```

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

pub(crate) const SETTINGS: &str = "agent.toml";
pub(crate) const KEY: &str = "agent.key";
pub(crate) const JOINING: &str = "joining";
pub(crate) const IDENTITY: &str = "identity.toml";
pub(crate) const PLAN: &str = "plan";
pub(crate) const SPOOL: &str = "spool";

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The system refuses.
    #[error("cannot {what} {}: {source}", path.display())]
    System {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others could read or exchange what is in it.
    #[error(
        "{0} is open to others (mode {mode:04o}); as its owner run: chmod 700 {0}",
        path.display()
    )]
    Open {
        /// The folder.
        path: PathBuf,
        /// The rights that it has.
        mode: u32,
    },
    /// A file is larger than any that was written here.
    #[error("{} is larger than {most} octets, so it is none of ours", path.display())]
    Large {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        most: u64,
    },
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    let path = path.to_owned();
    move |source| FolderError::System { what, path, source }
}

/// Makes a folder for its owner alone, or checks that it is one.
pub(crate) fn make(path: &Path) -> Result<(), FolderError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed("make", path))?;
    check(path)
}

/// Checks that a folder is there for its owner alone.
pub(crate) fn check(path: &Path) -> Result<(), FolderError> {
    let metadata = fs::metadata(path).map_err(failed("use", path))?;
    match metadata.permissions().mode() & 0o7777 {
        mode if mode & 0o077 == 0 => Ok(()),
        mode => Err(FolderError::Open {
            path: path.to_owned(),
            mode,
        }),
    }
}

/// Reads a file of at most so many octets; `None` if it is not there.
pub(crate) fn read(path: &Path, most: u64) -> Result<Option<Vec<u8>>, FolderError> {
    let length = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", path)(error)),
    };
    if length > most {
        return Err(FolderError::Large {
            path: path.to_owned(),
            most,
        });
    }
    fs::read(path).map(Some).map_err(failed("read", path))
}

/// Writes a file for its owner alone. It is there whole or not at all, also after a power cut.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), FolderError> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    let _ = fs::remove_file(&draft); // Left behind by a crash.
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&draft, path))
        .and_then(|()| match path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        })
        .map_err(failed("write", path))
}

/// Removes a file, if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), FolderError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}
