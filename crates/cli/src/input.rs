//! What people type, read into finished types at once.
//!
//! Every error says what is wrong and how it should look.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use bailiwick_core::{
    check::Expectation,
    name::Name,
    record::{Record, RecordData},
    server::Server,
};

/// The longest time-out (limit B8 of a full round).
pub const LONGEST: Duration = bailiwick_core::limit::Limits::FULL_ROUND.wall_time;

/// `HOST=ADDR[,ADDR]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostAddresses {
    /// The host.
    pub host: Name,
    /// Its addresses.
    pub addresses: BTreeSet<IpAddr>,
}

/// `NAME=ADDR[,ADDR]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NamedAddresses {
    /// What people call it.
    pub name: String,
    /// Its addresses.
    pub addresses: BTreeSet<IpAddr>,
}

/// Reads a domain name as people write it, internationalised names included.
///
/// # Errors
///
/// Returns what is wrong with it.
pub fn name(text: &str) -> Result<Name, String> {
    if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split(['/', ':', '?', '#']).next().unwrap_or_default();
        return Err(format!(
            "this is an address of a page; give the name {host}"
        ));
    }
    if text.parse::<IpAddr>().is_ok() {
        return Err("this is an address, not a name".to_owned());
    }
    if let Some(blank) = text.find(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(format!("blank or control character at {blank}"));
    }
    if text.is_ascii() {
        return text.parse().map_err(|error| format!("{error}"));
    }
    let ascii = idna::domain_to_ascii(text)
        .map_err(|_| "not a valid internationalised name (IDNA, UTS 46)".to_owned())?;
    ascii.parse().map_err(|error| format!("{error}"))
}

/// Reads the name of a zone that can have a delegation.
///
/// # Errors
///
/// Returns what is wrong with it.
pub fn zone(text: &str) -> Result<Name, String> {
    let zone = name(text)?;
    if zone.is_root() {
        return Err("the root has no parent, so nothing delegates it".to_owned());
    }
    Ok(zone)
}

/// Reads a duration with its unit.
///
/// # Errors
///
/// Returns what is wrong with it.
pub fn duration(text: &str) -> Result<Duration, String> {
    let how = "write a number and a unit: 2s, 500ms, 1m, 1h or 1d";
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u32 = digits.parse().map_err(|_| how.to_owned())?;
    match &text[digits.len()..] {
        "ms" => Ok(Duration::from_millis(number.into())),
        "s" => Ok(Duration::from_secs(number.into())),
        "m" | "min" => Ok(Duration::from_secs(u64::from(number) * 60)),
        "h" => Ok(Duration::from_secs(u64::from(number) * 3_600)),
        "d" => Ok(Duration::from_secs(u64::from(number) * 86_400)),
        _ => Err(how.to_owned()),
    }
}

/// Reads how long a run may take.
///
/// # Errors
///
/// Returns what is wrong with it.
pub fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = duration(text)?;
    if timeout.is_zero() || timeout > LONGEST {
        return Err(format!("more than 0 and at most {}s", LONGEST.as_secs()));
    }
    Ok(timeout)
}

/// Reads how long an invitation is good for.
///
/// # Errors
///
/// Returns what is wrong with it.
pub fn life(text: &str) -> Result<Duration, String> {
    let life = duration(text)?;
    if life < Duration::from_secs(1) {
        return Err("at least 1s".to_owned());
    }
    Ok(life)
}

/// Reads `LABEL=VALUE`.
///
/// # Errors
///
/// Returns what is wrong with it.
pub fn label(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.is_empty() => Ok(text.to_owned()),
        _ => Err("write LABEL=VALUE, as in rir=ripe".to_owned()),
    }
}

/// Reads the identity of a check, or its beginning: hexadecimal digits.
///
/// # Errors
///
/// Returns what is wrong with it.
pub fn check(text: &str) -> Result<String, String> {
    let digits = text.to_ascii_lowercase();
    if (4..=32).contains(&digits.len()) && digits.bytes().all(|o| o.is_ascii_hexdigit()) {
        return Ok(digits);
    }
    Err("a check is named by 4 to 32 hexadecimal digits; bailiwick history shows them".to_owned())
}

/// Reads the identity of a watch, or its beginning: hexadecimal digits.
///
/// # Errors
///
/// Returns what is wrong with it.
pub fn watch(text: &str) -> Result<String, String> {
    let why = "a watch is named by 4 to 32 hexadecimal digits; bailiwick watch list shows them";
    check(text).map_err(|_| why.to_owned())
}

