//! Names and other texts of foreign origin, made fit to print.
//!
//! A [`Name`] prints itself with escapes. Everything else that could carry
//! octets of a stranger goes through [`clean`]. Internationalised names are
//! shown both ways, since two different scripts can look the same.

use std::fmt::Write as _;

use bailiwick_core::name::Name;

/// Returns a name in both forms, such as `bücher.example. (xn--bcher-kva.example.)`; in one if
/// it has no other.
#[must_use]
pub fn both(name: &Name) -> String {
    match unicode(name) {
        Some(unicode) => format!("{unicode} ({name})"),
        None => name.to_string(),
    }
}

/// Returns the Unicode form of an internationalised name (RFC 5890, section 2.3.2.3).
///
/// `None` if the name has none, or one that a reader could take for something
/// else: it must map back to the very same octets and hold only characters that
/// are visible and keep their place.
#[must_use]
pub fn unicode(name: &Name) -> Option<String> {
    if !name.labels().any(|label| label.starts_with(b"xn--")) {
        return None;
    }
    let ascii = name.to_string();
    let (unicode, valid) = idna::domain_to_unicode(&ascii);
    let back = idna::domain_to_ascii(&unicode).ok()?;
    (valid.is_ok() && back == ascii && unicode != ascii && !unicode.chars().any(hides))
        .then_some(unicode)
}

/// Returns the text with every character that is not simply visible as `\DDD` per octet, as
/// names have it (RFC 1035, section 5.1).
#[must_use]
pub fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for character in text.chars() {
        if hides(character) {
            for octet in character.encode_utf8(&mut [0; 4]).bytes() {
                // Writing to a String cannot fail.
                let _ = write!(cleaned, "\\{octet:03}");
            }
        } else {
            cleaned.push(character);
        }
    }
    cleaned
}

/// Whether a character acts on its neighbours or on the terminal, or cannot be seen: controls,
/// line separators, and format characters (Unicode general categories Cc, Zl, Zp, Cf).
fn hides(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Returns names as a list in a sentence: `a., b. and c.`.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a Name>) -> String {
    let names: Vec<String> = names.into_iter().map(both).collect();
    match names.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internationalised_names_are_shown_both_ways() {
        let cases = [
            (
                "xn--bcher-kva.example",
                "b\u{fc}cher.example. (xn--bcher-kva.example.)",
                "an umlaut",
            ),
            ("example.com", "example.com.", "nothing to decode"),
            (
                "xn--a-ecp.ru",
                "xn--a-ecp.ru.",
                "decodes to nothing that maps back",
            ),
            ("xn--.example", "xn--.example.", "an empty code"),
            (
                r"xn--bcher-kva\027.example",
                r"xn--bcher-kva\027.example.",
                "an escape beside it",
            ),
        ];
        for (name, shown, why) in cases {
            assert_eq!(both(&name.parse().unwrap()), shown, "{name}: {why}");
        }
    }

    #[test]
    fn text_cannot_move_the_cursor_or_turn_the_line() {
        let cases = [
            ("plain b\u{fc}cher", "plain b\u{fc}cher", "letters stay"),
            ("\u{1b}[31m\r\n", r"\027[31m\013\010", "terminal control"),
            ("a\u{202e}b", r"a\226\128\174b", "right-to-left override"),
            ("\u{85}", r"\194\133", "a C1 control"),
        ];
        for (text, shown, why) in cases {
            assert_eq!(clean(text), shown, "{why}");
        }
    }

    #[test]
    fn names_make_a_list() {
        let names: Vec<Name> = ["a.", "b.", "c."].map(|n| n.parse().unwrap()).into();
        assert_eq!(list(&names), "a., b. and c.");
        assert_eq!(list(&names[..1]), "a.");
    }
}
