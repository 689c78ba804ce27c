//! What a spool asks of a disk.

use std::io;

/// One flat directory of files.
///
/// As with POSIX, nothing that was written has to outlive a loss of power before the matching
/// `sync` returned, and any part of it may: of a file its octets and its length, of the directory
/// which names there are.
pub trait Disk {
    /// Returns the names of all files, in any order.
    ///
    /// # Errors
    ///
    /// Any that the system has.
    fn list(&mut self) -> io::Result<Vec<String>>;

    /// Makes an empty file.
    ///
    /// # Errors
    ///
    /// `AlreadyExists`, or any that the system has.
    fn create(&mut self, name: &str) -> io::Result<()>;

    /// Returns the length of a file in octets.
    ///
    /// # Errors
    ///
    /// Any that the system has.
    fn length(&mut self, name: &str) -> io::Result<u64>;

    /// Reads octets, fewer than asked for only at the end of the file.
    ///
    /// # Errors
    ///
    /// Any that the system has.
    fn read_at(&mut self, name: &str, at: u64, into: &mut [u8]) -> io::Result<usize>;

    /// Writes octets and returns how many of them it took: fewer means ask again.
    ///
    /// # Errors
    ///
    /// Any that the system has; the kinds `StorageFull`, `QuotaExceeded` and `FileTooLarge` mean that
    /// there is no space.
    fn write_at(&mut self, name: &str, at: u64, octets: &[u8]) -> io::Result<usize>;

    /// Cuts a file.
    ///
    /// # Errors
    ///
    /// Any that the system has.
    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()>;

    /// Brings the octets and the length of a file to stable storage.
    ///
    /// # Errors
    ///
    /// Any that the system has. What was written since the last success may then be lost even if a
    /// later call succeeds.
    fn sync(&mut self, name: &str) -> io::Result<()>;

    /// Brings the names of the files to stable storage.
    ///
    /// # Errors
    ///
    /// Any that the system has.
    fn sync_names(&mut self) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// `NotFound`, or any that the system has.
    fn remove(&mut self, name: &str) -> io::Result<()>;

    /// Returns how many octets may still be written.
    ///
    /// # Errors
    ///
    /// Any that the system has.
    fn free(&mut self) -> io::Result<u64>;
}

/// Tells a disk that is full from one that is broken.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
