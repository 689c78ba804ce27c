//! The exchange of the root: the one that signs, and another that is believed beside it.
//!
//! Everybody must believe a root before anything is signed below it. So there are two for a while,
//! and both are named in every session, in the `Welcome` and with every certificate:
//!
//! ```text
//!              authority      authority-beside
//!  add         old signs      new is believed         agents and operators learn of it
//!  switch      new signs      old is believed         certificates below the old one run out
//!  drop        new signs                              the old one is believed no more
//! ```
//!
//! A step takes effect when the coordinator starts. Each is one rename, so that whatever interrupts
//! it, the folder is as it was before or as it is after; and `switch` goes back as well.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use bailiwick_core::time::Timestamp;
use bailiwick_rpc::{Authority, AuthorityError, FileError, Pin, private_file};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::clock;

const AUTHORITY: &str = "authority";
const BESIDE: &str = "authority-beside";
/// Under this name the other one is made.
const DRAFT: &str = "authority-draft";
/// Since when it is named in every session, in microseconds since 1970.
const TOLD: &str = "told";
/// The largest such file, in octets.
const LARGEST: u64 = 64;

/// Why roots cannot be exchanged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RootsError {
    /// An authority cannot be made or read.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A folder cannot be moved.
    #[error("cannot move {}: {source}", path.display())]
    Move {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There are two already.
    #[error("another root is believed already: switch to it, or drop it")]
    Two,
    /// There is one only.
    #[error("there is no other root: add one first")]
    One,
}

/// The authorities in the folder of a coordinator.
#[derive(Clone, Debug)]
pub(crate) struct Roots {
    authority: PathBuf,
    beside: PathBuf,
    draft: PathBuf,
}

impl Roots {
    pub(crate) fn of(folder: &Path) -> Self {
        let [authority, beside, draft] = [AUTHORITY, BESIDE, DRAFT].map(|name| folder.join(name));
        Self {
            authority,
            beside,
            draft,
        }
    }

    /// Where the one is that signs.
    pub(crate) fn authority(&self) -> &Path {
        &self.authority
    }

    /// Reads the one that signs; the other one is believed with it.
    pub(crate) fn load(&self) -> Result<Authority, RootsError> {
        let authority = Authority::load(&self.authority)?;
        Ok(match self.other()? {
            Some(other) => authority.beside(other.root().clone()),
            None => authority,
        })
    }

    /// The one that is believed beside it.
    pub(crate) fn other(&self) -> Result<Option<Authority>, RootsError> {
        match self.beside.exists() {
            true => Ok(Some(Authority::load(&self.beside)?)),
            false => Ok(None),
        }
    }

    /// Makes another one, to be believed from the next start on.
    pub(crate) fn add(&self, now: SystemTime) -> Result<Pin, RootsError> {
        if self.beside.exists() {
            return Err(RootsError::Two);
        }
        let signs = Authority::load(&self.authority)?;
        // Of an attempt that was interrupted.
        let _ = fs::remove_dir_all(&self.draft);
        let other = Authority::create(signs.trust_domain().clone(), now)?;
        other.save(&self.draft)?;
        fs::rename(&self.draft, &self.beside).map_err(moved(&self.beside))?;
        Ok(other.pin())
    }

    /// Notes that everybody is told of both from now on, if that is not noted yet.
    pub(crate) fn tell(&self) -> Result<(), RootsError> {
        if self.beside.exists() && self.told()?.is_none() {
            let now = clock::now().0.to_string();
            private_file::write(&self.beside.join(TOLD), now.as_bytes())?;
        }
        Ok(())
    }

    /// Since when everybody is told of both.
    pub(crate) fn told(&self) -> Result<Option<Timestamp>, RootsError> {
        let kept = private_file::read_if_there(&self.beside.join(TOLD), LARGEST)?;
        let text = kept.and_then(|octets| String::from_utf8(octets).ok());
        Ok(text
            .and_then(|text| text.trim().parse().ok())
            .map(Timestamp))
    }

