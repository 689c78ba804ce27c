//! The demo's view: a line for the verdict and a table of the parent's instances, in place on a
//! terminal, else plain lines that are only repeated when they change.

use std::{
    io::{self, Write},
    time::Duration,
};

use bailiwick_core::{
    record::RecordData,
    verdict::{Class, ParentRow, State, Verdict},
};

use super::Settings;

/// Where the demo is shown.
pub(super) struct Screen<'a> {
    settings: Settings,
    out: &'a mut (dyn Write + Send),
    /// Lines that the next view replaces.
    shown: usize,
    /// The last view without its clock.
    last: Vec<String>,
}

impl<'a> Screen<'a> {
    pub(super) fn new(settings: &Settings, out: &'a mut (dyn Write + Send)) -> Self {
        Self {
            settings: *settings,
            out,
            shown: 0,
            last: Vec::new(),
        }
    }

    /// Writes a paragraph; the table begins anew below it.
    pub(super) fn tell(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out)?;
        for line in wrapped(text, self.settings.width) {
            writeln!(self.out, "{line}")?;
        }
        self.shown = 0;
        self.last.clear();
        self.out.flush()
    }

    /// Shows what a check found at this time of the demo.
    pub(super) fn show(&mut self, at: Duration, verdict: &Verdict) -> io::Result<()> {
        let head = self.head(verdict);
        let mut view = vec![head, self.cut(&verdict.headline)];
        view.extend(table(verdict).iter().map(|line| self.cut(line)));
        if self.settings.in_place {
            if self.shown > 0 {
                // To the first line of the last view, and clear what is below.
                write!(self.out, "\x1b[{}F\x1b[J", self.shown)?;
            }
        } else if view == self.last {
            return Ok(());
        }
        if self.last.is_empty() {
            writeln!(self.out)?;
        }
        let clock = format!("{:>2}:{:02}", at.as_secs() / 60, at.as_secs() % 60);
        for (number, line) in view.iter().enumerate() {
            let margin = if number == 0 { &clock } else { "     " };
            writeln!(self.out, "{margin}  {line}")?;
        }
        self.shown = view.len();
        self.last = view;
        self.out.flush()
    }

    fn head(&self, verdict: &Verdict) -> String {
        let (new, seen) = verdict.published;
        let state = format!("{} {new}/{seen}", verdict.state);
        let rest = format!(
            "   axes {} {} {}",
            verdict.publication, verdict.reachability, verdict.caches
        );
        let line = self.cut(&format!("{state}{rest}"));
        if !self.settings.color {
            return line;
        }
        let paint = match verdict.state {
            State::Consistent | State::Confirmed => "32",
            State::Publishing | State::PublishedDraining => "33",
            _ => "31",
        };
        match line.split_at_checked(state.len()) {
            Some((state, rest)) => format!("\x1b[1;{paint}m{state}\x1b[0m{rest}"),
            None => line,
        }
    }

    /// Cuts a line to the width, and shows that it did.
    fn cut(&self, line: &str) -> String {
        let room = self.settings.width.saturating_sub(8).max(1);
        if line.chars().count() <= room {
            return line.trim_end().to_owned();
        }
        let kept: String = line.chars().take(room - 1).collect();
        format!("{}…", kept.trim_end())
    }
}

/// One line for each instance of a parent server, as each vantage point saw it.
fn table(verdict: &Verdict) -> Vec<String> {
    let mut lines = vec![format!(
        "{:<25}{:<10}{:<11}{:<14}{}",
        "parent server", "seen from", "instance", "glue of ns1", "class"
    )];
    lines.extend(verdict.parents.iter().map(row));
    lines
}

fn row(parent: &ParentRow) -> String {
    let glue = parent
        .name_servers
        .values()
        .next()
        .into_iter()
        .flat_map(|glue| glue.keys())
        .map(|&address| RecordData::from(address).to_string())
        .collect::<Vec<_>>()
        .join(" ");
    let class = match parent.class {
        Class::New => "new",
        Class::Old => "old",
        Class::Mixed => "mixed",
        Class::Other => "other",
        Class::None => "none",
        Class::Silent => "silent",
    };
    format!(
        "{:<25}{:<10}{:<11}{:<14}{class}",
        parent.server.to_string(),
        parent.vantage.0,
        parent.nsid.as_deref().unwrap_or("-"),
        glue,
    )
}

/// Breaks a text between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_ascii_whitespace() {
        let line = lines.last().map_or(0, |line| line.chars().count());
        if line > 0 && line + 1 + word.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
