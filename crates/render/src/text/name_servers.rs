//! The name servers of the zone: what registry and zone say of them, how they behave, and the
//! SOA serials that they serve.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use bailiwick_core::{
    delegation::Relation,
    finding::Actor,
    server::Family,
    verdict::{AddressRow, HostRow, Verdict},
};

use crate::{
    layout::{Cell, Column, Paint, Sheet},
    names::{both, list},
    words::{self, count, round_trip, span},
};

pub(super) fn name_servers(sheet: &mut Sheet, verdict: &Verdict) {
    if verdict.name_servers.is_empty() {
        return;
    }
    let about = format!(
        "{} of {}",
        count(verdict.name_servers.len(), "name server"),
        both(&verdict.check.zone)
    );
    sheet.heading("NS", &about);
    for line in classification(&verdict.name_servers) {
        sheet.paragraph("  ", 4, &line, Paint::Plain);
    }
    for host in verdict.name_servers.iter().filter(|host| differs(host)) {
        both_sides(sheet, host);
    }
    sheet.blank();
    let rows: Vec<Vec<Cell>> = verdict
        .name_servers
        .iter()
        .flat_map(|host| host_rows(verdict, host))
        .collect();
    sheet.table(2, &ADDRESS_COLUMNS, &rows);
    if let Some(seconds) = verdict.bounds.child_ttl {
        let line = format!(
            "A resolver may keep what the zone says now for {}.",
            span(seconds)
        );
        sheet.paragraph("  ", 2, &line, Paint::Plain);
    }
}

/// A row with the name, then one for each address.
fn host_rows(verdict: &Verdict, host: &HostRow) -> Vec<Vec<Cell>> {
    let name = Cell::painted(host.name.to_string(), Paint::Strong);
    let mut first = vec![name, Cell::new(named_by(host))];
    if host.addresses.is_empty() {
        first.resize(ADDRESS_COLUMNS.len() - 1, Cell::default());
        first.push(Cell::painted("no address known", Paint::Bad));
    }
    let addresses = host.addresses.iter();
    std::iter::once(first)
        .chain(addresses.map(|address| address_cells(verdict, host, address)))
        .collect()
}

const ADDRESS_COLUMNS: [Column; 6] = [
    Column::left("address", 25),
    Column::left("where seen", 20),
    Column::left("condition", 13),
    Column::right("TTL", 6),
    Column::right("RTT", 7),
    Column::left("note", 80),
];

fn named_by(host: &HostRow) -> &'static str {
    match (host.in_delegation, host.in_apex) {
        (true, true) => "parent and zone",
        (true, false) => "parent only",
        (false, true) => "zone only",
        (false, false) => "expected only",
    }
}

/// Says of every name server whether it needs glue, and why (RFC 9471, section 2).
fn classification(hosts: &[HostRow]) -> Vec<String> {
    let kinds = [
        (Relation::InDomain, "glue is REQUIRED for", "in-domain"),
        (
            Relation::Sibling,
            "glue is optional for",
            "sibling: needed only where two domains depend on each other",
        ),
        (
            Relation::Unrelated,
            "glue is not needed for",
            "unrelated: another domain answers for it",
        ),
    ];
    kinds
        .into_iter()
        .filter_map(|(relation, says, why)| {
            let names = hosts.iter().filter(|h| h.relation == relation);
            let names = list(names.map(|host| &host.name));
            (!names.is_empty()).then(|| format!("{says} {names} ({why})"))
        })
        .collect()
}

/// Whether registry and zone, or registry and expectation, say different things of a host.
fn differs(host: &HostRow) -> bool {
    let comparable = match host.relation {
        Relation::InDomain => true,
        Relation::Sibling => !host.glue.is_empty(),
        Relation::Unrelated => false,
    };
    let zone_known = !host.authoritative.is_empty();
    let unexpected = Family::ALL.into_iter().any(|family| {
        let of = |set: &BTreeSet<IpAddr>| -> BTreeSet<IpAddr> {
            let own = |address: &&IpAddr| Family::of(**address) == family;
            set.iter().filter(own).copied().collect()
        };
        let expected = of(&host.expected);
        !expected.is_empty() && expected != of(&host.glue)
    });
    unexpected || comparable && zone_known && host.glue != host.authoritative
}

/// Shows what registry and zone say of a host, each under its label, with who can change it.
fn both_sides(sheet: &mut Sheet, host: &HostRow) {
    let says = if host.glue.is_empty() {
        "has no glue:"
    } else {
        "is not the same everywhere:"
    };
    sheet.blank();
    sheet.paragraph(
        "  ",
        4,
        &format!("{} {says}", both(&host.name)),
        Paint::Warn,
    );
    let columns = [
        Column::left("at the registry (glue)", 34),
        Column::left("in your zone (A/AAAA)", 39),
        Column::left("", 0),
    ];
    let side = |set: &BTreeSet<IpAddr>, address: &IpAddr| {
        if set.contains(address) {
            Cell::new(address.to_string())
        } else {
            Cell::painted("(not there)", Paint::Bad)
        }
    };
    let mut rows: Vec<Vec<Cell>> = host
        .glue
        .union(&host.authoritative)
        .map(|address| {
            vec![
                side(&host.glue, address),
                side(&host.authoritative, address),
            ]
        })
        .collect();
    if rows.is_empty() {
        rows.push(vec![Cell::new("(none)"), Cell::new("(none)")]);
    }
    rows.push(vec![
        Cell::painted(format!("changed by: {}", Actor::Registrar), Paint::Dim),
        Cell::painted(format!("changed by: {}", Actor::Zone), Paint::Dim),
    ]);
    sheet.table(4, &columns, &rows);
    if !host.expected.is_empty() {
        let expected: Vec<String> = host.expected.iter().map(ToString::to_string).collect();
        sheet.paragraph("    expected: ", 14, &expected.join(", "), Paint::Plain);
    }
}

