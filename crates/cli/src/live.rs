//! One line on the terminal that says what is being done, while it is being done.

use std::{
    io::{IsTerminal as _, Write as _, stderr},
    time::Instant,
};

use bailiwick_probe::Progress;
use bailiwick_render::names::clean;

/// Columns that the line may take, so that it never wraps.
const WIDTH: usize = 78;

/// The line. Without a terminal on standard error it is never shown.
#[derive(Debug)]
pub(crate) struct Live {
    on: bool,
    shown: bool,
    began: Instant,
}

impl Live {
    /// Begins now. A log on the same terminal would be torn, so `verbose` turns it off.
    pub(crate) fn new(verbose: u8) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            on: verbose == 0 && !dumb && stderr().is_terminal(),
            shown: false,
            began: Instant::now(),
        }
    }

    /// Shows how far a machine has come.
    pub(crate) fn show(&mut self, progress: &Progress) {
        if self.on {
            let line = line(progress, self.began.elapsed().as_secs_f64());
            // A terminal that is gone shows nothing, which is all that can be done.
            let _ = write!(stderr(), "\r\u{1b}[2K{line}");
            self.shown = true;
        }
    }

    /// Takes the line away.
    pub(crate) fn clear(&mut self) {
        if self.shown {
            let _ = write!(stderr(), "\r\u{1b}[2K");
            self.shown = false;
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.clear();
    }
}

fn line(progress: &Progress, seconds: f64) -> String {
    let counts = format!(
        "  {} of {} answered, {seconds:.1} s",
        progress.answered, progress.asked
    );
    let room = WIDTH - counts.len().min(WIDTH);
    let what: String = clean(&progress.line).chars().take(room).collect();
    what + &counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_never_wraps_and_hides_nothing_in_it() {
        let progress = Progress {
            zone: "example.com".parse().unwrap(),
            line: format!("asking the servers of \u{1b}[2J{}", "x".repeat(300)),
            asked: 140,
            answered: 99,
        };
        let line = line(&progress, 1.25);
        assert!(line.chars().count() <= WIDTH);
        assert!(!line.contains('\u{1b}'));
        assert!(line.ends_with("  99 of 140 answered, 1.2 s"));
    }
}
