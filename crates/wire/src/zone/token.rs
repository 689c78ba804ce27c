//! Lines, quotes, comments and parentheses of a master file.

use super::{Problem, ZoneError};

/// One entry: a line, or several that parentheses join.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// The line on which it begins, from 1.
    pub(super) line: usize,
    /// Whether it begins with a blank and so has the owner of the entry before.
    pub(super) blank: bool,
    /// Its fields; never empty.
    pub(super) tokens: Vec<Token>,
}

/// One field, escapes not yet read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Token {
    pub(super) text: String,
    /// Whether it stood in quotation marks.
    pub(super) quoted: bool,
}

/// Splits a text into entries that have fields.
pub(super) fn entries(text: &str) -> impl Iterator<Item = Result<Entry, ZoneError>> {
    let mut lexer = Lexer {
        rest: text,
        line: 1,
    };
    std::iter::from_fn(move || {
        loop {
            if lexer.rest.is_empty() {
                return None;
            }
            let line = lexer.line;
            match lexer.entry() {
                Ok(entry) if entry.tokens.is_empty() => {}
                Ok(entry) => return Some(Ok(entry)),
                Err(problem) => {
                    lexer.rest = "";
                    return Some(Err(ZoneError { line, problem }));
                }
            }
        }
    })
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
}

impl Lexer<'_> {
    /// Reads to the end of a line that is not within parentheses.
    fn entry(&mut self) -> Result<Entry, Problem> {
        let mut entry = Entry {
            line: self.line,
            blank: self.rest.starts_with([' ', '\t']),
            tokens: Vec::new(),
        };
        let mut depth = 0_usize;
        while let Some(next) = self.next() {
            match next {
                '\n' if depth == 0 => return Ok(entry),
                '(' => depth += 1,
                ')' => depth = depth.checked_sub(1).ok_or(Problem::Closing)?,
                ';' => self.skip_comment(),
                '"' => entry.tokens.push(self.quoted()?),
                blank if blank.is_whitespace() => {}
                first => entry.tokens.push(self.field(first)),
            }
        }
        if depth > 0 {
            return Err(Problem::Open('('));
        }
        Ok(entry)
    }

    fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let next = characters.next()?;
        self.rest = characters.as_str();
        if next == '\n' {
            self.line += 1;
        }
        Some(next)
    }

    fn skip_comment(&mut self) {
        let end = self.rest.find('\n').unwrap_or(self.rest.len());
        self.rest = &self.rest[end..];
    }

    fn quoted(&mut self) -> Result<Token, Problem> {
        let mut text = String::new();
        while let Some(next) = self.next() {
            match next {
                '"' => return Ok(Token { text, quoted: true }),
                '\\' => {
                    text.push(next);
                    text.extend(self.next());
                }
                _ => text.push(next),
            }
        }
        Err(Problem::Open('"'))
    }

    fn field(&mut self, first: char) -> Token {
        let mut text = String::new();
        let mut next = first;
        loop {
            text.push(next);
            if next == '\\' {
                text.extend(self.next());
            }
            match self.rest.chars().next() {
                None | Some('(' | ')' | ';' | '"') => break,
                Some(blank) if blank.is_whitespace() => break,
                Some(_) => {}
            }
            let Some(following) = self.next() else { break };
            next = following;
        }
        Token {
            text,
            quoted: false,
        }
    }
}