/// Reads `HOST=ADDR[,ADDR]`.
///
/// # Errors
///
/// Returns what is wrong with it.
pub fn host_addresses(text: &str) -> Result<HostAddresses, String> {
    let (host, listed) = text
        .split_once('=')
        .ok_or("write HOST=ADDR, as in ns1.example.com=192.0.2.1,2001:db8::1")?;
    Ok(HostAddresses {
        host: name(host).map_err(|error| format!("{host}: {error}"))?,
        addresses: addresses(listed)?,
    })
}

/// Reads `NAME=ADDR[,ADDR]`.
///
/// # Errors
///
/// Returns what is wrong with it.
pub fn named_addresses(text: &str) -> Result<NamedAddresses, String> {
    let (name, listed) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or("write NAME=ADDR, as in office=192.0.2.53")?;
    Ok(NamedAddresses {
        name: name.to_owned(),
        addresses: addresses(listed)?,
    })
}

fn addresses(listed: &str) -> Result<BTreeSet<IpAddr>, String> {
    listed
        .split(',')
        .map(|one| {
            let one = one.trim();
            one.parse()
                .map_err(|_| format!("{one:?} is no IPv4 or IPv6 address"))
        })
        .collect()
}

/// Reads a file of expected addresses.
///
/// Either every line is `HOST ADDR[,ADDR]` or `HOST=ADDR[,ADDR]`, or the file is a zone file
/// whose origin is the zone: then the addresses of the name servers that it names are expected,
/// or, without NS records, all its addresses. Comments begin with `;` or `#`.
///
/// # Errors
///
/// Returns the first line that is neither, or that nothing is expected.
pub fn expectation(text: &str, zone: &Name) -> Result<Expectation, String> {
    let hosts = match plain_lines(text) {
        Some(lines) => by_host(lines?),
        None => of_zone_file(text, zone)?,
    };
    if hosts.is_empty() {
        return Err("no address in it; write lines such as ns1.example.com 192.0.2.1".to_owned());
    }
    Ok(Expectation { hosts })
}

/// Reads the plain form; `None` if some line is not of its form.
fn plain_lines(text: &str) -> Option<Result<Vec<HostAddresses>, String>> {
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split([';', '#']).next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let written = match line.split_once('=') {
            Some(_) => line.to_owned(),
            None => {
                let (host, listed) = line.split_once(char::is_whitespace)?;
                // A zone file has a type before the address.
                if listed.split_whitespace().count() != 1 || line.starts_with('$') {
                    return None;
                }
                format!("{host}={}", listed.trim())
            }
        };
        match host_addresses(&written) {
            Ok(read) => lines.push(read),
            Err(error) => return Some(Err(format!("line {}: {error}", number + 1))),
        }
    }
    Some(Ok(lines))
}

/// Joins lines about the same host.
#[must_use]
pub fn by_host(lines: impl IntoIterator<Item = HostAddresses>) -> BTreeMap<Name, BTreeSet<IpAddr>> {
    let mut hosts: BTreeMap<Name, BTreeSet<IpAddr>> = BTreeMap::new();
    for line in lines {
        hosts.entry(line.host).or_default().extend(line.addresses);
    }
    hosts
}

fn of_zone_file(text: &str, zone: &Name) -> Result<BTreeMap<Name, BTreeSet<IpAddr>>, String> {
    let records = bailiwick_wire::zone::records(text, zone).map_err(|error| error.to_string())?;
    let named: BTreeSet<&Name> = name_servers(&records, zone).collect();
    let mut hosts: BTreeMap<Name, BTreeSet<IpAddr>> = BTreeMap::new();
    for record in &records {
        if let Some(address) = record.data.address()
            && (named.is_empty() || named.contains(&record.name))
        {
            hosts
                .entry(record.name.clone())
                .or_default()
                .insert(address);
        }
    }
    Ok(hosts)
}

fn name_servers<'a>(records: &'a [Record], zone: &'a Name) -> impl Iterator<Item = &'a Name> {
    records.iter().filter_map(move |record| match &record.data {
        RecordData::Ns(host) if record.name == *zone => Some(host),
        _ => None,
    })
}

