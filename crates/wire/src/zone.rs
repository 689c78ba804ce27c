//! Records in master-file syntax (RFC 1035, section 5).
//!
//! [`records`] reads root hints (`named.root`) and the zones of simulated
//! worlds. `$ORIGIN` and `$TTL` (RFC 2308, section 4) are known, TTLs may have
//! units (`1h30m`), parentheses join lines, `\#` gives data in hexadecimal
//! (RFC 3597, section 5). Nothing is read but the text: `$INCLUDE` is refused.
//!
//! The codec has a reader too, but it knows no line numbers, opens files, and
//! sorts; it is used for the data of rare types only.

use std::{net::IpAddr, str::FromStr};

use bailiwick_core::{
    name::{Name, NameError},
    record::{Dnskey, Ds, Record, RecordData, RecordType, Soa, Ttl},
};
use hickory_proto::rr::{self, RData};

mod text;
mod token;

use text::{BASE64, Base, HEX, read_ttl, unescape};
use token::{Entry, Token};

/// The TTL of records before the first `$TTL` or explicit one, in seconds.
pub const DEFAULT_TTL: Ttl = 3600;

/// A line that cannot be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ZoneError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong with a line.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Problem {
    /// A quotation mark or parenthesis is never closed.
    #[error("{0} is not closed")]
    Open(char),
    /// A closing parenthesis without an opening one.
    #[error("nothing is open that ) could close")]
    Closing,
    /// `$INCLUDE`, `$GENERATE` and the like.
    #[error("{0} is not supported")]
    Directive(String),
    /// A record that begins with a blank, and none before it that had an owner.
    #[error("no owner before")]
    NoOwner,
    /// A class other than IN and CH.
    #[error("class {0} is not supported")]
    Class(String),
    /// Something is missing.
    #[error("{0} expected, but the entry ends")]
    Missing(&'static str),
    /// Something stands at the wrong place or cannot be read.
    #[error("{expected} expected, not {found:?}")]
    Unexpected {
        /// What should stand there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// A name that is none.
    #[error("{text:?} is no name: {error}")]
    Name {
        /// What stands there.
        text: String,
        /// Why it is no name.
        error: NameError,
    },
    /// Data of a rarer type that the codec cannot read.
    #[error("data of type {record_type}: {why}")]
    Data {
        /// The type.
        record_type: RecordType,
        /// Why.
        why: String,
    },
}

/// Reads records in the order of the text. Names without a final dot are below `origin`.
///
/// # Errors
///
/// Returns [`ZoneError`] with the line on which the first broken entry begins.
pub fn records(text: &str, origin: &Name) -> Result<Vec<Record>, ZoneError> {
    let mut reader = Reader {
        origin: origin.clone(),
        owner: None,
        default_ttl: None,
        last_ttl: None,
    };
    let mut records = Vec::new();
    for entry in token::entries(text) {
        let entry = entry?;
        let line = entry.line;
        let record = reader
            .read(entry)
            .map_err(|problem| ZoneError { line, problem })?;
        records.extend(record);
    }
    Ok(records)
}

/// What the lines before say about the next.
struct Reader {
    origin: Name,
    owner: Option<Name>,
    default_ttl: Option<Ttl>,
    last_ttl: Option<Ttl>,
}

impl Reader {
    /// Reads one entry; a directive gives no record.
    fn read(&mut self, entry: Entry) -> Result<Option<Record>, Problem> {
        let origin = self.origin.clone();
        let mut fields = Fields {
            tokens: entry.tokens.into_iter(),
            origin: &origin,
        };
        if !entry.blank {
            let first = fields.next("owner")?;
            if first.text.starts_with('$') && !first.quoted {
                return self.direct(first.text, fields).map(|()| None);
            }
            self.owner = Some(fields.to_name(first)?);
        }
        let owner = self.owner.clone().ok_or(Problem::NoOwner)?;
        let (ttl, record_type) = fields.ttl_class_type()?;
        self.last_ttl = ttl.or(self.last_ttl);
        let data = fields.data(record_type)?;
        fields.end()?;
        Ok(Some(Record {
            name: owner,
            ttl: ttl
                .or(self.default_ttl)
                .or(self.last_ttl)
                .unwrap_or(DEFAULT_TTL),
            data,
        }))
    }

    fn direct(&mut self, directive: String, mut fields: Fields<'_>) -> Result<(), Problem> {
        match directive.to_ascii_uppercase().as_str() {
            "$ORIGIN" => self.origin = fields.name()?,
            "$TTL" => self.default_ttl = Some(fields.ttl()?),
            _ => return Err(Problem::Directive(directive)),
        }
        fields.end()
    }
}

/// The fields of an entry that are not read yet.
struct Fields<'a> {
    tokens: std::vec::IntoIter<Token>,
    origin: &'a Name,
}

