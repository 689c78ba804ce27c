//! A verdict as a page for a terminal.
//!
//! In the order in which people ask: what is wrong (one sentence), how bad it
//! is (the state and its three axes), where that was seen (Parent, NS and SOA,
//! the order of the well-known web checkers, then the public resolvers), what to do and who
//! can do it, and what this page does not prove.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use bailiwick_core::{
    delegation::Relation,
    finding::{Actor, Finding, Severity},
    server::Family,
    verdict::{AddressRow, HostRow, Intent, ParentRow, ResolverRow, Scope, State, Verdict},
};

use crate::{
    Page,
    layout::{Cell, Column, Paint, Sheet},
    names::{both, list},
    words::{self, count, round_trip, sentence, span},
};

/// Rows that are shown of a longer group that says the same.
const SHOWN_OF_GROUP: usize = 2;
/// Up to so many parent addresses are always shown.
const FEW: usize = 8;
/// Facts that are shown of a finding that was made many times.
const SHOWN_FACTS: usize = 3;

/// Shows a verdict as text.
#[must_use]
pub fn check(page: &Page<'_>) -> String {
    let mut sheet = Sheet::new(page.style);
    summary(&mut sheet, page.verdict);
    parents(&mut sheet, page);
    name_servers(&mut sheet, page.verdict);
    serials(&mut sheet, page.verdict);
    resolvers(&mut sheet, page.verdict);
    models(&mut sheet, page.verdict);
    to_do(&mut sheet, page.verdict);
    not_covered(&mut sheet, page.verdict);
    footer(&mut sheet, page.verdict);
    sheet.finish()
}

fn summary(sheet: &mut Sheet, verdict: &Verdict) {
    let paint = words::paint_state(verdict.state);
    let strong = if paint == Paint::Good {
        Paint::Strong
    } else {
        paint
    };
    sheet.paragraph("", 0, &sentence(&verdict.headline), strong);
    sheet.blank();
    let rows = [
        (
            "state",
            verdict.state.to_string(),
            paint,
            seen_from(verdict),
        ),
        (
            "publication",
            verdict.publication.to_string(),
            words::paint_publication(verdict.publication),
            words::publication(verdict.publication, verdict.published),
        ),
        (
            "reachability",
            verdict.reachability.to_string(),
            words::paint_reachability(verdict.reachability),
            words::reachability(verdict.reachability).to_owned(),
        ),
        (
            "caches",
            verdict.caches.to_string(),
            words::paint_caches(verdict.caches),
            words::caches(verdict.caches).to_owned(),
        ),
    ];
    let width = rows.iter().map(|row| row.1.len()).max().unwrap_or(0);
    for (label, value, paint, rest) in rows {
        let value = Cell::painted(value, paint);
        sheet.row(&[label_cell(label), (width, value)], &rest);
    }
    sheet.row(&[label_cell("measured by")], wanted(verdict.intent));
    sheet.row(&[label_cell("zone")], &both(&verdict.check.zone));
    if let Some(enclosing) = &verdict.enclosing {
        sheet.row(&[label_cell("lies inside")], &both(enclosing));
    }
}

fn label_cell(label: &str) -> (usize, Cell) {
    (12, Cell::painted(label, Paint::Dim))
}

fn seen_from(verdict: &Verdict) -> String {
    match verdict.scope {
        Scope::Local => format!("seen from {}", count(verdict.vantages.len(), "network")),
        Scope::Fleet => format!(
            "seen from {}",
            count(verdict.vantages.len(), "vantage point")
        ),
    }
}

fn wanted(intent: Intent) -> &'static str {
    match intent {
        Intent::Declared => "the declared change",
        Intent::Expected => "what was expected (--expect)",
        Intent::Inferred => "what the zone itself says",
    }
}

fn parents(sheet: &mut Sheet, page: &Page<'_>) {
    let verdict = page.verdict;
    let Some(parent) = &verdict.parent else {
        return;
    };
    let names: BTreeSet<_> = verdict.parents.iter().map(|row| &row.server.name).collect();
    let addresses: BTreeSet<_> = verdict
        .parents
        .iter()
        .map(|row| row.server.address)
        .collect();
    let about = format!(
        "{}: {} with {}",
        both(parent),
        count(names.len(), "server"),
        count(addresses.len(), "address")
    );
    sheet.heading("PARENT", &about);
    let several = verdict.vantages.len() > 1;
    let mut rows = Vec::new();
    let mut more = Vec::new();
    for group in alike(&verdict.parents) {
        let all = page.full || verdict.parents.len() <= FEW || group.len() <= SHOWN_OF_GROUP + 1;
        let shown = if all { group.len() } else { SHOWN_OF_GROUP };
        rows.extend(group[..shown].iter().map(|row| parent_cells(row, several)));
        if shown < group.len() {
            more.push(format!(
                "{} more: {} as above, TTL {}",
                count(group.len() - shown, "address"),
                group[0].class,
                ttl(group[0].ns_ttl)
            ));
        }
    }
    sheet.table(2, &PARENT_COLUMNS, &rows);
    for line in more {
        sheet.paragraph("  + ", 4, &line, Paint::Dim);
    }
    if let Some(seconds) = verdict.bounds.parent_ttl {
        let line = format!(
            "A resolver may keep what the parent says now for {}.",
            span(seconds)
        );
        sheet.paragraph("  ", 2, &line, Paint::Plain);
    }
}

