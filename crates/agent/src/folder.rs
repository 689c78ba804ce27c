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

pub(crate) use bailiwick_rpc::private_file::{
    check, folder as make, read_if_there as read, remove, write,
};

pub(crate) const SETTINGS: &str = "agent.toml";
pub(crate) const KEY: &str = "agent.key";
pub(crate) const JOINING: &str = "joining";
pub(crate) const IDENTITY: &str = "identity.toml";
pub(crate) const PLAN: &str = "plan";
pub(crate) const SPOOL: &str = "spool";
