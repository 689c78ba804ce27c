//! The vocabulary that every other crate speaks.
//!
//! Values only: no socket, no clock, no random number, no serialisation. Equal
//! inputs compare equal and sort the same everywhere, so whatever is computed
//! from them is the same byte for byte. Words are those of RFC 9499.
//!
//! In reading order:
//!
//! - [`name`] and [`record`]: what DNS data is made of
//! - [`message`]: one message, as far as a checker of delegations needs it
//! - [`server`] and [`query`]: whom one asks, and what
//! - [`observation`]: what came of it; failures of the network included
//! - [`delegation`]: a referral read as NS names and glue
//! - [`check`] and [`limit`]: what somebody wants to know, and at what price at most
//! - [`vantage`] and [`report`]: what one vantage point saw of it
//! - [`place`]: where that one stands, by the word of its coordinator
//! - [`finding`] and [`verdict`]: what it means
//! - [`trace`]: the answer a resolver with an empty cache would give
//! - [`time`] keeps moments

pub mod check;
pub mod delegation;
pub mod finding;
pub mod limit;
pub mod message;
pub mod name;
pub mod observation;
pub mod place;
pub mod query;
pub mod record;
pub mod report;
pub mod server;
pub mod time;
pub mod trace;
pub mod vantage;
pub mod verdict;
