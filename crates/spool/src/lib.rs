//! Keeping an agent's reports on disk until they are acknowledged.
//!
//! ```text
//!  append ─▶ pending ─sync─▶ spooled ─next─▶ (sent) ─acknowledge─▶ gone
//!                │              │
//!                │              └─ disk full, record damaged ─▶ gap
//!                └─ disk broken ─▶ memory only ─ memory full ──▶ gap
//! ```
//!
//! What [`Spool::append`] was given is delivered by [`Spool::next`] or counted in a [`Gap`], until
//! [`Spool::acknowledge`] ends both. A report counts as *spooled*, that is, as one that outlives
//! the program and a loss of power, once [`Spool::sync`] has returned and the state is still
//! [`State::Durable`].
//!
//! A spool has no thread and no clock, and draws no random number: moments and the epoch come in
//! as arguments, and all file access goes through [`Disk`]. Calls take as long as the disk does.
//! Payloads are octets; what they mean is not the spool's business.
//!
//! # The files
//!
//! ```text
//!  00000007-5be0cd19137e2179.change      segments: append only, one epoch and one worth each
//!  00000008-5be0cd19137e2179.routine
//!  00000009-5be0cd19137e2179.unchanged
//!  marks.0, marks.1                      of each lane of each epoch: acknowledged through, given
//!                                        out through; written in turn, in space reserved at start
//! ```
//!
//! 1. A segment and its directory entry are on stable storage before a report in it counts.
//! 2. Marks are on stable storage before a segment is removed, and the removal is before anything
//!    is forgotten. So a segment that comes back after a crash is known to be done with.
//! 3. A gap is what is missing between the two marks. It needs no record of its own, so a full
//!    disk can always tell what it had to drop.
//! 4. Each opening has an epoch of its own. A sequence number whose report was lost with memory, or
//!    damaged at the end of a segment, is never given to another report.
//! 5. Nothing found on the disk is an error: what cannot be read is skipped and becomes a gap.
//!
//! Read [`Spool`] first.

mod acknowledge;
mod directory;
mod disk;
mod epoch;
mod marks;
mod memory;
mod open;
mod read;
mod record;
mod segment;
mod spool;
mod sync;
mod worth;

pub use directory::{Directory, DirectoryError};
pub use disk::Disk;
pub use epoch::Gap;
pub use open::{Damage, Opened};
pub use read::{Entry, Stored};
pub use spool::{Group, Settings, Spool, State, TooLarge};
pub use sync::{Step, Trouble};
pub use worth::Value;
