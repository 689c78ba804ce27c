//! Provisional reader of records, until `bailiwick_wire::zone` is there.

use bailiwick_core::{
    name::Name,
    record::{Dnskey, Ds, Record, RecordData, Soa},
};

pub(crate) fn records(text: &str, origin: &Name) -> Result<Vec<Record>, String> {
    let mut ttl = 3600;
    let mut records = Vec::new();
    let mut owner = origin.clone();
    let absolute = |word: &str| -> Result<Name, String> {
        if word == "@" {
            return Ok(origin.clone());
        }
        let name: Name = word.parse().map_err(|e| format!("{word}: {e}"))?;
        if word.ends_with('.') {
            return Ok(name);
        }
        Name::from_labels(name.labels().chain(origin.labels())).map_err(|e| e.to_string())
    };
    for line in text.lines() {
        let mut code = String::new();
        let mut quoted = false;
        for c in line.chars() {
            if c == '"' {
                quoted = !quoted;
            }
            if c == ';' && !quoted {
                break;
            }
            code.push(c);
        }
        let blank = code.starts_with([' ', '\t']);
        let mut words = code.split_whitespace().peekable();
        if words.peek().is_none() {
            continue;
        }
        if words.peek() == Some(&"$TTL") {
            words.next();
            ttl = words.next().and_then(|w| w.parse().ok()).ok_or("ttl")?;
            continue;
        }
        if !blank {
            owner = absolute(words.next().unwrap_or("@"))?;
        }
        let mut own_ttl = ttl;
        while let Some(w) = words.peek() {
            if let Ok(n) = w.parse::<u32>() {
                own_ttl = n;
                words.next();
            } else if w.eq_ignore_ascii_case("IN") {
                words.next();
            } else {
                break;
            }
        }
        let kind = words.next().ok_or("no type")?.to_ascii_uppercase();
        let rest: Vec<&str> = words.collect();
        let first = *rest.first().ok_or("no data")?;
        let num = |i: usize| -> Result<u32, String> {
            rest.get(i)
                .and_then(|w| w.parse().ok())
                .ok_or(format!("number in {line}"))
        };
        let data = match kind.as_str() {
            "A" => RecordData::A(first.parse().map_err(|_| line.to_owned())?),
            "AAAA" => RecordData::Aaaa(first.parse().map_err(|_| line.to_owned())?),
            "NS" => RecordData::Ns(absolute(first)?),
            "CNAME" => RecordData::Cname(absolute(first)?),
            "DNAME" => RecordData::Dname(absolute(first)?),
            "SOA" => RecordData::Soa(Soa {
                mname: absolute(first)?,
                rname: absolute(rest[1])?,
                serial: num(2)?,
                refresh: num(3)?,
                retry: num(4)?,
                expire: num(5)?,
                minimum: num(6)?,
            }),
            "TXT" => RecordData::Txt(
                rest.iter()
                    .map(|w| w.trim_matches('"').as_bytes().into())
                    .collect(),
            ),
            "DS" => RecordData::Ds(Ds {
                key_tag: num(0)? as u16,
                algorithm: num(1)? as u8,
                digest_type: num(2)? as u8,
                digest: {
                    let h = rest[3..].concat();
                    (0..h.len() / 2)
                        .filter_map(|i| u8::from_str_radix(&h[2 * i..2 * i + 2], 16).ok())
                        .collect()
                },
            }),
            "DNSKEY" => RecordData::Dnskey(Dnskey {
                flags: num(0)? as u16,
                protocol: num(1)? as u8,
                algorithm: num(2)? as u8,
                public_key: base64(&rest[3..].concat()).into(),
            }),
            other => return Err(format!("type {other}")),
        };
        records.push(Record {
            name: owner.clone(),
            ttl: own_ttl,
            data,
        });
    }
    Ok(records)
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<u8> = text
        .bytes()
        .filter_map(|c| DIGITS.iter().position(|&d| d == c))
        .flat_map(|v| (0..6).rev().map(move |bit| u8::from(v >> bit & 1 == 1)))
        .collect();
    bits.chunks_exact(8)
        .map(|o| o.iter().fold(0, |s, b| s << 1 | b))
        .collect()
}
