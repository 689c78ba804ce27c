//! A check while it runs: one row for each vantage point, filling in.
//!
//! A [`Board`] learns what the coordinator tells and is drawn as lines that fit the terminal, so
//! that they can be drawn again over themselves. Nothing here writes anything.

use std::{collections::BTreeMap, time::Duration};

use super::milliseconds;
use crate::{
    layout::{columns_of, cut},
    names::clean,
    words::count,
};

/// The most rows that are kept. More than a coordinator asks.
const MOST: usize = 1024;

/// How far a vantage point has come.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Stage {
    /// It measures.
    Measuring,
    /// It was asked.
    #[default]
    Waiting,
    /// Nothing came before the round was closed.
    Missing,
    /// Its report is here.
    Reported,
}

impl Stage {
    fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Measuring => "measuring",
            Self::Missing => "missing",
            Self::Reported => "reported",
        }
    }
}

/// What is known of one vantage point while a check runs.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Row {
    /// As enrolled.
    pub name: String,
    /// Network and region.
    pub place: String,
    /// How far it has come.
    pub stage: Stage,
    /// Questions that it asked.
    pub asked: u32,
    /// Those of them that were answered.
    pub answered: u32,
    /// Since the check began.
    pub elapsed: Duration,
    /// What it is doing.
    pub line: String,
}

/// The vantage points of a check.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Board {
    rows: BTreeMap<String, Row>,
    left_out: Vec<String>,
}

impl Board {
    /// Learns who is asked, and why others are not.
    pub fn begin(&mut self, rows: impl IntoIterator<Item = Row>, left_out: Vec<String>) {
        rows.into_iter().for_each(|row| self.learn(row));
        self.left_out = left_out;
        self.left_out.truncate(MOST);
    }

    /// Learns how far one vantage point has come. Where it stands is told once.
    pub fn learn(&mut self, mut row: Row) {
        let known = self.rows.get(&row.name);
        if known.is_none() && self.rows.len() >= MOST {
            return;
        }
        if let Some(known) = known.filter(|_| row.place.is_empty()) {
            row.place.clone_from(&known.place);
        }
        self.rows.insert(row.name.clone(), row);
    }

    /// Returns how many vantage points have reported, and how many were asked.
    #[must_use]
    pub fn reported(&self) -> (usize, usize) {
        let reported = |row: &&Row| row.stage == Stage::Reported;
        (self.rows.values().filter(reported).count(), self.rows.len())
    }

    /// Draws the board in at most so many lines of at most so many columns. Who is not yet done
    /// comes first if not all have room.
    #[must_use]
    pub fn lines(&self, lines: usize, columns: usize) -> Vec<String> {
        let (reported, asked) = self.reported();
        let title = format!("{reported} of {} reported", count(asked, "vantage point"));
        let mut drawn = vec![fit(&title, columns)];
        let left_out: Vec<String> = self
            .left_out
            .iter()
            .map(|line| fit(&format!("left out: {}", clean(line)), columns))
            .collect();
        let room = lines.saturating_sub(1 + left_out.len()).max(1);
        let mut rows: Vec<&Row> = self.rows.values().collect();
        let hidden = rows.len().saturating_sub(room);
        if hidden > 0 {
            // Sorting is stable, so names stay in their order.
            rows.sort_by_key(|row| row.stage);
            rows.truncate(room.saturating_sub(1));
        }
        let widths = Widths::of(&rows);
        drawn.extend(rows.iter().map(|row| widths.draw(row, columns)));
        if hidden > 0 {
            drawn.push(fit(&format!("and {} more", asked - rows.len()), columns));
        }
        drawn.extend(left_out);
        drawn.truncate(lines.max(1));
        drawn
    }

    /// Draws the whole board, however many lines it takes.
    #[must_use]
    pub fn all(&self, columns: usize) -> Vec<String> {
        self.lines(usize::MAX, columns)
    }
}

/// Draws one vantage point for a log: a line that needs no other to be understood.
#[must_use]
pub fn line(row: &Row) -> String {
    let what = match clean(&row.line) {
        text if text.is_empty() => String::new(),
        text => format!(", {text}"),
    };
    format!(
        "{} {}: {} of {} answered, {}{what}",
        clean(&row.name),
        row.stage.word(),
        row.answered,
        row.asked,
        milliseconds(row.elapsed),
    )
}

/// How wide the columns of a board are.
struct Widths {
    name: usize,
    place: usize,
    counts: usize,
}

impl Widths {
    fn of(rows: &[&Row]) -> Self {
        let widest = |text: fn(&Row) -> String, most: usize| {
            let widths = rows.iter().map(|row| columns_of(&text(row)));
            widths.max().unwrap_or(0).min(most)
        };
        Self {
            name: widest(|row| clean(&row.name), 16),
            place: widest(|row| clean(&row.place), 18),
            counts: widest(counts, 9),
        }
    }

