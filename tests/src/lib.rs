//! Whole-system tests of Bailiwick, and the worlds they run in.
//!
//! [`internet`] makes an Internet of network namespaces with real DNS servers.
//! [`fleet`] is a coordinator with agents that play what they are told.
//! [`load`] is very many agents against one coordinator.
//! [`hostile`] makes zones of people who mean harm, and runs programs against them.

pub mod fleet;
pub mod hostile;
pub mod internet;
pub mod load;
pub mod programs;
