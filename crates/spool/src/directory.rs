//! The real disk: one directory of the file system, for one program at a time.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::disk::Disk;

/// File handles kept: three segments and two marks that are written, and a few that are read.
const HANDLES: usize = 8;

/// The file whose lock says that a directory is in use. It is no part of the spool.
const LOCK: &str = "lock";

/// A directory that holds a spool and nothing else. Only its owner can read what is made in it.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Syncing it brings names to stable storage.
    itself: File,
    /// Held until the program ends, however it ends.
    lock: File,
    /// Used last comes last.
    handles: Vec<(String, File)>,
}

/// Why a directory cannot hold a spool.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Another program has it open.
    #[error("{} is in use by another program", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// It is not there and cannot be made, or may not be used.
    #[error("cannot use {}", path.display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Directory {
    /// Opens a directory, and makes it if need be.
    ///
    /// # Errors
    ///
    /// [`DirectoryError`]. A file system that is read-only, and has the directory, is no error: its
    /// reports can still be delivered.
    pub fn open(path: &Path) -> Result<Self, DirectoryError> {
        let unusable = |source| DirectoryError::Unusable {
            path: path.to_owned(),
            source,
        };
        if !path.is_dir() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(unusable)?;
            sync_parent(path).map_err(unusable)?;
        }
        let lock = open_lock(&path.join(LOCK)).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DirectoryError::InUse {
                    path: path.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        Ok(Self {
            path: path.to_owned(),
            itself: File::open(path).map_err(unusable)?,
            lock,
            handles: Vec::new(),
        })
    }

    fn handle(&mut self, name: &str) -> io::Result<&File> {
        let handle = match self.handles.iter().position(|(known, _)| known == name) {
            Some(at) => self.handles.remove(at),
            None => {
                let path = self.path.join(name);
                let file = OpenOptions::new()
                    .read(true)
                    .write(true)
                    .open(&path)
                    .or_else(|_| File::open(&path))?;
                (name.to_owned(), file)
            }
        };
        Ok(self.keep(handle))
    }

    fn keep(&mut self, handle: (String, File)) -> &File {
        if self.handles.len() >= HANDLES {
            self.handles.remove(0);
        }
        let at = self.handles.len();
        self.handles.push(handle);
        &self.handles[at].1
    }
}

impl Drop for Directory {
    /// A process that is being started shares the handle for a moment, so closing is not enough.
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}

/// A new directory outlives a loss of power once its parent knows it.
fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Where nothing can be written a file that is there can still be locked, or else the directory.
fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .or_else(|_| File::open(path))
        .or_else(|_| File::open(path.parent().unwrap_or(path)))
}

impl Disk for Directory {
    fn list(&mut self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.path.join(name))?;
        self.keep((name.to_owned(), file));
        Ok(())
    }

    fn length(&mut self, name: &str) -> io::Result<u64> {
        Ok(self.handle(name)?.metadata()?.len())
    }

    fn read_at(&mut self, name: &str, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let file = self.handle(name)?;
        let mut done = 0;
        while done < into.len() {
            match file.read_at(&mut into[done..], at + done as u64) {
                Ok(0) => break,
                Ok(octets) => done += octets,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&mut self, name: &str, at: u64, octets: &[u8]) -> io::Result<usize> {
        match self.handle(name)?.write_at(octets, at) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            other => other,
        }
    }

    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        self.handle(name)?.set_len(length)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.handle(name)?.sync_data()
    }

    fn sync_names(&mut self) -> io::Result<()> {
        self.itself.sync_all()
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.handles.retain(|(known, _)| known != name);
        fs::remove_file(self.path.join(name))
    }

    fn free(&mut self) -> io::Result<u64> {
        let figures = rustix::fs::fstatvfs(&self.itself)?;
        Ok(figures.f_bavail.saturating_mul(figures.f_frsize))
    }
}
