//! Whole-system tests of Bailiwick, and the worlds they run in.
//!
//! [`internet`] makes an Internet of network namespaces with real DNS servers.

pub mod internet;