impl Fields<'_> {
    fn next(&mut self, expected: &'static str) -> Result<Token, Problem> {
        self.tokens.next().ok_or(Problem::Missing(expected))
    }

    /// Says that nothing may follow.
    fn end(mut self) -> Result<(), Problem> {
        match self.tokens.next() {
            None => Ok(()),
            Some(token) => Err(unexpected("end of the entry", token)),
        }
    }

    /// Reads `[TTL] [class] type` or `[class] [TTL] type`.
    fn ttl_class_type(&mut self) -> Result<(Option<Ttl>, RecordType), Problem> {
        let mut ttl = None;
        let mut class = false;
        loop {
            let token = self.next("type")?;
            let upper = token.text.to_ascii_uppercase();
            match upper.as_str() {
                "IN" | "CH" if !class => class = true,
                "HS" | "CS" | "ANY" | "NONE" => return Err(Problem::Class(token.text)),
                text if ttl.is_none() && text.starts_with(|c: char| c.is_ascii_digit()) => {
                    ttl = Some(read_ttl(text).ok_or_else(|| unexpected("TTL", token))?);
                }
                text => {
                    let record_type = text.parse().map_err(|_| unexpected("type", token))?;
                    return Ok((ttl, record_type));
                }
            }
        }
    }

    fn data(&mut self, record_type: RecordType) -> Result<RecordData, Problem> {
        if self
            .tokens
            .as_slice()
            .first()
            .is_some_and(|t| t.text == r"\#")
        {
            return self.generic(record_type);
        }
        Ok(match record_type {
            RecordType::A => match self.parse("IPv4 address")? {
                IpAddr::V4(address) => RecordData::A(address),
                other @ IpAddr::V6(_) => return Err(not_address("IPv4 address", other)),
            },
            RecordType::AAAA => match self.parse("IPv6 address")? {
                IpAddr::V6(address) => RecordData::Aaaa(address),
                other @ IpAddr::V4(_) => return Err(not_address("IPv6 address", other)),
            },
            RecordType::NS => RecordData::Ns(self.name()?),
            RecordType::CNAME => RecordData::Cname(self.name()?),
            RecordType::DNAME => RecordData::Dname(self.name()?),
            RecordType::SOA => RecordData::Soa(self.soa()?),
            RecordType::TXT => RecordData::Txt(self.strings()?),
            RecordType::DS => RecordData::Ds(Ds {
                key_tag: self.parse("key tag")?,
                algorithm: self.parse("algorithm")?,
                digest_type: self.parse("digest type")?,
                digest: self.digits("digest in hexadecimal", HEX)?,
            }),
            RecordType::DNSKEY => RecordData::Dnskey(Dnskey {
                flags: self.parse("flags")?,
                protocol: self.parse("protocol")?,
                algorithm: self.parse("algorithm")?,
                public_key: self.digits("key in base 64", BASE64)?,
            }),
            RecordType::PTR => RecordData::Other(record_type, self.name()?.to_wire().into()),
            RecordType::MX => self.numbers_and_name::<1>(record_type)?,
            RecordType::SRV => self.numbers_and_name::<3>(record_type)?,
            _ => self.rare(record_type)?,
        })
    }

    fn soa(&mut self) -> Result<Soa, Problem> {
        Ok(Soa {
            mname: self.name()?,
            rname: self.name()?,
            serial: self.parse("serial")?,
            refresh: self.ttl()?,
            retry: self.ttl()?,
            expire: self.ttl()?,
            minimum: self.ttl()?,
        })
    }

    /// Reads MX and SRV: numbers of 16 bits, then a name.
    fn numbers_and_name<const N: usize>(
        &mut self,
        record_type: RecordType,
    ) -> Result<RecordData, Problem> {
        let mut octets = Vec::new();
        for _ in 0..N {
            octets.extend(self.parse::<u16>("number")?.to_be_bytes());
        }
        octets.extend(self.name()?.to_wire());
        Ok(RecordData::Other(record_type, octets.into()))
    }

    /// Reads data of any type (RFC 3597, section 5).
    fn generic(&mut self, record_type: RecordType) -> Result<RecordData, Problem> {
        self.next(r"\#")?;
        let length: usize = self.parse("length")?;
        let octets = match self.tokens.as_slice() {
            [] => Box::default(),
            _ => self.digits("data in hexadecimal", HEX)?,
        };
        if octets.len() != length {
            let why = format!("{} octets, not {length}", octets.len());
            return Err(Problem::Data { record_type, why });
        }
        crate::dns::data_of(record_type, &octets).map_err(|error| Problem::Data {
            record_type,
            why: error.to_string(),
        })
    }

    /// Lets the codec read a type that has no place of its own here. Its names must be absolute.
    fn rare(&mut self, record_type: RecordType) -> Result<RecordData, Problem> {
        let text: Vec<String> = self
            .tokens
            .by_ref()
            .map(|token| match token.quoted {
                true => format!("\"{}\"", token.text),
                false => token.text,
            })
            .collect();
        let problem = |why: String| Problem::Data { record_type, why };
        let data = RData::try_from_str(rr::RecordType::from(record_type.0), &text.join(" "))
            .map_err(|error| problem(error.to_string()))?;
        let octets = crate::dns::canonical(&data).map_err(|error| problem(error.to_string()))?;
        Ok(RecordData::Other(record_type, octets.into()))
    }

    fn name(&mut self) -> Result<Name, Problem> {
        let token = self.next("name")?;
        self.to_name(token)
    }

    /// Reads a name; `@` is the origin, and a name without a final dot is below it.
    fn to_name(&self, token: Token) -> Result<Name, Problem> {
        let text = token.text;
        if text == "@" {
            return Ok(self.origin.clone());
        }
        let name = Name::from_str(&text).and_then(|name| match is_absolute(&text) {
            true => Ok(name),
            false => Name::from_labels(name.labels().chain(self.origin.labels())),
        });
        name.map_err(|error| Problem::Name { text, error })
    }

    fn parse<T: FromStr>(&mut self, expected: &'static str) -> Result<T, Problem> {
        let token = self.next(expected)?;
        token.text.parse().map_err(|_| unexpected(expected, token))
    }

    fn ttl(&mut self) -> Result<Ttl, Problem> {
        let token = self.next("TTL")?;
        read_ttl(&token.text).ok_or_else(|| unexpected("TTL", token))
    }

    /// Reads character strings, at least one, to the end of the entry.
    fn strings(&mut self) -> Result<Vec<Box<[u8]>>, Problem> {
        let mut strings = Vec::new();
        loop {
            let token = self.next("text")?;
            match unescape(&token.text) {
                Some(string) if string.len() <= 255 => strings.push(string.into()),
                _ => return Err(unexpected("text of at most 255 octets", token)),
            }
            if self.tokens.as_slice().is_empty() {
                return Ok(strings);
            }
        }
    }

    /// Reads digits to the end of the entry; blanks between them do not count.
    fn digits(&mut self, expected: &'static str, base: Base) -> Result<Box<[u8]>, Problem> {
        let first = self.next(expected)?;
        let text = self
            .tokens
            .by_ref()
            .fold(first.text, |text, t| text + &t.text);
        match base.decode(&text) {
            Some(octets) => Ok(octets.into()),
            None => Err(Problem::Unexpected {
                expected,
                found: text,
            }),
        }
    }
}

