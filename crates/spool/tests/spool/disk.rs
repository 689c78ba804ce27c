//! A disk in memory that keeps no promise which POSIX does not make.
//!
//! At a loss of power any part of what was not synced is lost or kept: each sector, each file's
//! length, each name on its own. Sectors have 512 octets, or, as no disk has, 64: then even short
//! writes are torn. A sync that fails forgets what it was to bring to
//! stable storage, and the next one succeeds, as with Linux.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    io::{self, ErrorKind},
    rc::Rc,
};

use bailiwick_spool::Disk;

use crate::random::Random;

/// Shared by a spool and the test that watches it.
#[derive(Clone, Debug)]
pub(crate) struct ModelDisk(Rc<RefCell<State>>);

#[derive(Clone, Debug)]
struct State {
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    name_changes: Vec<NameChange>,
    honest: Honest,
    /// Octets that it can hold.
    space: u64,
    /// Operations so far.
    operations: u64,
    fault: Option<Fault>,
    /// An octet of a file that cannot be read.
    bad: Option<(String, usize)>,
}

/// Which syncs do what they say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Honest {
    pub(crate) segments: bool,
    pub(crate) marks: bool,
    pub(crate) names: bool,
}

impl Honest {
    pub(crate) const ALL: Self = Self {
        segments: true,
        marks: true,
        names: true,
    };
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// The number of the first operation that fails.
    pub(crate) at: u64,
    pub(crate) kind: FaultKind,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FaultKind {
    /// Nothing works from here on.
    PowerOff,
    /// This one and all later ones that change something fail.
    ReadOnly,
    /// This operation fails.
    Broken,
    /// This write takes a part, or this operation fails for want of space.
    Short,
    /// This and the next few operations that need space fail.
    Full,
    /// This write takes a half, and nothing more fits from then on, but over what is there.
    HalfThenFull,
}

#[derive(Clone, Debug, Default)]
struct File {
    now: Vec<u8>,
    durable: Vec<u8>,
    changes: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, octets: Vec<u8> },
    Cut(usize),
}

#[derive(Clone, Debug)]
enum NameChange {
    Add(String, usize),
    Remove(String),
}

/// What an operation does to the disk.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Kind {
    Read,
    Grow,
    Sync,
    Other,
}

impl ModelDisk {
    pub(crate) fn new(honest: Honest, space: u64) -> Self {
        Self(Rc::new(RefCell::new(State {
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            name_changes: Vec::new(),
            honest,
            space,
            operations: 0,
            fault: None,
            bad: None,
        })))
    }

    /// Makes an operation fail that comes after so many others.
    pub(crate) fn fail(&self, after: u64, kind: FaultKind) {
        let mut state = self.0.borrow_mut();
        let at = state.operations + after;
        state.fault = Some(Fault { at, kind });
    }

    /// Ends the fault.
    pub(crate) fn heal(&self) {
        self.0.borrow_mut().fault = None;
    }

    /// Whether the fault has begun.
    pub(crate) fn has_failed(&self) -> bool {
        let state = self.0.borrow();
        state.fault.is_some_and(|fault| fault.at < state.operations)
    }

    /// From now on an octet cannot be read.
    pub(crate) fn spoil(&self, name: &str, at: usize) {
        self.0.borrow_mut().bad = Some((name.to_owned(), at));
    }

    pub(crate) fn operations(&self) -> u64 {
        self.0.borrow().operations
    }

    /// Another disk with the same content.
    pub(crate) fn copy(&self) -> Self {
        Self(Rc::new(RefCell::new(self.0.borrow().clone())))
    }

    /// Returns the names of all segments.
    pub(crate) fn segments(&self) -> Vec<String> {
        let names = self.0.borrow().names.clone();
        names
            .into_keys()
            .filter(|name| name.contains('-'))
            .collect()
    }

