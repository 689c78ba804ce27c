//! TTLs, character strings and octets as a master file writes them.

use bailiwick_core::record::Ttl;

/// Reads seconds, or numbers with the units w, d, h, m and s; at most 2^31 - 1.
pub(super) fn read_ttl(text: &str) -> Option<Ttl> {
    let mut seconds = 0_u32;
    let mut number = None::<u32>;
    for character in text.chars() {
        if let Some(digit) = character.to_digit(10) {
            number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(digit)?);
            continue;
        }
        let unit = match character.to_ascii_lowercase() {
            'w' => 604_800,
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        seconds = seconds.checked_add(number.take()?.checked_mul(unit)?)?;
    }
    match number {
        Some(number) => seconds = seconds.checked_add(number)?,
        None if text.is_empty() => return None,
        None => {}
    }
    (seconds <= i32::MAX.cast_unsigned()).then_some(seconds)
}

/// Reads the escapes of a character string (RFC 1035, section 5.1).
pub(super) fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&octet, after)) = rest.split_first() {
        rest = after;
        if octet != b'\\' {
            octets.push(octet);
            continue;
        }
        match rest {
            [
                a @ b'0'..=b'9',
                b @ b'0'..=b'9',
                c @ b'0'..=b'9',
                after @ ..,
            ] => {
                let value = [a, b, c]
                    .iter()
                    .fold(0, |value, &&digit| value * 10 + u16::from(digit - b'0'));
                octets.push(u8::try_from(value).ok()?);
                rest = after;
            }
            [b'0'..=b'9', ..] | [] => return None,
            [escaped, after @ ..] => {
                octets.push(*escaped);
                rest = after;
            }
        }
    }
    Some(octets)
}

/// A way to write octets as digits (RFC 4648).
#[derive(Clone, Copy)]
pub(super) struct Base {
    digits: &'static [u8],
    bits: u32,
}

pub(super) const HEX: Base = Base {
    digits: b"0123456789abcdef",
    bits: 4,
};
pub(super) const BASE64: Base = Base {
    digits: b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    bits: 6,
};

impl Base {
    /// Returns the octets; `None` for a foreign digit or bits left over.
    pub(super) fn decode(self, text: &str) -> Option<Vec<u8>> {
        let text = match self.bits {
            4 => text.to_ascii_lowercase(),
            _ => text.trim_end_matches('=').to_owned(),
        };
        let mut octets = Vec::new();
        let (mut held, mut bits) = (0_u32, 0);
        for digit in text.bytes() {
            let value = self.digits.iter().position(|&known| known == digit)?;
            held = held << self.bits | u32::try_from(value).ok()?;
            bits += self.bits;
            if bits >= 8 {
                bits -= 8;
                octets.push(u8::try_from(held >> bits & 0xff).ok()?);
                held &= (1 << bits) - 1;
            }
        }
        // What is left over is padding: less than a digit, and zero.
        (bits < self.bits && held == 0).then_some(octets)
    }
}
