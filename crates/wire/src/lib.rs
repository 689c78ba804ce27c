//! Values to bytes and back.
//!
//! - [`dns`]: DNS messages. Queries are written here octet by octet, so that the
//!   transport knows what it sent; replies are read by `hickory-proto`.
//! - [`evidence`]: all that a verdict was computed from, as messages and as a file.
//! - [`report`]: reports, and what is to be found out, as protobuf messages.
//! - [`slot`]: when standing checks are due, and which round that is.
//! - [`proto`]: all protobuf messages, as generated.
//! - [`zone`]: records in master-file syntax.
//!
//! Nothing here opens a file or a socket, and nothing of foreign origin can
//! make it panic or allocate more than a small multiple of its own length.

pub mod dns;
pub mod evidence;
pub mod proto;
pub mod report;
pub mod slot;
pub mod zone;
