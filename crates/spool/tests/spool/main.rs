//! What a spool promises, and what happens to the promises when the program is killed, the power
//! goes, the disk lies, fills up or breaks.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod crashes;
mod damage;
mod disk;
mod faults;
mod full;
mod kill;
mod random;
mod small;
mod stories;

/// How often a test repeats: what the variable says, or what fits an ordinary run.
fn rounds(variable: &str, ordinary: u64) -> u64 {
    std::env::var(variable).map_or(ordinary, |value| {
        value
            .parse()
            .expect("a number of rounds in the environment")
    })
}