const PARENT_COLUMNS: [Column; 6] = [
    Column::left("address", 25),
    Column::left("where seen", 26),
    Column::left("class", 6),
    Column::right("TTL", 6),
    Column::right("RTT", 7),
    Column::left("note", 80),
];

fn parent_cells(row: &ParentRow, several: bool) -> Vec<Cell> {
    let place = if several {
        format!("{} from {}", row.server.name, row.vantage.0)
    } else {
        row.server.name.to_string()
    };
    vec![
        Cell::new(row.server.address.to_string()),
        Cell::new(place),
        Cell::painted(row.class.to_string(), words::paint_class(row.class)),
        Cell::new(ttl(row.ns_ttl)),
        Cell::new(row.rtt.map(round_trip).unwrap_or_default()),
        Cell::new(&row.note),
    ]
}

fn ttl(ttl: Option<u32>) -> String {
    ttl.map_or_else(|| "-".to_owned(), |ttl| ttl.to_string())
}

/// Groups rows that publish the same, in the order of their first row; what is not as wanted
/// comes first.
fn alike(rows: &[ParentRow]) -> Vec<Vec<&ParentRow>> {
    let mut groups: Vec<Vec<&ParentRow>> = Vec::new();
    for row in rows {
        let same = |other: &ParentRow| {
            (other.class, other.ns_ttl, &other.note, &other.name_servers)
                == (row.class, row.ns_ttl, &row.note, &row.name_servers)
        };
        match groups.iter_mut().find(|group| same(group[0])) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    groups.sort_by_key(|group| group[0].class == bailiwick_core::verdict::Class::New);
    groups
}

fn name_servers(sheet: &mut Sheet, verdict: &Verdict) {
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

fn serials(sheet: &mut Sheet, verdict: &Verdict) {
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

fn resolvers(sheet: &mut Sheet, verdict: &Verdict) {
    if verdict.resolvers.is_empty() {
        return;
    }
    sheet.heading("RESOLVERS", "what users of public resolvers get");
    let rows: Vec<Vec<Cell>> = verdict.resolvers.iter().map(resolver_cells).collect();
    sheet.table(2, &RESOLVER_COLUMNS, &rows);
    sheet.paragraph(
        "  ",
        2,
        "The NS answer of a resolver normally carries no glue, so it proves little. \"fresh\" is a \
         name that no cache can know: NXDOMAIN or NOERROR there means that the delegation was \
         followed to the end. \"CD\" is the same without DNSSEC validation.",
        Paint::Dim,
    );
}

const RESOLVER_COLUMNS: [Column; 7] = [
    Column::left("address", 25),
    Column::left("service", 12),
    Column::left("stub", 8),
    Column::left("fresh", 8),
    Column::left("CD", 8),
    Column::right("NS TTL", 6),
    Column::left("note", 80),
];

fn resolver_cells(row: &ResolverRow) -> Vec<Cell> {
    let rcode = |rcode: Option<bailiwick_core::message::Rcode>| {
        Cell::new(rcode.map_or_else(|| "-".to_owned(), |rcode| rcode.to_string()))
    };
    let mut notes = Vec::new();
    if !row.note.is_empty() {
        notes.push(row.note.clone());
    }
    if !row.extended_errors.is_empty() {
        let codes: Vec<String> = row.extended_errors.iter().map(u16::to_string).collect();
        notes.push(format!("EDE {}", codes.join(", ")));
    }
    if row.control == Some(false) {
        notes.push("fails on its control name, too".to_owned());
    }
    if let Some(identity) = &row.identity {
        notes.push(format!("is {identity}"));
    }
    vec![
        Cell::new(row.address.to_string()),
        Cell::new(&row.service),
        rcode(row.stub),
        rcode(row.fresh),
        rcode(row.fresh_unchecked),
        Cell::new(ttl(row.warm.and_then(|(_, ttl)| ttl))),
        Cell::new(notes.join("; ")),
    ]
}

fn models(sheet: &mut Sheet, verdict: &Verdict) {
    if verdict.models.is_empty() {
        return;
    }
    sheet.heading(
        "COLD START",
        "which kinds of resolver get in with an empty cache",
    );
    let (well, ill): (Vec<_>, Vec<_>) = verdict
        .models
        .iter()
        .partition(|result| result.success_percent == 100);
    if !well.is_empty() {
        let well: Vec<String> = well.iter().map(|r| r.model.to_string()).collect();
        sheet.paragraph("  yes: ", 7, &well.join(", "), Paint::Plain);
    }
    for result in ill {
        let share = match result.success_percent {
            0 => "no:  ".to_owned(),
            percent => format!("{percent} %: "),
        };
        let mut line = result.model.to_string();
        if let Some(at) = &result.fails_at {
            line = format!("{line}, at {at}");
        }
        if !result.baseline {
            line.push_str(" (no fault of this domain)");
        }
        let paint = if result.baseline {
            Paint::Bad
        } else {
            Paint::Dim
        };
        sheet.paragraph(&format!("  {share}"), 7, &line, paint);
    }
}

/// Findings that differ in their facts only: one instruction.
fn grouped(findings: &[Finding]) -> Vec<Vec<&Finding>> {
    let mut groups: Vec<Vec<&Finding>> = Vec::new();
    for finding in findings {
        let same = |other: &Finding| {
            (other.code, other.severity, other.actor, &other.remedy)
                == (
                    finding.code,
                    finding.severity,
                    finding.actor,
                    &finding.remedy,
                )
        };
        match groups.iter_mut().find(|group| same(group[0])) {
            Some(group) => group.push(finding),
            None => groups.push(vec![finding]),
        }
    }
    groups
}

fn to_do(sheet: &mut Sheet, verdict: &Verdict) {
    let (notes, tasks): (Vec<_>, Vec<_>) = grouped(&verdict.findings)
        .into_iter()
        .partition(|group| group[0].severity == Severity::Info);
    let well = matches!(
        verdict.state,
        State::Consistent | State::Confirmed | State::PublishedDraining
    );
    match (&verdict.enclosing, tasks.is_empty()) {
        (Some(enclosing), true) => {
            let about = format!("bailiwick check {enclosing}");
            sheet.heading("DO THIS NOW", &about);
        }
        (_, false) => sheet.heading("DO THIS NOW", ""),
        (None, true) if well => sheet.heading("DO THIS NOW", "nothing"),
        (None, true) => {}
    }
    for (at, group) in tasks.iter().enumerate() {
        let first = group[0];
        sheet.row(
            &[
                (2, Cell::new(format!("{}.", at + 1))),
                (
                    8,
                    Cell::painted(
                        first.severity.to_string(),
                        words::paint_severity(first.severity),
                    ),
                ),
                (14, Cell::painted(first.actor.to_string(), Paint::Strong)),
            ],
            first.code.0,
        );
        facts(sheet, "      ", group);
        if !first.remedy.is_empty() {
            sheet.paragraph("      -> ", 9, &sentence(&first.remedy), Paint::Strong);
        }
    }
    if !notes.is_empty() {
        sheet.heading("ALSO NOTED", "");
        for group in notes {
            facts(sheet, "  - ", &group);
            if !group[0].remedy.is_empty() {
                sheet.paragraph("      -> ", 9, &sentence(&group[0].remedy), Paint::Plain);
            }
        }
    }
    if let Some(first) = tasks.first() {
        let line = format!("More on it: bailiwick explain {}", first[0].code);
        sheet.paragraph("  ", 4, &line, Paint::Dim);
    }
}

fn facts(sheet: &mut Sheet, lead: &str, group: &[&Finding]) {
    let shown = if group.len() <= SHOWN_FACTS + 1 {
        group.len()
    } else {
        SHOWN_FACTS
    };
    for finding in &group[..shown] {
        sheet.paragraph(lead, lead.len(), &sentence(&finding.detail), Paint::Plain);
    }
    if shown < group.len() {
        let line = format!("and {} more of this kind", group.len() - shown);
        sheet.paragraph(lead, lead.len(), &line, Paint::Dim);
    }
}

fn not_covered(sheet: &mut Sheet, verdict: &Verdict) {
    if verdict.not_covered.is_empty() {
        return;
    }
    sheet.heading("NOT COVERED", "");
    for line in &verdict.not_covered {
        sheet.paragraph("  - ", 4, &sentence(line), Paint::Plain);
    }
}

fn footer(sheet: &mut Sheet, verdict: &Verdict) {
    sheet.blank();
    for row in &verdict.vantages {
        let families: Vec<String> = row.families.iter().map(ToString::to_string).collect();
        let families = if families.is_empty() {
            "no network".to_owned()
        } else {
            families.join(" and ")
        };
        let mut line = format!("vantage {}: {}, {families}", row.id.0, row.fitness);
        for note in &row.notes {
            line.push_str("; ");
            line.push_str(note);
        }
        sheet.paragraph("", 2, &line, Paint::Dim);
    }
    let line = format!(
        "{}, {}, {}, exit code {}",
        verdict.at,
        words::seconds(verdict.elapsed),
        count(verdict.packets as usize, "packet"),
        verdict.state.exit_code()
    );
    sheet.paragraph("", 2, &line, Paint::Dim);
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
