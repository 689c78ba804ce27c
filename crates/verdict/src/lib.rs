//! Joins reports into evidence, applies the findings, gives the verdict.
//!
//! ```text
//!  Report ─▶ Evidence ─▶ Picture ─▶ findings, three axes ─▶ state ─▶ Verdict
//! ```
//!
//! Everything here is a pure function of its arguments: equal evidence gives an equal verdict,
//! in whatever order its reports came.

mod evidence;
mod findings;
#[cfg(test)]
mod fixture;
pub mod picture;
pub mod rule;
mod serial;

pub use evidence::Evidence;
