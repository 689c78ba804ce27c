//! Joins reports into evidence, applies the findings, gives the verdict.
//!
//! ```text
//!  Report ─▶ Evidence ─▶ Picture ─▶ findings, three axes ─▶ state ─▶ Verdict
//! ```
//!
//! Everything here is a pure function of its arguments: equal evidence gives an equal verdict,
//! in whatever order its reports came.

mod caches;
mod chain;
mod evidence;
mod findings;
#[cfg(test)]
mod fixture;
mod models;
pub mod picture;
mod publication;
mod reachability;
pub mod rule;
mod serial;
mod usable;
mod wording;

pub use evidence::Evidence;
