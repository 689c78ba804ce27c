//! What is being done, on the terminal and while it is being done: [`Live`] is one line, [`Screen`]
//! as many as there are vantage points. Both are taken away at the end.

use std::{
    io::{IsTerminal as _, Write as _, stderr},
    time::Instant,
};

use bailiwick_probe::Progress;
use bailiwick_render::{fleet::live::Board, names::clean};
use terminal_size::{Height, Width, terminal_size_of};

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
        Self {
            on: is_wanted(verbose),
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

/// Whether anything is shown that comes and goes.
fn is_wanted(verbose: u8) -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    verbose == 0 && !dumb && stderr().is_terminal()
}

/// Several lines that are drawn over themselves. Without a terminal on standard error they are
/// never shown.
#[derive(Debug)]
pub(crate) struct Screen {
    on: bool,
    drawn: usize,
}

impl Screen {
    /// A log on the same terminal would be torn, so `verbose` turns it off.
    pub(crate) fn of_terminal(verbose: u8) -> Self {
        Self {
            on: is_wanted(verbose),
            drawn: 0,
        }
    }

    /// Shows a board where the last one was.
    pub(crate) fn draw(&mut self, board: &Board) {
        if self.on {
            let (Width(columns), Height(lines)) =
                terminal_size_of(stderr()).unwrap_or((Width(80), Height(24)));
            // The cursor stands below the last line, which must not scroll the first one away,
            // and a line that is full may wrap.
            let lines = board.lines(
                usize::from(lines.saturating_sub(1)).max(1),
                usize::from(columns.saturating_sub(1)).min(WIDTH),
            );
            let octets = frame(self.drawn, &lines);
            self.drawn = lines.len();
            // A terminal that is gone shows nothing, which is all that can be done.
            let _ = stderr().write_all(octets.as_bytes());
        }
    }

    /// Takes the lines away.
    pub(crate) fn clear(&mut self) {
        if self.drawn > 0 {
            let _ = stderr().write_all(frame(self.drawn, &[]).as_bytes());
            self.drawn = 0;
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Goes up over what was drawn, takes it away, and draws anew (ECMA-48: CUU, ED). One piece, so
/// that no half picture is seen.
fn frame(drawn: usize, lines: &[String]) -> String {
    let mut octets = match drawn {
        0 => String::new(),
        drawn => format!("\u{1b}[{drawn}A\r\u{1b}[J"),
    };
    for line in lines {
        octets.push_str(line);
        octets.push_str("\r\n");
    }
    octets
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

    /// A terminal that knows what is needed here.
    #[derive(Default)]
    struct Terminal {
        lines: Vec<String>,
        at: usize,
    }

    impl Terminal {
        fn write(&mut self, mut octets: &str) {
            while let Some(first) = octets.chars().next() {
                self.lines
                    .resize(self.lines.len().max(self.at + 1), String::new());
                if let Some(rest) = octets.strip_prefix("\u{1b}[J") {
                    self.lines.truncate(self.at);
                    octets = rest;
                } else if let Some(rest) = octets.strip_prefix("\u{1b}[") {
                    let (up, rest) = rest.split_once('A').expect("only CUU and ED are known");
                    let up: usize = up.parse().expect("a number");
                    self.at = self.at.checked_sub(up).expect("not beyond the top");
                    octets = rest;
                } else {
                    match first {
                        '\n' => self.at += 1,
                        '\r' => {}
                        other => self.lines[self.at].push(other),
                    }
                    octets = &octets[first.len_utf8()..];
                }
            }
        }

        fn shown(&self) -> Vec<&str> {
            let shown = self.lines.iter().map(String::as_str);
            shown.filter(|line| !line.is_empty()).collect()
        }
    }

    #[test]
    fn boards_are_drawn_over_each_other_and_taken_away() {
        let mut terminal = Terminal::default();
        terminal.write("$ bailiwick check\r\n");
        let boards: [&[&str]; 4] = [
            &["0 of 2", "a waiting", "b waiting"],
            &["1 of 2", "a reported", "b measuring"],
            &["2 of 2"],
            &["2 of 2", "a reported", "b reported", "c reported"],
        ];
        let mut drawn = 0;
        for board in boards {
            let lines: Vec<String> = board.iter().map(ToString::to_string).collect();
            terminal.write(&frame(drawn, &lines));
            drawn = lines.len();
            assert_eq!(terminal.shown(), [&["$ bailiwick check"], board].concat());
        }
        terminal.write(&frame(drawn, &[]));
        assert_eq!(terminal.shown(), ["$ bailiwick check"]);
    }

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
