//! Turns what was found out into what people and scripts read.
//!
//! Pure: values in, one `String` out. Nothing here decides; the verdict is
//! taken as it is, down to its order.
//!
//! - [`text`]: the verdict as a page for a terminal, culprit first
//! - [`json`]: the versioned objects of the folder `schemas`
//! - [`nagios`]: one line with performance data
//! - [`dig`]: the `dig` line that repeats an observation
//! - [`trace`], [`tree`], [`glue`], [`explain`]: the other commands
//! - [`fleet`]: what operators see of a coordinator and its agents
//!
//! Whatever came over the network is printed so that no terminal, shell or
//! parser can be misled: names with the escapes of RFC 1035, section 5.1, and
//! every other text without control characters. Read `layout.rs` for how a
//! page is kept within its width.

use bailiwick_core::{report::Report, verdict::Verdict};

pub mod dig;
pub mod explain;
pub mod fleet;
pub mod glue;
pub mod json;
mod layout;
pub mod nagios;
pub mod names;
pub mod text;
pub mod trace;
pub mod tree;
mod words;

pub use explain::Explanation;
pub use layout::Style;

/// A verdict, what it rests on, and how it is to be shown.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// The verdict.
    pub verdict: &'a Verdict,
    /// The reports that it was computed from; evidence is looked up in them.
    pub reports: &'a [Report],
    /// Colours and width of a text.
    pub style: Style,
    /// Whether rows that say the same are all shown.
    pub full: bool,
    /// Whether JSON carries the octets of the answers.
    pub raw: bool,
    /// The port that was asked, for lines that repeat an observation.
    pub port: u16,
}

/// One way to show a verdict.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// What people call it on the command line.
    pub name: &'static str,
    /// The function that does it.
    pub render: fn(&Page<'_>) -> String,
}

/// All ways to show a verdict.
pub const FORMATS: &[Format] = &[
    Format {
        name: "text",
        render: text::check,
    },
    Format {
        name: "json",
        render: json::check,
    },
    Format {
        name: "nagios",
        render: nagios::check,
    },
    Format {
        name: "dig",
        render: dig::check,
    },
];

/// Shows a verdict in the format of that name; `None` if there is no such format.
#[must_use]
pub fn show(format: &str, page: &Page<'_>) -> Option<String> {
    let format = FORMATS.iter().find(|known| known.name == format)?;
    Some((format.render)(page))
}