/// Reads root hints (the form of named.root).
///
/// # Errors
///
/// Returns the line that cannot be read, or that there is no root server with an address.
pub fn root_hints(text: &str) -> Result<Vec<Server>, String> {
    let root = Name::root();
    let records = bailiwick_wire::zone::records(text, &root).map_err(|error| error.to_string())?;
    let named: BTreeSet<&Name> = name_servers(&records, &root).collect();
    let servers: BTreeSet<Server> = records
        .iter()
        .filter(|record| named.contains(&record.name))
        .filter_map(|record| {
            Some(Server {
                name: record.name.clone(),
                address: record.data.address()?,
            })
        })
        .collect();
    if servers.is_empty() {
        return Err(
            "no root server with an address; expected NS records of . with A or AAAA \
                    records, as in named.root"
                .to_owned(),
        );
    }
    Ok(servers.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_read_as_people_write_them() {
        let cases = [
            ("example.com", "example.com.", "without the final dot"),
            ("EXAMPLE.com.", "example.com.", "in any case"),
            ("b\u{fc}cher.example", "xn--bcher-kva.example.", "an umlaut"),
            ("B\u{dc}CHER.example", "xn--bcher-kva.example.", "folded"),
            (
                "\u{4f8b}\u{3048}\u{3002}jp",
                "xn--r8jz45g.jp.",
                "ideographic full stop",
            ),
            (
                "_dmarc.b\u{fc}cher.example",
                "_dmarc.xn--bcher-kva.example.",
                "underscore",
            ),
            (
                "xn--bcher-kva.example",
                "xn--bcher-kva.example.",
                "already coded",
            ),
        ];
        for (text, read, why) in cases {
            assert_eq!(name(text), Ok(is(read)), "{text}: {why}");
        }
    }

    #[test]
    fn what_is_no_zone_is_refused_with_a_reason() {
        let cases = [
            ("a..b", "empty label", "two dots"),
            (
                "https://example.com/x",
                "give the name example.com",
                "a URL",
            ),
            ("192.0.2.1", "an address, not a name", "an address"),
            ("2001:db8::1", "an address, not a name", "an address"),
            ("example .com", "blank", "a blank"),
            (".", "no parent", "the root"),
            (
                "\u{202e}x.example",
                "not a valid internationalised name",
                "an override",
            ),
            ("", "empty name", "nothing"),
        ];
        for (text, part, why) in cases {
            let error = zone(text).unwrap_err();
            assert!(error.contains(part), "{text:?}, {why}: {error}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        let ok = [("2s", 2_000), ("500ms", 500), ("1m", 60_000)];
        for (text, milliseconds) in ok {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)));
        }
        for text in ["2", "s", "", "1.5s", "-1s", "2w", "99999999999s"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(timeout("45s"), Ok(LONGEST));
        for text in ["0s", "46s", "1m"] {
            assert!(timeout(text).unwrap_err().contains("at most 45s"), "{text}");
        }
    }

    #[test]
    fn hosts_have_addresses() {
        let read = host_addresses("NS1.example.com=192.0.2.1, 2001:db8::1").unwrap();
        assert_eq!(read.host, is("ns1.example.com"));
        assert_eq!(read.addresses.len(), 2);
        for (text, part) in [
            ("ns1.example.com", "HOST=ADDR"),
            ("ns1.example.com=", "no IPv4 or IPv6 address"),
            ("ns1.example.com=192.0.2.256", "192.0.2.256"),
            ("a..b=192.0.2.1", "a..b: empty label"),
        ] {
            let error = host_addresses(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(named_addresses("=192.0.2.1").is_err(), "a name is needed");
    }

    #[test]
    fn expectations_come_from_lines_or_from_a_zone_file() {
        let own = is("example.com");
        let cases = [
            (
                "ns1.example.com 192.0.2.1\nns1.example.com=2001:db8::1 ; six\n",
                "host and address",
            ),
            (
                "$ORIGIN example.com.\n@ 3600 IN NS ns1\nns1 3600 IN A 192.0.2.1\n\
                 ns1 AAAA 2001:db8::1\nwww A 192.0.2.80\n",
                "a zone file: name servers only",
            ),
            (
                "ns1.example.com. IN A 192.0.2.1\nns1.example.com. IN AAAA 2001:db8::1\n",
                "address records alone",
            ),
        ];
        for (text, why) in cases {
            let read = expectation(text, &own).unwrap();
            let hosts: Vec<(String, usize)> = read
                .hosts
                .iter()
                .map(|(host, addresses)| (host.to_string(), addresses.len()))
                .collect();
            assert_eq!(hosts, [("ns1.example.com.".to_owned(), 2)], "{why}");
        }
        let error = expectation("ns1.example.com 192.0.2.1\nns2.example.com nowhere\n", &own);
        assert!(error.unwrap_err().starts_with("line 2: "));
        assert!(expectation("; nothing\n", &own).is_err());
    }

    #[test]
    fn root_hints_are_name_servers_with_addresses() {
        let text = ".  3600000  NS  A.ROOT-SERVERS.NET.\n\
                    A.ROOT-SERVERS.NET.  3600000  A  198.41.0.4\n\
                    A.ROOT-SERVERS.NET.  3600000  AAAA  2001:503:ba3e::2:30\n";
        let servers = root_hints(text).unwrap();
        assert_eq!(servers.len(), 2);
        assert_eq!(servers[0].to_string(), "a.root-servers.net. 198.41.0.4");
        assert!(root_hints("www.example. A 192.0.2.1\n").is_err(), "no NS");
        assert!(root_hints("what is this").is_err());
    }
}