    /// Lets the other one sign from the next start on. Both are believed still.
    pub(crate) fn switch(&self, now: SystemTime) -> Result<Pin, RootsError> {
        let mut other = self.other()?.ok_or(RootsError::One)?;
        // It may have waited for long.
        if other.renew_issuing_in_time(now)? {
            other.save(&self.beside)?;
        }
        // Since when it was told beside the other one says nothing of the next time.
        let _ = fs::remove_file(self.authority.join(TOLD));
        renameat2(
            AT_FDCWD,
            &self.beside,
            AT_FDCWD,
            &self.authority,
            RenameFlags::RENAME_EXCHANGE,
        )
        .map_err(|error| moved(&self.beside)(error.into()))?;
        Ok(other.pin())
    }

    /// Lets the other one be believed no more, from the next start on. Its keys are deleted.
    pub(crate) fn drop(&self) -> Result<Pin, RootsError> {
        let other = self.other()?.ok_or(RootsError::One)?;
        let _ = fs::remove_dir_all(&self.draft);
        fs::rename(&self.beside, &self.draft).map_err(moved(&self.beside))?;
        fs::remove_dir_all(&self.draft).map_err(moved(&self.draft))?;
        Ok(other.pin())
    }
}

fn moved(path: &Path) -> impl FnOnce(io::Error) -> RootsError {
    let path = path.to_owned();
    move |source| RootsError::Move { path, source }
}

#[cfg(test)]
mod tests {
    use bailiwick_rpc::TrustDomain;

    use super::*;

    #[test]
    fn a_root_is_believed_signs_and_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let roots = Roots::of(folder.path());
        let now = SystemTime::now();
        let first = Authority::create(TrustDomain::default(), now).unwrap();
        first.save(roots.authority()).unwrap();
        let known = || {
            let known = roots.load().unwrap();
            (known.pin(), known.roots().len())
        };
        assert!(matches!(roots.switch(now), Err(RootsError::One)));
        assert!(matches!(roots.drop(), Err(RootsError::One)));
        // An attempt before was interrupted.
        fs::create_dir(&roots.draft).unwrap();
        fs::write(roots.draft.join("root.pem"), "half").unwrap();
        assert_eq!(known(), (first.pin(), 1));
        let second = roots.add(now).unwrap();
        assert!(matches!(roots.add(now), Err(RootsError::Two)));
        assert_eq!(known(), (first.pin(), 2));

        assert_eq!(roots.told().unwrap(), None);
        roots.tell().unwrap();
        let told = roots.told().unwrap();
        assert!(told.is_some());
        roots.tell().unwrap();
        assert_eq!(roots.told().unwrap(), told, "since the first time");

        // There, back and there again, and each time it has to be told anew.
        for signs in [second, first.pin(), second] {
            assert_eq!(roots.switch(now).unwrap(), signs);
            assert_eq!(known(), (signs, 2));
            assert_eq!(roots.told().unwrap(), None);
            roots.tell().unwrap();
        }
        assert_eq!(roots.drop().unwrap(), first.pin());
        assert_eq!(known(), (second, 1));
        assert!(!roots.draft.exists(), "with its keys");
    }

    #[test]
    fn an_authority_that_waited_for_long_can_sign() {
        let folder = tempfile::tempdir().unwrap();
        let roots = Roots::of(folder.path());
        let year = std::time::Duration::from_hours(365 * 24);
        let then = SystemTime::now() - year;
        let first = Authority::create(TrustDomain::default(), then).unwrap();
        first.save(roots.authority()).unwrap();
        roots.add(then).unwrap();
        roots.switch(SystemTime::now()).unwrap();
        let ends = roots.load().unwrap().issuing_ends();
        assert!(ends > SystemTime::now() + year / 2);
    }
}
