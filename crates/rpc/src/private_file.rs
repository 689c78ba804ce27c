//! Files that only their owner may read: 0600, in a folder that is 0700.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// The largest file that is read, in octets.
const LARGEST: u64 = 64 * 1024;

/// Why a file or folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refuses.
    #[error("cannot {what} {}: {source}", path.display())]
    System {
        /// What was tried.
        what: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others than the owner have rights.
    #[error(
        "{0} is open to others (mode {mode:04o}); as its owner run: chmod {wanted:o} {0}",
        path.display()
    )]
    Open {
        /// Which file or folder.
        path: PathBuf,
        /// The rights that it has.
        mode: u32,
        /// The rights that it should have.
        wanted: u32,
    },
    /// The file is there but holds something else.
    #[error("{} does not hold {wanted}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What should be in it.
        wanted: &'static str,
    },
    /// The file is larger than any that was written here.
    #[error("{} is larger than {most} octets, so it is none of ours", path.display())]
    Large {
        /// Which file.
        path: PathBuf,
        /// The most that is read.
        most: u64,
    },
    /// The file must not be replaced.
    #[error("{} exists already and is not replaced", path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
}

impl FileError {
    pub(crate) fn content(path: &Path, wanted: &'static str) -> Self {
        Self::Content {
            path: path.to_owned(),
            wanted,
        }
    }

    fn system(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::System { what, path, source }
    }
}

/// Makes a folder for its owner alone, or checks that it is one.
///
/// # Errors
///
/// Returns an error if it cannot be made, or others have rights to it.
pub fn folder(path: &Path) -> Result<(), FileError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(FileError::system("make", path))?;
    check(path)
}

/// Checks that a folder is there for its owner alone.
///
/// # Errors
///
/// Returns an error if it is not.
pub fn check(path: &Path) -> Result<(), FileError> {
    let metadata = fs::metadata(path).map_err(FileError::system("use", path))?;
    closed(path, &metadata, 0o700)
}

/// Reads a file that others cannot read, from a folder that others cannot change.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let failed = || FileError::system("read", path);
    let file = File::open(path).map_err(failed())?;
    // Asked of the open file, so that it cannot be exchanged in between.
    closed(path, &file.metadata().map_err(failed())?, 0o600)?;
    let mut content = Vec::new();
    file.take(LARGEST)
        .read_to_end(&mut content)
        .map_err(failed())?;
    Ok(content)
}

/// Reads a file that others may read, too, if it is there and has at most so many octets.
///
/// # Errors
///
/// Returns an error if it has more, or cannot be read.
pub fn read_if_there(path: &Path, most: u64) -> Result<Option<Vec<u8>>, FileError> {
    let length = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::system("read", path)(error)),
    };
    if length > most {
        return Err(FileError::Large {
            path: path.to_owned(),
            most,
        });
    }
    let content = fs::read(path).map_err(FileError::system("read", path))?;
    Ok(Some(content))
}

/// Removes a file, if it is there.
///
/// # Errors
///
/// Returns an error if the system refuses.
pub fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FileError::system("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Writes a file for its owner alone. It is there whole or not at all, also after a power cut.
///
/// # Errors
///
/// Returns an error if the system refuses. What was there before is still there then, and on a full
/// disk no half of the new file takes the space of others.
pub fn write(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    let _ = fs::remove_file(&draft); // Left behind by a crash.
    let written = OpenOptions::new()
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
            Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
            _ => File::open(".")?.sync_all(),
        });
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written.map_err(FileError::system("write", path))
}

fn closed(path: &Path, metadata: &fs::Metadata, wanted: u32) -> Result<(), FileError> {
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(FileError::Open {
        path: path.to_owned(),
        mode,
        wanted,
    })
}
