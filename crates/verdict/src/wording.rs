//! How findings say things: lists, spans of time, and where a delegation is changed.

use std::{collections::BTreeSet, fmt::Display, net::IpAddr};

use bailiwick_core::{name::Name, record::Ttl, vantage::VantageId};

use crate::picture::{GlueFact, Picture};

/// What registrars call the form in which glue is entered.
pub(crate) const CALLED: &str =
    "(look for host names, child nameservers, personal DNS or glue in its menus)";

/// Lists things for a sentence: `a`, `a and b`, `a, b and c`; `none` where there is none.
pub(crate) fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    match texts.as_slice() {
        [] => "none".to_owned(),
        [only] => only.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// Returns a TTL for people, in the largest unit that fits: `2 days`, `90 minutes`, `0 seconds`.
pub(crate) fn span(seconds: Ttl) -> String {
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
    let fitting = units
        .into_iter()
        .find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
    let (number, word) = match fitting {
        Some((unit, word)) => (seconds / unit, word),
        None => (seconds, "second"),
    };
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// Returns a count with its noun: `1 address`, `2 addresses`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ if noun.ends_with('s') => format!("{number} {noun}es"),
        _ => format!("{number} {noun}s"),
    }
}

/// Returns `one` or `many`, by the number.
pub(crate) fn verb<'t>(number: usize, one: &'t str, many: &'t str) -> &'t str {
    if number == 1 { one } else { many }
}

/// Returns the name as registrars want it typed: without the final dot.
pub(crate) fn host_object(name: &Name) -> String {
    let text = name.to_string();
    match text.strip_suffix('.') {
        Some(bare) if !bare.is_empty() => bare.to_owned(),
        _ => text,
    }
}

/// Says where the delegation is changed, to begin a remedy with.
pub(crate) fn at_the_registrar(picture: &Picture) -> String {
    match picture.parent {
        Some(parent) if parent.is_root() => "At IANA (root zone management)".to_owned(),
        // Below a name such as co.uk. there may be a registry or not.
        Some(parent) if parent.label_count() > 1 => {
            format!("At the registrar, or in the zone {parent} if that is in your hands")
        }
        _ => "At the registrar".to_owned(),
    }
}

/// Tells how to give a host these addresses where it has none.
pub(crate) fn create(picture: &Picture, host: &Name, addresses: &BTreeSet<IpAddr>) -> String {
    format!(
        "{}, create the host object {} {CALLED}",
        at_the_registrar(picture),
        object(host, addresses)
    )
}

/// Names a host object with its addresses, if they are known.
pub(crate) fn object(host: &Name, addresses: &BTreeSet<IpAddr>) -> String {
    let with = if addresses.is_empty() {
        "the addresses of the server".to_owned()
    } else {
        list(addresses)
    };
    format!("{} with {with}", host_object(host))
}

/// Tells how to add these addresses to those that a host has.
pub(crate) fn add(picture: &Picture, host: &Name, addresses: &BTreeSet<IpAddr>) -> String {
    format!(
        "{}, add {} to the host object {} {CALLED}",
        at_the_registrar(picture),
        list(addresses),
        host_object(host)
    )
}

/// Tells how to replace some addresses of a host by others.
pub(crate) fn change(
    picture: &Picture,
    host: &Name,
    old: &BTreeSet<IpAddr>,
    new: &BTreeSet<IpAddr>,
) -> String {
    format!(
        "{}, change the host object {} from {} to {} in one step {CALLED}",
        at_the_registrar(picture),
        host_object(host),
        list(old),
        list(new)
    )
}

/// Puts both sides of a difference beside each other, each with its label.
pub(crate) fn both_sides(fact: &GlueFact) -> String {
    format!(
        "{}: at the registry (glue) {}; in the zone {}{}",
        fact.host.name,
        list(fact.published()),
        list(fact.wanted()),
        fact.seen_at()
    )
}

/// Lists vantage points for a sentence, each with its network where that is known.
pub(crate) fn witnesses<'v>(
    picture: &Picture,
    vantages: impl IntoIterator<Item = &'v VantageId>,
) -> String {
    const MOST: usize = 4;
    let wanted: BTreeSet<&VantageId> = vantages.into_iter().collect();
    let known = picture.vantages.iter().filter(|v| wanted.contains(v.id));
    let mut named: Vec<String> = known
        .take(if wanted.len() > MOST + 1 {
            MOST
        } else {
            MOST + 1
        })
        .map(|vantage| match vantage.place.and_then(|place| place.asn) {
            Some(asn) => format!("{} ({asn})", vantage.id.0),
            None => vantage.id.0.clone(),
        })
        .collect();
    if wanted.len() > named.len() {
        named.push(format!("{} more", wanted.len() - named.len()));
    }
    list(named)
}

/// Says how far what was seen reaches.
pub(crate) fn proved(picture: &Picture) -> String {
    let quorum = picture.quorum;
    let seen = format!("seen from {}", picture.seen_from());
    if !picture.is_fleet() {
        return format!(
            "{seen}; other networks, other anycast instances and caches are not proved"
        );
    }
    let regions = count(quorum.regions, "region");
    if quorum.is_met() {
        return format!("{seen} in {regions}; other anycast instances and caches are not proved");
    }
    let silence = if quorum.networks * 2 > quorum.fleet {
        String::new()
    } else {
        format!(", while {} of {} vote", quorum.networks, quorum.fleet)
    };
    format!(
        "{seen} in {regions}{silence}; other networks, other anycast instances and caches are \
             not proved"
    )
}

/// Tells to wait for instances that are behind, because others `do` it already.
pub(crate) fn wait(picture: &Picture, others_do: &str) -> String {
    let parent = picture.parent.map(ToString::to_string).unwrap_or_default();
    format!(
        "Wait: other servers of {parent} {others_do}; if this one is still behind after a day, \
         report it to the registry"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, address, name};

    #[test]
    fn things_are_listed_as_in_a_sentence() {
        let cases: [(&[&str], &str); 4] = [
            (&[], "none"),
            (&["a"], "a"),
            (&["a", "b"], "a and b"),
            (&["a", "b", "c"], "a, b and c"),
        ];
        for (items, text) in cases {
            assert_eq!(list(items), text);
        }
    }

    #[test]
    fn spans_are_given_in_the_largest_unit_that_fits() {
        let cases = [
            (172_800, "2 days"),
            (86_400, "1 day"),
            (5_400, "90 minutes"),
            (3_600, "1 hour"),
            (61, "61 seconds"),
            (0, "0 seconds"),
        ];
        for (seconds, text) in cases {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn a_remedy_begins_where_the_parent_zone_is_edited() {
        let cases = [
            ("example.com.", "com.", "At the registrar, create"),
            ("com.", ".", "At IANA (root zone management), create"),
            (
                "example.co.uk.",
                "co.uk.",
                "At the registrar, or in the zone co.uk. if that is in your hands, create",
            ),
        ];
        for (zone, parent, start) in cases {
            let host = format!("ns1.{zone}");
            let evidence = Fixture::healthy_zone(zone, parent, &format!("{host} 192.0.2.1"));
            let evidence = evidence.evidence();
            let picture = Picture::of(&evidence);
            let addresses = BTreeSet::from([address("192.0.2.1")]);
            let text = create(&picture, &name(&host), &addresses);
            assert!(text.starts_with(start), "{text}");
            assert!(text.contains("ns1."), "{text}");
            assert!(!text.contains(&format!("{host} ")), "no final dot: {text}");
        }
    }
}
