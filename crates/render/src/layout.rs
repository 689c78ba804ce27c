//! A page of text within a width: paragraphs, headings and tables.
//!
//! Every text that enters a [`Sheet`] is cleaned, so what is on it cannot
//! control a terminal. No line is longer than the width: paragraphs break
//! between words, and a cell too long for its column takes the rest of the line
//! and pushes what follows to the next one.

use crate::names::clean;

/// How a text may look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Style {
    /// Whether to use colours (SGR sequences).
    pub color: bool,
    /// The most columns that a line may have; less than 40 is taken as 40.
    pub width: usize,
}

impl Style {
    /// Without colours, 80 columns.
    pub const PLAIN: Self = Self {
        color: false,
        width: 80,
    };
}

impl Default for Style {
    fn default() -> Self {
        Self::PLAIN
    }
}

/// What a colour says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Paint {
    #[default]
    Plain,
    Good,
    Warn,
    Bad,
    Strong,
    Dim,
}

impl Paint {
    /// The SGR parameters.
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "32",
            Self::Warn => "33",
            Self::Bad => "1;31",
            Self::Strong => "1",
            Self::Dim => "2",
        }
    }
}

/// One cell of a table.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Cell {
    text: String,
    paint: Paint,
}

impl Cell {
    pub(crate) fn new(text: impl AsRef<str>) -> Self {
        Self {
            text: clean(text.as_ref()),
            paint: Paint::Plain,
        }
    }

    pub(crate) fn painted(text: impl AsRef<str>, paint: Paint) -> Self {
        Self {
            paint,
            ..Self::new(text)
        }
    }
}

/// One column of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    title: &'static str,
    right: bool,
    most: usize,
}

impl Column {
    pub(crate) const fn left(title: &'static str, most: usize) -> Self {
        Self {
            title,
            right: false,
            most,
        }
    }

    pub(crate) const fn right(title: &'static str, most: usize) -> Self {
        Self {
            title,
            right: true,
            most,
        }
    }
}

/// Columns between two cells.
const GAP: usize = 2;
/// With less room than this beside a row, its note goes below it.
const NARROW: usize = 32;

/// A page in the making.
#[derive(Debug)]
pub(crate) struct Sheet {
    style: Style,
    width: usize,
    out: String,
    line: String,
    at: usize,
}

impl Sheet {
    pub(crate) fn new(style: Style) -> Self {
        Self {
            style,
            width: style.width.max(40),
            out: String::new(),
            line: String::new(),
            at: 0,
        }
    }

    /// Returns the page.
    pub(crate) fn finish(mut self) -> String {
        self.flush();
        self.out
    }

    /// Leaves one line empty, but never two.
    pub(crate) fn blank(&mut self) {
        self.flush();
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }

    /// Begins a section: a title, and what it is about.
    pub(crate) fn heading(&mut self, title: &str, about: &str) {
        self.blank();
        self.pieces(0, title, Paint::Strong);
        if !about.is_empty() {
            let start = self.at + GAP;
            self.wrapped(start, 4, about, Paint::Plain);
        }
        self.flush();
    }

    /// Writes a paragraph. The first line begins with `lead`, the others `hang` columns in.
    pub(crate) fn paragraph(&mut self, lead: &str, hang: usize, text: &str, paint: Paint) {
        self.flush();
        let lead = clean(lead);
        self.put(&lead, Paint::Plain);
        let start = self.at;
        self.wrapped(start, hang, text, paint);
        self.flush();
    }

    /// Writes a line that starts with a label of a fixed width, as in `publication  PUBLISHED`.
    pub(crate) fn row(&mut self, cells: &[(usize, Cell)], rest: &str) {
        self.flush();
        let mut start = 2;
        for (width, cell) in cells {
            self.cell(start, &cell.text, cell.paint);
            start += width + GAP;
        }
        self.wrapped(start, start, rest, Paint::Plain);
        self.flush();
    }

    /// Writes a table whose last column is a note. A column without any content is left out.
    pub(crate) fn table(&mut self, indent: usize, columns: &[Column], rows: &[Vec<Cell>]) {
        let Some(note) = columns.len().checked_sub(1) else {
            return;
        };
        let used = |at: usize| {
            rows.iter()
                .any(|row| row.get(at).is_some_and(|c| !c.text.is_empty()))
        };
        let mut starts = Vec::new();
        let mut widths = Vec::new();
        let mut start = indent;
        for (at, column) in columns.iter().enumerate() {
            let natural = rows
                .iter()
                .filter_map(|row| row.get(at))
                .map(|cell| columns_of(&cell.text))
                .chain([columns_of(column.title)])
                .max()
                .unwrap_or(0);
            let width = if used(at) {
                natural.min(column.most)
            } else {
                0
            };
            starts.push(start);
            widths.push(width);
            start += if width > 0 { width + GAP } else { 0 };
        }
        let beside = self.width.saturating_sub(starts[note]) >= NARROW;
        for (at, column) in columns.iter().enumerate() {
            if used(at) && (at < note || beside) {
                let pad = if column.right {
                    widths[at].saturating_sub(columns_of(column.title))
                } else {
                    0
                };
                self.cell(starts[at] + pad, column.title, Paint::Dim);
            }
        }
        self.flush();
        for row in rows {
            for (at, cell) in row.iter().enumerate().take(note) {
                let pad = if columns[at].right {
                    widths[at].saturating_sub(columns_of(&cell.text))
                } else {
                    0
                };
                self.cell(starts[at] + pad, &cell.text, cell.paint);
            }
            if let Some(cell) = row.get(note).filter(|cell| !cell.text.is_empty()) {
                let (start, hang) = if beside {
                    (starts[note], starts[note])
                } else {
                    self.flush();
                    (indent + 4, indent + 4)
                };
                self.wrapped(start, hang, &cell.text, cell.paint);
            }
            self.flush();
        }
    }