fn address_cells(verdict: &Verdict, host: &HostRow, row: &AddressRow) -> Vec<Cell> {
    let glue_ttl = words::glue_ttl(verdict, &host.name, row.address);
    let (condition, paint, mut note) = if row.udp == row.tcp {
        (
            row.udp.to_string(),
            words::paint_condition(row.udp),
            String::new(),
        )
    } else {
        (
            "mixed".to_owned(),
            Paint::Warn,
            format!("UDP {}, TCP {}", row.udp, row.tcp),
        )
    };
    if !row.note.is_empty() {
        if !note.is_empty() {
            note.push_str("; ");
        }
        note.push_str(&row.note);
    }
    vec![
        Cell::new(row.address.to_string()),
        Cell::new(where_seen(host, row.address)),
        Cell::painted(condition, paint),
        Cell::new(glue_ttl.map(|ttl| ttl.to_string()).unwrap_or_default()),
        Cell::new(row.rtt.map(round_trip).unwrap_or_default()),
        Cell::new(note),
    ]
}

/// Says where an address of a host was seen.
fn where_seen(host: &HostRow, address: IpAddr) -> String {
    let places = [
        (&host.glue, "glue"),
        (&host.authoritative, "zone"),
        (&host.expected, "expected"),
    ];
    let seen: Vec<&str> = places
        .into_iter()
        .filter(|(set, _)| set.contains(&address))
        .map(|(_, place)| place)
        .collect();
    match seen.as_slice() {
        [] => "looked up".to_owned(),
        [one] => format!("{one} only"),
        several => several.join(", "),
    }
}

pub(super) fn serials(sheet: &mut Sheet, verdict: &Verdict) {
    let mut by_serial: BTreeMap<u32, BTreeSet<IpAddr>> = BTreeMap::new();
    for row in verdict.name_servers.iter().flat_map(|h| &h.addresses) {
        if let Some(serial) = row.serial {
            by_serial.entry(serial).or_default().insert(row.address);
        }
    }
    if by_serial.is_empty() {
        return;
    }
    if let (1, Some((serial, addresses))) = (by_serial.len(), by_serial.first_key_value()) {
        let about = format!(
            "serial {serial} at {} that answer{} with authority",
            count(addresses.len(), "address"),
            if addresses.len() == 1 { "s" } else { "" }
        );
        sheet.heading("SOA", &about);
        return;
    }
    let about = format!("{} different serials", by_serial.len());
    sheet.heading("SOA", &about);
    for (serial, addresses) in by_serial {
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        sheet.row(
            &[(10, Cell::new(serial.to_string()))],
            &addresses.join(", "),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_differ_only_where_the_difference_matters() {
        let set = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect();
        let host = |relation, glue: &[&str], zone: &[&str], expected: &[&str]| HostRow {
            name: "ns1.example.com".parse().unwrap(),
            relation,
            in_delegation: true,
            in_apex: true,
            glue: set(glue),
            authoritative: set(zone),
            expected: set(expected),
            addresses: Vec::new(),
        };
        let (a, b, six) = ("192.0.2.1", "192.0.2.2", "2001:db8::1");
        let cases = [
            (host(Relation::InDomain, &[a], &[a], &[]), false, "equal"),
            (host(Relation::InDomain, &[a], &[b], &[]), true, "unequal"),
            (host(Relation::InDomain, &[], &[a], &[]), true, "no glue"),
            (
                host(Relation::InDomain, &[a], &[], &[]),
                false,
                "zone not heard",
            ),
            (
                host(Relation::Sibling, &[], &[a], &[]),
                false,
                "a sibling needs none",
            ),
            (
                host(Relation::Unrelated, &[a], &[b], &[]),
                false,
                "resolvers ignore it",
            ),
            (
                host(Relation::InDomain, &[a, six], &[a, six], &[a]),
                false,
                "only IPv4 was expected",
            ),
            (
                host(Relation::InDomain, &[a], &[a], &[b]),
                true,
                "expected another",
            ),
        ];
        for (host, expected, why) in cases {
            assert_eq!(differs(&host), expected, "{why}");
        }
    }

    #[test]
    fn where_an_address_was_seen_is_said() {
        let host = HostRow {
            name: "ns1.example.com".parse().unwrap(),
            relation: Relation::InDomain,
            in_delegation: true,
            in_apex: true,
            glue: ["192.0.2.1".parse().unwrap()].into(),
            authoritative: ["192.0.2.1".parse().unwrap()].into(),
            expected: ["192.0.2.2".parse().unwrap()].into(),
            addresses: Vec::new(),
        };
        assert_eq!(
            where_seen(&host, "192.0.2.1".parse().unwrap()),
            "glue, zone"
        );
        assert_eq!(
            where_seen(&host, "192.0.2.2".parse().unwrap()),
            "expected only"
        );
        assert_eq!(where_seen(&host, "192.0.2.3".parse().unwrap()), "looked up");
    }
}