    pub(crate) fn content(&self, name: &str) -> Vec<u8> {
        let state = self.0.borrow();
        state.files[state.names[name]].now.clone()
    }

    /// Changes a file behind the spool's back.
    pub(crate) fn tamper(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.borrow_mut();
        let file = state.names[name];
        let file = &mut state.files[file];
        change(&mut file.now);
        file.durable = file.now.clone();
        file.changes.clear();
    }

    /// The power goes and comes back.
    pub(crate) fn crash(&self, random: &mut Random) {
        let mut state = self.0.borrow_mut();
        // Some crashes lose all, some nothing, most a part.
        let kept = [0, 10, 50, 90, 100][random.index(5)];
        let sector = [64, 512][random.index(2)];
        let State {
            files,
            names,
            durable_names,
            name_changes,
            ..
        } = &mut *state;
        for file in files.iter_mut() {
            file.crash(kept, sector, random);
        }
        for change in name_changes.drain(..) {
            if !random.percent(kept) {
                continue;
            }
            match change {
                NameChange::Add(name, file) => durable_names.insert(name, file),
                NameChange::Remove(name) => durable_names.remove(&name),
            };
        }
        *names = durable_names.clone();
        let named: BTreeSet<usize> = names.values().copied().collect();
        for (number, file) in files.iter_mut().enumerate() {
            if !named.contains(&number) {
                *file = File::default();
            }
        }
        state.fault = None;
    }
}

impl File {
    fn crash(&mut self, kept: u64, sector: usize, random: &mut Random) {
        let mut content = std::mem::take(&mut self.durable);
        for change in self.changes.drain(..) {
            match change {
                Change::Cut(length) if random.percent(kept) => content.resize(length, 0),
                Change::Cut(_) => {}
                Change::Write { at, octets } => {
                    let mut from = 0;
                    while from < octets.len() {
                        let to = octets.len().min(from + sector - (at + from) % sector);
                        if random.percent(kept) {
                            put(&mut content, at + from, &octets[from..to]);
                        } else if at + to > content.len() && random.percent(kept / 2) {
                            // The length arrived and the octets did not.
                            let junk = if random.percent(50) {
                                vec![0; to - from]
                            } else {
                                random.octets(to - from)
                            };
                            put(&mut content, at + from, &junk);
                        }
                        from = to;
                    }
                }
            }
        }
        self.now = content.clone();
        self.durable = content;
    }
}

impl Change {
    fn apply(self, content: &mut Vec<u8>) {
        match self {
            Self::Write { at, octets } => put(content, at, &octets),
            Self::Cut(length) => content.resize(length, 0),
        }
    }
}

fn put(content: &mut Vec<u8>, at: usize, octets: &[u8]) {
    let end = at + octets.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[at..end].copy_from_slice(octets);
}

impl State {
    /// Counts an operation and fails if it is to. A part of a write may be done all the same.
    fn operate(&mut self, kind: Kind) -> Result<bool, io::Error> {
        let number = self.operations;
        self.operations += 1;
        let Some(fault) = self.fault.filter(|fault| fault.at <= number) else {
            return Ok(true);
        };
        let first = fault.at == number;
        match fault.kind {
            FaultKind::PowerOff => Err(ErrorKind::Other.into()),
            FaultKind::ReadOnly if kind == Kind::Read => Ok(true),
            FaultKind::ReadOnly => Err(ErrorKind::ReadOnlyFilesystem.into()),
            FaultKind::Broken if first => Err(ErrorKind::Other.into()),
            FaultKind::Short if first && kind == Kind::Grow => Ok(false),
            FaultKind::HalfThenFull if first && kind == Kind::Grow => {
                self.space = 0;
                Ok(false)
            }
            FaultKind::Full if number < fault.at + 3 && kind == Kind::Grow => {
                Err(ErrorKind::StorageFull.into())
            }
            _ => Ok(true),
        }
    }