    /// Writes a text at a column, on a new line if that column is taken.
    fn cell(&mut self, start: usize, text: &str, paint: Paint) {
        if text.is_empty() {
            return;
        }
        if self.at > 0 && self.at + GAP > start {
            self.flush();
        }
        self.pieces(start, text, paint);
    }

    /// Writes a text from a column on, broken where the width ends.
    fn pieces(&mut self, start: usize, text: &str, paint: Paint) {
        if text.is_empty() {
            return;
        }
        let start = start.min(self.width - 1);
        if self.at > start {
            self.flush();
        }
        self.pad(start);
        let mut rest = text;
        loop {
            let cut = cut(rest, self.width - start);
            self.put(&rest[..cut], paint);
            rest = &rest[cut..];
            if rest.is_empty() {
                return;
            }
            self.flush();
            self.pad(start);
        }
    }

    /// Writes words from a column on; further lines begin `hang` columns in.
    fn wrapped(&mut self, start: usize, hang: usize, text: &str, paint: Paint) {
        let text = clean(text);
        let mut column = start;
        let mut line = String::new();
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            let gap = usize::from(!line.is_empty());
            let fits = column + columns_of(&line) + gap + columns_of(word) <= self.width;
            if !fits && (!line.is_empty() || hang < column) {
                self.pieces(column, &line, paint);
                self.flush();
                line.clear();
                column = hang;
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.pieces(column, &line, paint);
    }

    fn pad(&mut self, to: usize) {
        while self.at < to {
            self.line.push(' ');
            self.at += 1;
        }
    }

    fn put(&mut self, text: &str, paint: Paint) {
        self.at += columns_of(text);
        if self.style.color && paint != Paint::Plain {
            self.line.push_str("\u{1b}[");
            self.line.push_str(paint.code());
            self.line.push('m');
            self.line.push_str(text);
            self.line.push_str("\u{1b}[0m");
        } else {
            self.line.push_str(text);
        }
    }

    fn flush(&mut self) {
        if self.at > 0 {
            self.out.push_str(self.line.trim_end());
            self.out.push('\n');
            self.line.clear();
            self.at = 0;
        }
    }
}

/// Returns how many columns of a terminal a text takes.
pub(crate) fn columns_of(text: &str) -> usize {
    text.chars().map(column_of).sum()
}

/// East Asian wide characters take two columns (Unicode Standard Annex 11). A combining mark
/// counts as one here, so a line can only be shorter than thought.
fn column_of(character: char) -> usize {
    match character {
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{a960}'..='\u{a97f}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

/// Returns how many octets of a text fit into so many columns; at least one character.
pub(crate) fn cut(text: &str, columns: usize) -> usize {
    let mut used = 0;
    for (at, character) in text.char_indices() {
        used += column_of(character);
        if used > columns && at > 0 {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet() -> Sheet {
        Sheet::new(Style {
            color: false,
            width: 40,
        })
    }

    #[test]
    fn a_paragraph_breaks_between_words_and_hangs() {
        let mut page = sheet();
        page.paragraph(
            "  1. ",
            5,
            "one two three four five six seven eight nine ten",
            Paint::Plain,
        );
        assert_eq!(
            page.finish(),
            "  1. one two three four five six seven\n     eight nine ten\n"
        );
    }

    #[test]
    fn a_word_longer_than_the_line_is_broken() {
        let mut page = sheet();
        page.paragraph("  ", 2, &"x".repeat(60), Paint::Plain);
        let lines: Vec<usize> = page.finish().lines().map(str::len).collect();
        assert_eq!(lines, [40, 24]);
    }

    #[test]
    fn a_long_cell_pushes_the_rest_of_its_row_down() {
        let columns = [
            Column::left("name", 8),
            Column::right("TTL", 6),
            Column::left("note", 40),
        ];
        let rows = [
            vec![Cell::new("short"), Cell::new("60"), Cell::new("fine")],
            vec![
                Cell::new("rather.long.example."),
                Cell::new("3600"),
                Cell::new("still the same columns, with a long note"),
            ],
        ];
        let mut page = Sheet::new(Style {
            color: false,
            width: 50,
        });
        page.table(2, &columns, &rows);
        let expected = [
            "  name       TTL  note",
            "  short       60  fine",
            "  rather.long.example.",
            "            3600  still the same columns, with a",
            "                  long note\n",
        ]
        .join("\n");
        assert_eq!(page.finish(), expected);
    }

    #[test]
    fn colours_do_not_count_as_columns() {
        let mut page = Sheet::new(Style {
            color: true,
            width: 40,
        });
        page.paragraph("", 0, "good morning", Paint::Good);
        assert_eq!(page.finish(), "\u{1b}[32mgood morning\u{1b}[0m\n");
    }

    #[test]
    fn a_wide_character_takes_two_columns() {
        assert_eq!(columns_of("\u{4f8b}\u{3048}.jp."), 8);
    }
}