    fn draw(&self, row: &Row, columns: usize) -> String {
        let time = match row.stage {
            Stage::Waiting => String::new(),
            _ => milliseconds(row.elapsed),
        };
        let line = format!(
            "{}  {}  {:<9}  {:>counts$}  {time:>8}  {}",
            pad(&clean(&row.name), self.name),
            pad(&clean(&row.place), self.place),
            row.stage.word(),
            counts(row),
            clean(&row.line),
            counts = self.counts,
        );
        fit(&line, columns)
    }
}

fn counts(row: &Row) -> String {
    match row.asked {
        0 => String::new(),
        asked => format!("{}/{asked}", row.answered),
    }
}

/// A text in exactly so many columns.
fn pad(text: &str, columns: usize) -> String {
    let mut text = fit(text, columns);
    let missing = columns.saturating_sub(columns_of(&text));
    text.extend(std::iter::repeat_n(' ', missing));
    text
}

/// A text in at most so many columns, without blanks at its end.
fn fit(text: &str, columns: usize) -> String {
    if columns_of(text) <= columns {
        return text.trim_end().to_owned();
    }
    let Some(room) = columns.checked_sub(1) else {
        return String::new();
    };
    // At least one character is cut off, and that may be too wide already.
    let kept = Some(&text[..cut(text, room)]).filter(|kept| columns_of(kept) <= room);
    format!("{}\u{2026}", kept.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, stage: Stage) -> Row {
        Row {
            name: name.to_owned(),
            place: "AS64500 ripe".to_owned(),
            stage,
            asked: 140,
            answered: 99,
            elapsed: Duration::from_millis(312),
            line: "asking the servers of com.".to_owned(),
        }
    }

    #[test]
    fn rows_fill_in_and_keep_their_order() {
        let mut board = Board::default();
        let waiting = |name: &str| Row {
            name: name.to_owned(),
            place: "AS64500 ripe".to_owned(),
            ..Row::default()
        };
        board.begin(
            ["nyc-1", "fra-1"].map(waiting),
            vec!["syd-1: not connected".to_owned()],
        );
        assert_eq!(
            board.all(80),
            [
                "0 of 2 vantage points reported",
                "fra-1  AS64500 ripe  waiting",
                "nyc-1  AS64500 ripe  waiting",
                "left out: syd-1: not connected",
            ]
        );
        board.learn(Row {
            place: String::new(),
            ..row("nyc-1", Stage::Measuring)
        });
        board.learn(Row {
            line: String::new(),
            ..row("fra-1", Stage::Reported)
        });
        assert_eq!(
            board.all(80)[..3],
            [
                "1 of 2 vantage points reported",
                "fra-1  AS64500 ripe  reported   99/140    312 ms",
                "nyc-1  AS64500 ripe  measuring  99/140    312 ms  asking the servers of com.",
            ]
        );
    }

    #[test]
    fn a_board_never_grows_beyond_its_terminal() {
        let mut board = Board::default();
        let names: Vec<String> = (0..60).map(|n| format!("agent-{n:02}")).collect();
        let stage = |n: usize| match n % 3 {
            0 => Stage::Reported,
            1 => Stage::Measuring,
            _ => Stage::Waiting,
        };
        let rows = names.iter().enumerate().map(|(n, name)| Row {
            line: format!("\u{1b}[2J{}\u{4e2d}\u{6587}", "x".repeat(n)),
            ..row(name, stage(n))
        });
        board.begin(rows, vec!["y".repeat(300); 2]);
        for (lines, columns) in [(24, 80), (10, 40), (4, 20), (1, 1)] {
            let drawn = board.lines(lines, columns);
            assert!(drawn.len() <= lines, "{lines}: {drawn:#?}");
            for line in &drawn {
                assert!(columns_of(line) <= columns, "{columns}: {line:?}");
                assert!(!line.contains('\u{1b}'), "{line:?}");
            }
        }
        let drawn = board.lines(24, 80);
        assert!(drawn[1].starts_with("agent-01"), "who measures comes first");
        assert_eq!(drawn[21], "and 40 more");
        assert_eq!(board.all(80).len(), 63);
    }

    #[test]
    fn a_coordinator_cannot_make_the_board_grow_without_end() {
        let mut board = Board::default();
        (0..2 * MOST).for_each(|n| board.learn(row(&n.to_string(), Stage::Waiting)));
        assert_eq!(board.reported(), (0, MOST));
    }

    #[test]
    fn a_line_of_a_log_stands_alone() {
        assert_eq!(
            line(&row("fra-1\n", Stage::Measuring)),
            "fra-1\\010 measuring: 99 of 140 answered, 312 ms, asking the servers of com."
        );
    }
}
