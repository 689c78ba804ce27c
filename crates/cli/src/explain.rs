//! `bailiwick explain`: what the rules say of themselves.

use bailiwick_host::Usage;
use bailiwick_render::{Explanation, explain};
use bailiwick_verdict::rule::CATALOGUE;

use crate::{
    args::{Arguments, Explain},
    emit,
};

pub(crate) fn run(arguments: &Arguments, wanted: &Explain) -> Result<u8, anyhow::Error> {
    let chosen = match &wanted.finding {
        None => catalogue(),
        Some(word) => matching(word)?,
    };
    let style = arguments.style();
    let text = if arguments.json() {
        explain::json(&chosen)
    } else if wanted.markdown {
        explain::markdown(&chosen)
    } else if wanted.finding.is_none() {
        explain::list(&chosen, style)
    } else {
        let pages: Vec<String> = chosen.iter().map(|one| explain::page(one, style)).collect();
        pages.join("\n")
    };
    emit(&text)?;
    Ok(0)
}

fn catalogue() -> Vec<Explanation> {
    CATALOGUE
        .iter()
        .map(|rule| Explanation {
            code: rule.code,
            severity: rule.severity,
            actor: rule.actor,
            title: rule.title,
            text: rule.explanation(),
            source: rule.source,
            related: rule.related,
        })
        .collect()
}

/// Returns the finding of that name, or all that belong to that topic.
fn matching(word: &str) -> Result<Vec<Explanation>, Usage> {
    let word = word.to_ascii_lowercase().replace([' ', '_'], "-");
    let (named, others): (Vec<_>, Vec<_>) =
        catalogue().into_iter().partition(|one| one.code == word);
    if !named.is_empty() {
        return Ok(named);
    }
    let near = nearest(&word, others.iter().map(|one| one.code));
    let related: Vec<Explanation> = others
        .into_iter()
        .filter(|one| one.related.contains(&word.as_str()))
        .collect();
    if related.is_empty() {
        return Err(Usage(format!(
            "no finding is called {word:?}; did you mean {near}? `bailiwick explain` lists all"
        )));
    }
    Ok(related)
}

/// Returns the known word that takes the fewest edits to get to.
fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> &'a str {
    known
        .min_by_key(|code| distance(word, code))
        .unwrap_or_default()
}

/// The number of letters to insert, delete or replace (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, letter) in from.chars().enumerate() {
        let mut diagonal = at;
        row[0] = at + 1;
        for (column, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_leads_to_the_nearest_name() {
        let known = ["glue-missing-all", "glue-dead-address", "ns-is-alias"];
        for (typed, meant) in [
            ("glue-mising-all", "glue-missing-all"),
            ("dead-glue-address", "glue-dead-address"),
            ("ns-alias", "ns-is-alias"),
        ] {
            assert_eq!(nearest(typed, known.into_iter()), meant, "{typed}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
