//! Serial number arithmetic (RFC 1982): which version of a zone is the newer one.

/// Returns whether serial `a` is newer than `b`. Of two serials exactly half the circle apart
/// neither is newer (RFC 1982, section 3.2 leaves it undefined).
#[must_use]
pub(crate) fn is_newer(a: u32, b: u32) -> bool {
    (1..1 << 31).contains(&a.wrapping_sub(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_go_round_in_a_circle() {
        let cases = [
            (2, 1, true, "plainly"),
            (1, 2, false, "the other way round"),
            (1, 1, false, "equal"),
            (0, u32::MAX, true, "past the end"),
            (1 << 31, 0, false, "half the circle: undefined"),
        ];
        for (a, b, newer, why) in cases {
            assert_eq!(is_newer(a, b), newer, "{a} {b}: {why}");
        }
    }
}
