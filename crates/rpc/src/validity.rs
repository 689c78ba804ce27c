//! When a certificate begins and ends, read from its octets.
//!
//! rustls checks this and does not say it. Only certificates whose chain has been verified are
//! read here, so their form is known to be right; anything unexpected is still refused.

use std::time::{Duration, SystemTime};

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Returns the first and the last second of a certificate (RFC 5280, section 4.1.2.5).
pub(crate) fn of(certificate: &[u8]) -> Option<(SystemTime, SystemTime)> {
    let (whole, _) = field(certificate, SEQUENCE)?;
    let (signed, _) = field(whole, SEQUENCE)?;
    let (_, rest) = field(signed, VERSION)?;
    let (_serial, rest) = field(rest, INTEGER)?;
    let (_algorithm, rest) = field(rest, SEQUENCE)?;
    let (_issuer, rest) = field(rest, SEQUENCE)?;
    let (validity, _) = field(rest, SEQUENCE)?;
    let (begins, rest) = moment(validity)?;
    let (ends, _) = moment(rest)?;
    Some((begins, ends))
}

/// One DER field with the tag: its content, and what follows.
fn field(octets: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = octets.split_first()?;
    if found != tag {
        return None;
    }
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 | 0x82 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = length.iter().fold(0, |l, o| l << 8 | usize::from(*o));
            (length, rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

fn moment(octets: &[u8]) -> Option<(SystemTime, &[u8])> {
    if let Some((text, rest)) = field(octets, UTC_TIME) {
        let year = number(text.get(..2)?)?;
        let century = if year < 50 { 2000 } else { 1900 };
        return Some((seconds(century + year, text.get(2..)?)?, rest));
    }
    let (text, rest) = field(octets, GENERALIZED_TIME)?;
    Some((seconds(number(text.get(..4)?)?, text.get(4..)?)?, rest))
}

/// A moment from its year and `MMDDHHMMSSZ`.
fn seconds(year: u64, text: &[u8]) -> Option<SystemTime> {
    let [month @ .., _, _, _, _, _, _, _, _, b'Z'] = text else {
        return None;
    };
    let month = number(month)?;
    let [day, hour, minute, second] = [2, 4, 6, 8].map(|at| number(&text[at..at + 2]));
    let days = days_since_1970(year, month, day?)?;
    let seconds = days * 86_400 + hour? * 3_600 + minute? * 60 + second?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Days from 1970-01-01 to a day of the Gregorian calendar.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years that begin in March have the leap day at their end.
    let year = if month < 3 {
        year.checked_sub(1)?
    } else {
        year
    };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    (365 * year + year / 4 - year / 100 + year / 400 + day_of_year).checked_sub(719_468)
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + u64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted() {
        let cases = [
            ((1970, 1, 1), 0),
            ((1970, 3, 1), 59),
            ((2000, 2, 29), 11_016),
            ((2000, 3, 1), 11_017),
            ((2024, 2, 29), 19_782),
            ((2038, 1, 19), 24_855),
            ((2100, 3, 1), 47_541),
        ];
        for ((year, month, day), days) in cases {
            assert_eq!(
                days_since_1970(year, month, day),
                Some(days),
                "{year}-{month}-{day}"
            );
        }
    }

    #[test]
    fn moments_are_as_the_library_writes_them() {
        // From 1970 into the years that need the longer form (RFC 5280: from 2050 on).
        for seconds in [
            0,
            951_782_399,
            1_709_164_800,
            2_524_607_999,
            2_524_608_000,
            4_102_444_800,
        ] {
            let begins = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
            let key = rcgen::KeyPair::generate().unwrap();
            let mut params = rcgen::CertificateParams::default();
            params.not_before = begins;
            params.not_after = begins + Duration::from_secs(86_399);
            let certificate = params.self_signed(&key).unwrap();
            let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(
                of(certificate.der()),
                Some((moment, moment + Duration::from_secs(86_399))),
                "{seconds}"
            );
        }
    }

    #[test]
    fn half_a_certificate_has_no_time() {
        let whole = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let whole = whole.cert.der();
        for end in 0..whole.len() {
            assert_eq!(of(&whole[..end]), None, "{end}");
        }
    }
}
