//! Exit codes of what is no result.

/// The command line or a settings file is wrong.
pub const USAGE: u8 = 2;
/// The program could not do its work.
pub const FAILURE: u8 = 3;

/// Something that the user has to say differently. The text names the way out.
#[derive(Debug)]
pub struct Usage(pub String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Returns what went wrong and why, each cause once: some libraries repeat theirs.
#[must_use]
pub fn told(error: &anyhow::Error) -> String {
    let mut told = String::new();
    let mut before = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if before.is_empty() {
            told.clone_from(&cause);
        } else if !before.ends_with(&cause) {
            told = format!("{told}: {cause}");
        }
        before = cause;
    }
    told
}

/// Returns the exit code of a program that ends with this error.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if error.chain().any(|cause| cause.is::<Usage>()) {
        USAGE
    } else {
        FAILURE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn each_cause_is_told_once() {
        let cases = [
            (anyhow!("no socket"), "no socket", "alone"),
            (
                anyhow!("refused").context("no socket"),
                "no socket: refused",
                "with its cause",
            ),
            (
                anyhow!("refused")
                    .context("no socket: refused")
                    .context("no agent"),
                "no agent: no socket: refused",
                "a cause in the text of what it caused",
            ),
        ];
        for (error, expected, why) in cases {
            assert_eq!(told(&error), expected, "{why}");
        }
    }

    #[test]
    fn only_a_mistake_of_the_user_is_a_usage_error() {
        let usage = || anyhow!(Usage("write a unit".to_owned()));
        let cases = [
            (usage(), USAGE, "itself"),
            (usage().context("--timeout"), USAGE, "below a context"),
            (anyhow!("no socket"), FAILURE, "anything else"),
        ];
        for (error, code, why) in cases {
            assert_eq!(exit_code(&error), code, "{why}");
        }
    }
}
