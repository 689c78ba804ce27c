//! The simulated internet, and the demo that plays on it.
//!
//! One description of a world, two ways of running it. A [`Scenario`](scenario::Scenario) is read
//! from text and holds a [`World`](world::World): servers, zones, resolvers, and what goes wrong.
//! [`simulate`](simulate::simulate) lets a check run in it as a plain loop with no socket and no
//! waiting; [`loopback`] puts it on real UDP and TCP sockets of 127.0.0.0/8. In a world of
//! [`chance`] every answer is random: there only limits are tested.
//!
//! ```text
//!  scenario ──▶ world ──▶ respond ──┬─▶ network ─▶ simulate   (values only)
//!                          │        └─▶ loopback ─▶ demo       (sockets)
//!             authority, resolver
//! ```

mod asking;
pub mod authority;
pub mod chance;
pub mod defaults;
pub mod demo;
mod draft;
pub mod loopback;
pub mod network;
mod reader;
pub mod resolver;
pub mod respond;
pub mod scenario;
pub mod simulate;
mod words;
pub mod world;
pub mod zone;