fn unexpected(expected: &'static str, token: Token) -> Problem {
    Problem::Unexpected {
        expected,
        found: token.text,
    }
}

fn not_address(expected: &'static str, found: IpAddr) -> Problem {
    Problem::Unexpected {
        expected,
        found: found.to_string(),
    }
}

/// Returns whether the text ends with a dot that no backslash takes the meaning of.
fn is_absolute(text: &str) -> bool {
    text.strip_suffix('.').is_some_and(|before| {
        let backslashes = before
            .bytes()
            .rev()
            .take_while(|&octet| octet == b'\\')
            .count();
        backslashes % 2 == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        let origin = "example.com.".parse().unwrap();
        let records = records(text, &origin).unwrap_or_else(|error| panic!("{text}: {error}"));
        records.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_entry_is_read_as_the_standard_says() {
        let cases = [
            (
                "ns1 A 192.0.2.1",
                "ns1.example.com. 3600 IN A 192.0.2.1",
                "below the origin",
            ),
            (
                "@ NS ns1",
                "example.com. 3600 IN NS ns1.example.com.",
                "the origin itself",
            ),
            ("x.org. 5 IN NS y.", "x.org. 5 IN NS y.", "absolute names"),
            (". IN 5 NS a.", ". 5 IN NS a.", "class before TTL; the root"),
            (
                r"a\. A 192.0.2.1",
                r"a\..example.com. 3600 IN A 192.0.2.1",
                "an escaped final dot",
            ),
            (
                r"a\\. A 192.0.2.1",
                r"a\\. 3600 IN A 192.0.2.1",
                "an escaped backslash, then a dot",
            ),
            (
                "a 1h30m AAAA 2001:DB8::1",
                "a.example.com. 5400 IN AAAA 2001:db8::1",
                "units",
            ),
            (
                "a ns b ; c",
                "a.example.com. 3600 IN NS b.example.com.",
                "small letters, a comment",
            ),
            (
                "a A 192.0.2.1\r",
                "a.example.com. 3600 IN A 192.0.2.1",
                "carriage return",
            ),
            (
                r#"t TXT "a;(b" c\"\065 "" "#,
                r#"t.example.com. 3600 IN TXT "a;(b" "c\"A" """#,
                "quotes protect, numbers are octets, empty is a string too",
            ),
            (
                "s SOA a b ( 1 ; serial\n 2h\n 3 4\n 5 )",
                "s.example.com. 3600 IN SOA a.example.com. b.example.com. 1 7200 3 4 5",
                "parentheses join lines",
            ),
            (
                "d DS 60485 5 1 ( 2BB183AF5F22588179A53B0A\n 98631FAD1A292118 )",
                "d.example.com. 3600 IN DS 60485 5 1 2bb183af5f22588179a53b0a98631fad1a292118",
                "digits over two lines",
            ),
            (
                "k DNSKEY 257 3 13 AAEC Aw==",
                "k.example.com. 3600 IN DNSKEY 257 3 13 00010203",
                "base 64",
            ),
            (
                r"u TYPE64000 \# 3 00ff 01",
                r"u.example.com. 3600 IN TYPE64000 \# 3 00ff01",
                "RFC 3597",
            ),
            (
                r"u A \# 4 c0000201",
                "u.example.com. 3600 IN A 192.0.2.1",
                "a known type by octets",
            ),
            (
                "m MX 10 mail",
                r"m.example.com. 3600 IN MX \# 20 000a046d61696c076578616d706c6503636f6d00",
                "MX",
            ),
            (
                "c CAA 0 issue \"x\"",
                r"c.example.com. 3600 IN CAA \# 8 000569737375 6578",
                "read by the codec",
            ),
            ("o DNAME new.", "o.example.com. 3600 IN DNAME new.", "DNAME"),
        ];
        for (text, printed, why) in cases {
            let printed = printed.replace("7375 6578", "73756578");
            assert_eq!(read(text), [printed], "{text}: {why}");
        }
    }

    #[test]
    fn owners_ttls_and_origins_are_carried_on() {
        let text = "; a zone\n\n$TTL 60\na A 192.0.2.1\n  A 192.0.2.2\n 7 A 192.0.2.3\n\tA 192.0.2.4\n\
                    $ORIGIN sub\nb A 192.0.2.5\n";
        assert_eq!(
            read(text),
            [
                "a.example.com. 60 IN A 192.0.2.1",
                "a.example.com. 60 IN A 192.0.2.2",
                "a.example.com. 7 IN A 192.0.2.3",
                "a.example.com. 60 IN A 192.0.2.4",
                "b.sub.example.com. 60 IN A 192.0.2.5",
            ]
        );
        assert_eq!(
            read("a 7 A 192.0.2.1\n A 192.0.2.2"),
            [
                "a.example.com. 7 IN A 192.0.2.1",
                "a.example.com. 7 IN A 192.0.2.2"
            ],
            "without $TTL the last explicit one (RFC 1035)"
        );
    }

    #[test]
    fn errors_name_the_line_on_which_the_entry_begins() {
        let cases = [
            (
                "a A 192.0.2.1\nb A 192.0.2\n",
                2,
                "IPv4 address expected, not \"192.0.2\"",
            ),
            (
                "a AAAA 192.0.2.1",
                1,
                "IPv6 address expected, not \"192.0.2.1\"",
            ),
            ("\n\na SOA b c (\n1 2 3\n4", 3, "( is not closed"),
            ("a A 192.0.2.1 )", 1, "nothing is open that ) could close"),
            ("a TXT \"b\n", 1, "\" is not closed"),
            (" A 192.0.2.1", 1, "no owner before"),
            ("$INCLUDE /etc/passwd", 1, "$INCLUDE is not supported"),
            (
                "$GENERATE 1-9 a A 192.0.2.$",
                1,
                "$GENERATE is not supported",
            ),
            ("a HS A 192.0.2.1", 1, "class HS is not supported"),
            ("a", 1, "type expected, but the entry ends"),
            ("a NS", 1, "name expected, but the entry ends"),
            ("a NS b c", 1, "end of the entry expected, not \"c\""),
            (
                "a NS b..c",
                1,
                "\"b..c\" is no name: empty label at character 2",
            ),
            ("a NOTYPE b", 1, "type expected, not \"NOTYPE\""),
            (
                "a 99999999999 A 192.0.2.1",
                1,
                "TTL expected, not \"99999999999\"",
            ),
            (
                "a 2147483648 A 192.0.2.1",
                1,
                "TTL expected, not \"2147483648\"",
            ),
            ("a 1x A 192.0.2.1", 1, "TTL expected, not \"1x\""),
            (r"a TYPE9 \# 2 00", 1, "data of type TYPE9: 1 octets, not 2"),
            (
                r"a A \# 3 000000",
                1,
                "data of type A: unexpected end of input reached",
            ),
            (
                "a DS 1 2 3 4x",
                1,
                "digest in hexadecimal expected, not \"4x\"",
            ),
            ("a DNSKEY 1 2 3 A", 1, "key in base 64 expected, not \"A\""),
            (
                r"a TXT \999",
                1,
                "text of at most 255 octets expected, not \"\\\\999\"",
            ),
        ];
        for (text, line, problem) in cases {
            let error = records(text, &Name::root()).expect_err(text);
            assert_eq!(
                error.to_string(),
                format!("line {line}: {problem}"),
                "{text}"
            );
        }
    }

    #[test]
    fn root_hints_are_read() {
        let hints = "\
;       This file holds the information on root name servers needed to\n\
;       initialize cache of Internet domain name servers\n\
.                        3600000      NS    A.ROOT-SERVERS.NET.\n\
A.ROOT-SERVERS.NET.      3600000      A     198.41.0.4\n\
A.ROOT-SERVERS.NET.      3600000      AAAA  2001:503:ba3e::2:30\n\
; End of file";
        let origin = "elsewhere.".parse().unwrap();
        let printed: Vec<_> = records(hints, &origin)
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            printed,
            [
                ". 3600000 IN NS a.root-servers.net.",
                "a.root-servers.net. 3600000 IN A 198.41.0.4",
                "a.root-servers.net. 3600000 IN AAAA 2001:503:ba3e::2:30",
            ]
        );
    }
}