    fn used(&self) -> u64 {
        self.names
            .values()
            .map(|file| self.files[*file].now.len() as u64)
            .sum()
    }

    fn file(&mut self, name: &str) -> io::Result<&mut File> {
        let file = *self.names.get(name).ok_or(ErrorKind::NotFound)?;
        Ok(&mut self.files[file])
    }
}

impl Disk for ModelDisk {
    fn list(&mut self) -> io::Result<Vec<String>> {
        let mut state = self.0.borrow_mut();
        state.operate(Kind::Read)?;
        Ok(state.names.keys().cloned().collect())
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        if !state.operate(Kind::Grow)? {
            return Err(ErrorKind::StorageFull.into());
        }
        if state.names.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let file = state.files.len();
        state.files.push(File::default());
        state.names.insert(name.to_owned(), file);
        state
            .name_changes
            .push(NameChange::Add(name.to_owned(), file));
        Ok(())
    }

    fn length(&mut self, name: &str) -> io::Result<u64> {
        let mut state = self.0.borrow_mut();
        state.operate(Kind::Read)?;
        Ok(state.file(name)?.now.len() as u64)
    }

    fn read_at(&mut self, name: &str, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut state = self.0.borrow_mut();
        state.operate(Kind::Read)?;
        let at = usize::try_from(at).unwrap();
        if let Some((bad, octet)) = &state.bad
            && bad == name
            && (at..at + into.len()).contains(octet)
        {
            return Err(ErrorKind::Other.into());
        }
        let content = &state.file(name)?.now;
        let rest = content.get(at..).unwrap_or_default();
        let length = rest.len().min(into.len());
        into[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn write_at(&mut self, name: &str, at: u64, octets: &[u8]) -> io::Result<usize> {
        let mut state = self.0.borrow_mut();
        let whole = state.operate(Kind::Grow)?;
        let at = usize::try_from(at).unwrap();
        let room = usize::try_from(state.space.saturating_sub(state.used())).unwrap();
        let length = state.file(name)?.now.len();
        // What is overwritten needs no space.
        let most = (length + room).saturating_sub(at);
        let wanted = if whole {
            octets.len()
        } else {
            octets.len() / 2
        };
        let taken = if whole { wanted.min(most) } else { wanted };
        if taken == 0 && !octets.is_empty() {
            return Err(ErrorKind::StorageFull.into());
        }
        let octets = octets[..taken].to_vec();
        let file = state.file(name)?;
        put(&mut file.now, at, &octets);
        file.changes.push(Change::Write { at, octets });
        Ok(taken)
    }

    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.operate(Kind::Other)?;
        let length = usize::try_from(length).unwrap();
        let file = state.file(name)?;
        file.now.resize(length, 0);
        file.changes.push(Change::Cut(length));
        Ok(())
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        let outcome = state.operate(Kind::Sync);
        let off = matches!(
            state.fault,
            Some(Fault {
                kind: FaultKind::PowerOff,
                ..
            })
        );
        let honest = if name.starts_with("marks") {
            state.honest.marks
        } else {
            state.honest.segments
        };
        let file = state.file(name)?;
        match outcome {
            Ok(_) if honest => {
                for change in file.changes.drain(..) {
                    change.apply(&mut file.durable);
                }
            }
            Err(_) if !off => file.changes.clear(),
            _ => {}
        }
        outcome.map(|_| ())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.operate(Kind::Sync)?;
        if state.honest.names {
            state.durable_names = state.names.clone();
            state.name_changes.clear();
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.operate(Kind::Other)?;
        state.names.remove(name).ok_or(ErrorKind::NotFound)?;
        state.name_changes.push(NameChange::Remove(name.to_owned()));
        Ok(())
    }

    fn free(&mut self) -> io::Result<u64> {
        let mut state = self.0.borrow_mut();
        state.operate(Kind::Read)?;
        Ok(state.space.saturating_sub(state.used()))
    }
}
