//! gRPC between agents, coordinator and command line: who speaks, how that is known, and what
//! each may call.
//!
//! ```text
//!  Coordinator ──connect──▶ Link ─────TLS 1.3──────▶ AgentListener ──▶ Access ─▶ EnrolmentService
//!   (by pin, or by what      │  Channel, Exporter        │  Caller                AgentService
//!    is trusted already)     │                           │
//!                            └────────────────────▶ OperatorListener ─▶ Access ─▶ OperatorService
//!                                                        (TLS or a unix socket)
//! ```
//!
//! - An [`Authority`] signs certificates of a day. The key that was enrolled is the identity, the
//!   certificate only its short form.
//! - An [`Invitation`] is one string with all that a newcomer needs: where, whom to trust, and a
//!   secret to be used once. The secret goes out only on a connection that proved the pin.
//! - A [`Proof`] shows on one connection that the caller holds a key.
//! - A [`Caller`] is who is at the other end of a connection, from the connection alone.
//! - [`access`] says who may call what.
//!
//! Messages are those of `wire`; answering them is the coordinator's. Start with
//! [`Authority::create`], [`AgentListener::serve`] and [`Coordinator::connect`]; the test
//! `tests/round_trip.rs` joins them.

pub mod access;
mod attempts;
mod authority;
mod codec;
mod connect;
mod crowd;
mod haste;
mod identity;
mod invitation;
mod key;
mod limited;
mod listen;
mod pace;
pub mod private_file;
mod proof;
mod services;
mod tls;
mod validity;

pub use attempts::Attempts;
pub use authority::{Authority, AuthorityError, Issued, Lives, ServerIdentity};
pub use connect::{ConnectError, Coordinator, IdentityError, Link, Trouble, Trust};
pub use identity::{Caller, Certified, Exporter, Kind, Name, NameError, Peer, Serial, TrustDomain};
pub use invitation::{HostPort, Invitation, JoinError, Secret, TokenId, TokenKey};
pub use key::{Key, KeyError, KeyHash, Pin, PublicKey};
pub use limited::HangUp;
pub use listen::{AgentListener, OperatorListener, ServeError, ServerTls, server_builder};
pub use private_file::FileError;
pub use proof::{BadProof, Proof, Purpose};
pub use services::{DESCRIPTORS, agent, agent_routes, operator, operator_routes};
pub use tls::{Credentials, TlsError};
