//! One sentence for everything: the culprit first, in words that need no glossary.

use std::{collections::BTreeSet, net::IpAddr};

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    name::Name,
    observation::Withheld,
    report::Lost,
    server::Family,
    vantage::Fitness,
    verdict::{Caches, Class, Intent, Reachability, State},
};

use crate::{
    picture::{Difference, Instance, Picture, Place, Vantage},
    reachability::{self, Outage},
    rule::CONSEQUENCES,
    state::{Axes, Blind},
    wording,
};

/// Returns the sentence, without the final stop.
pub(crate) fn headline(
    picture: &Picture,
    axes: &Axes,
    state: State,
    blind: Option<&Blind>,
    findings: &[Finding],
) -> String {
    let zone = picture.zone;
    match state {
        State::NotAZone => format!(
            "{zone} is no zone of its own; it lies inside {}",
            parent(picture)
        ),
        State::Broken => broken(picture, axes, findings),
        State::Divergent => not_everywhere(picture, axes, "although its version is as new"),
        State::Publishing => not_everywhere(picture, axes, ""),
        State::NotPublished => not_published(picture, axes),
        State::Inconclusive => blind
            .map(|blind| cannot_see(picture, blind))
            .unwrap_or_default(),
        State::Degraded => degraded(picture, axes, findings),
        _ => consistent(picture, findings),
    }
}

fn parent(picture: &Picture) -> String {
    picture
        .parent
        .map_or_else(|| "the parent zone".to_owned(), Name::to_string)
}

fn consistent(picture: &Picture, findings: &[Finding]) -> String {
    let zone = picture.zone;
    let wanted = match picture.wanted.intent {
        Intent::Inferred => "is delegated as its own servers say",
        _ => "is delegated as expected",
    };
    let warned = findings
        .iter()
        .filter(|f| f.severity >= Severity::Warning && f.actor != Actor::Vantage)
        .count();
    let beside = match warned {
        0 => String::new(),
        1 => "; there is one warning".to_owned(),
        more => format!("; there are {more} warnings"),
    };
    format!("{zone} {wanted}, and its servers answer{beside}")
}

fn broken(picture: &Picture, axes: &Axes, findings: &[Finding]) -> String {
    let (zone, parent) = (picture.zone, parent(picture));
    let Some(outage) = axes.outage else {
        return culprit(findings).unwrap_or_else(|| format!("{zone} cannot be reached"));
    };
    match outage {
        Outage::NoDelegation => format!(
            "{parent} does not know {zone}: the registration has lapsed, is on hold, or never \
             had name servers"
        ),
        Outage::NoAddress => {
            let names = list(picture.delegated_hosts().map(|host| &host.name));
            format!(
                "{parent} delegates {zone} to {names}, but no resolver can find their addresses"
            )
        }
        Outage::Cycle => format!(
            "looking for the name servers of {zone} leads round in a circle and never to an address"
        ),
        Outage::Unusable => format!(
            "none of the addresses that {parent} publishes serves {zone}: {}",
            standings(picture)
        ),
        Outage::Silence if picture.published_servers().is_empty() => {
            let names = list(picture.delegated_hosts().map(|host| &host.name));
            format!(
                "{parent} delegates {zone} to {names}, but the servers that know their addresses \
                 are silent, and public resolvers fail, too"
            )
        }
        Outage::Silence => format!(
            "none of the addresses that {parent} publishes for {zone} answers, and public \
             resolvers fail, too: {}",
            standings(picture)
        ),
        Outage::Nowhere => {
            let cut_off = reachability::cut_off(picture);
            let networks = picture.networks_of(cut_off.iter().map(|vantage| vantage.id));
            format!(
                "none of the addresses that {parent} publishes for {zone} lets {networks} in{}: {}",
                match picture.quorum.networks {
                    all if networks == wording::count(all, "network") => String::new(),
                    all => format!(" of {all}"),
                },
                standings_from(picture, &cut_off)
            )
        }
        Outage::Chain => format!(
            "{parent} vouches (by its DS record) for a key that no server of {zone} has, so \
             validating resolvers refuse every answer; this is no glue problem"
        ),
    }
}

/// How the addresses stand for those that get in nowhere.
fn standings_from(picture: &Picture, vantages: &[&Vantage]) -> String {
    let of = |address: IpAddr| {
        let views = picture.child(address).into_iter().flat_map(|c| &c.views);
        let views = views.filter(|view| vantages.iter().any(|v| v.id == view.vantage));
        views.map(|view| view.standing()).min()
    };
    let all = picture.published_servers().into_iter();
    let all = all.filter_map(|(address, host)| Some(format!("{host} {address} {}", of(address)?)));
    cut(all.collect(), "; ")
}

fn standings(picture: &Picture) -> String {
    let all: Vec<String> = picture
        .published_servers()
        .into_iter()
        .filter_map(|(address, host)| {
            let child = picture.child(address)?;
            Some(match child.withheld() {
                Some(Withheld::SpecialUse) => {
                    format!("{host} {address} cannot be reached from the Internet")
                }
                _ => format!("{host} {address} {}", child.standing()),
            })
        })
        .collect();
    cut(all, "; ")
}

/// Some parent servers publish it, others do not.
fn not_everywhere(picture: &Picture, axes: &Axes, although: &str) -> String {
    let others: Vec<&Instance> = axes
        .published
        .classified(picture)
        .filter(|(_, class)| !matches!(class, Class::New | Class::Silent))
        .map(|(instance, _)| instance)
        .collect();
    let place = Place::of(&others, axes.published.seen);
    let what = others
        .first()
        .map(|instance| instead(picture, instance))
        .unwrap_or_default();
    let although = match although {
        "" => String::new(),
        text => format!(", {text}"),
    };
    format!(
        "{} of {} parent server instances {} what is wanted; {}: {what}{although}",
        axes.published.new,
        axes.published.seen,
        wording::verb(axes.published.new, "publishes", "publish"),
        place.words
    )
}

fn not_published(picture: &Picture, axes: &Axes) -> String {
    let (zone, parent) = (picture.zone, parent(picture));
    let seen: Vec<&Instance> = axes
        .published
        .classified(picture)
        .filter(|(_, class)| *class != Class::Silent)
        .map(|(instance, _)| instance)
        .collect();
    if seen.iter().all(|instance| instance.delegation().is_none()) {
        return format!("{parent} does not delegate {zone} yet");
    }
    let what = seen
        .iter()
        .find(|instance| instance.delegation().is_some())
        .map(|instance| instead(picture, instance))
        .unwrap_or_default();
    let wanted = match picture.wanted.intent {
        Intent::Inferred => "what your zone says",
        _ => "what you expect",
    };
    format!("{parent} does not publish {wanted}: {what}")
}

/// What an instance publishes in the place of what is wanted.
fn instead(picture: &Picture, instance: &Instance) -> String {
    let Some(delegation) = instance.delegation() else {
        return format!("no delegation of {}", picture.zone);
    };
    let differences = picture.differences(instance);
    let material: Vec<String> = differences
        .iter()
        .filter(|difference| difference.is_material())
        .map(difference)
        .collect();
    if !material.is_empty() {
        return cut(material, "; ");
    }
    if picture.is_disjoint(instance) {
        let apex = picture.wanted.names.iter().flatten();
        return format!(
            "it names {}, the zone names {}",
            list(delegation.name_servers.keys()),
            list(apex)
        );
    }
    let has_glue = |glue: &bailiwick_core::delegation::Glue| !glue.is_empty();
    if !delegation.name_servers.values().any(has_glue) {
        return format!("no address for {}", list(delegation.name_servers.keys()));
    }
    "it differs from the others".to_owned()
}

fn difference(difference: &Difference) -> String {
    let (host, family) = (&difference.host, difference.family);
    let wanted = addresses(&difference.wanted.addresses);
    let wanted = match difference.wanted.intent {
        Intent::Inferred => format!("the zone says {wanted}"),
        _ => format!("expected {wanted}"),
    };
    if !difference.named {
        format!("{host} is not named, {wanted}")
    } else if difference.published.is_empty() {
        format!("{host} has no {family} address, {wanted}")
    } else {
        format!("{host} is {}, {wanted}", addresses(&difference.published))
    }
}

fn degraded(picture: &Picture, axes: &Axes, findings: &[Finding]) -> String {
    if let Some(culprit) = culprit(findings) {
        return culprit;
    }
    if axes.sampled.caches == Caches::BrokenResolver {
        let services: Vec<String> = axes.sampled.failing.iter().cloned().collect();
        return format!(
            "{} cannot resolve {}, although its servers answer here",
            services.join(", "),
            picture.zone
        );
    }
    if axes.reachability == Reachability::Partial {
        return format!(
            "{} can be reached from elsewhere, but not from here",
            picture.zone
        );
    }
    format!(
        "not every address of {} works: {}",
        picture.zone,
        standings(picture)
    )
}

/// The fact of the worst finding that is a cause; of equals the first.
fn culprit(findings: &[Finding]) -> Option<String> {
    let domain = || findings.iter().filter(|f| f.actor != Actor::Vantage);
    let causes = domain().filter(|f| !CONSEQUENCES.contains(&f.code.0));
    let worst = |best: Option<Finding>, f: &Finding| match best {
        Some(best) if best.severity >= f.severity => Some(best),
        _ => Some(f.clone()),
    };
    causes
        .fold(None, worst)
        .filter(|f| f.severity >= Severity::Warning)
        .or_else(|| domain().fold(None, worst))
        .map(|finding| finding.detail)
}

fn cannot_see(picture: &Picture, blind: &Blind) -> String {
    let (zone, parent) = (picture.zone, parent(picture));
    match blind {
        Blind::Unfit(Fitness::Offline) => {
            "no root server and no parent server answers: is this machine online?".to_owned()
        }
        Blind::Unfit(Fitness::Intercepted) => format!(
            "something between this machine and the Internet answers DNS questions in the place \
             of others, so nothing can be said about {zone} from here"
        ),
        Blind::Unfit(_) => format!(
            "this machine gets answers for names that do not exist, so nothing can be said \
             about {zone} from here"
        ),
        Blind::Lost(lost) => self::lost(zone, lost),
        Blind::NoParent => format!("no server of {parent} gives a usable answer about {zone}"),
        Blind::ParentName(name) => format!(
            "{name}, a server of {parent}, answers at none of its addresses, so what it \
             publishes for {zone} is not known"
        ),
        Blind::Silence => out_of_sight(picture),
    }
}

/// Why nothing can be said about the zone's servers.
fn out_of_sight(picture: &Picture) -> String {
    let zone = picture.zone;
    let servers = picture.published_servers();
    if servers.is_empty() {
        let names = list(picture.delegated_hosts().map(|host| &host.name));
        return format!("the addresses of {names}, the name servers of {zone}, could not be found");
    }
    let families: BTreeSet<Family> = servers.keys().map(|at| Family::of(*at)).collect();
    let reached = |family: &Family| picture.witnesses(*family).next().is_some();
    if !families.iter().any(reached) {
        return format!(
            "the servers of {zone} have {} addresses only, and nothing answers over {} here",
            wording::list(&families),
            wording::list(&families)
        );
    }
    format!(
        "whether the servers of {zone} answer cannot be told from here: {}",
        standings(picture)
    )
}

fn lost(zone: &Name, lost: &Lost) -> String {
    match lost {
        Lost::NoUsableAnswer { zone: at } if at.is_root() => {
            "no root server gives a usable answer: is this machine online?".to_owned()
        }
        Lost::NoUsableAnswer { zone: at } => {
            format!("no server of {at} gives a usable answer on the way to {zone}")
        }
        Lost::NoAddress { zone: at } => {
            format!("no server of {at}, above {zone}, has an address that can be found")
        }
        Lost::Cycle { path } => format!(
            "looking for the servers above {zone} leads round in a circle ({})",
            list(path.iter())
        ),
        Lost::TooDeep { zone: at } => {
            format!("the delegations above {zone} do not end; this check stopped at {at}")
        }
        Lost::AliasLoop { name } => format!("the alias {name} leads back to itself"),
        Lost::Exhausted => format!("the limits of one check ended before {zone} was reached"),
    }
}

/// Joins names as people write a list.
pub(crate) fn list<'n>(names: impl IntoIterator<Item = &'n Name>) -> String {
    let names: BTreeSet<&Name> = names.into_iter().collect();
    join(names.into_iter().map(Name::to_string).collect())
}

/// Joins addresses as people write a list.
pub(crate) fn addresses(addresses: &BTreeSet<IpAddr>) -> String {
    if addresses.is_empty() {
        return "none".to_owned();
    }
    join(addresses.iter().map(ToString::to_string).collect())
}

fn join(mut all: Vec<String>) -> String {
    if all.len() > 4 {
        let more = all.len() - 3;
        all.truncate(3);
        all.push(format!("{more} more"));
    }
    let Some(last) = all.pop() else {
        return String::new();
    };
    if all.is_empty() {
        last
    } else {
        format!("{} and {last}", all.join(", "))
    }
}

/// Joins the first three, and says how many more there are.
fn cut(mut all: Vec<String>, with: &str) -> String {
    if all.len() > 3 {
        let more = all.len() - 3;
        all.truncate(3);
        all.push(format!("and {more} more"));
    }
    all.join(with)
}

#[cfg(test)]
mod tests {
    use bailiwick_core::{message::Rcode, report::Found};

    use super::*;
    use crate::{
        Policy,
        fixture::{Acts, Fixture, name},
        judge,
    };

    #[test]
    fn the_culprit_is_named_in_one_sentence() {
        let world = || Fixture::healthy("ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2");
        let both = |acts: &Acts| {
            world()
                .acts("192.0.2.1", acts.clone())
                .acts("192.0.2.2", acts.clone())
        };
        let old = "ns1.example.com. 192.0.2.10; ns2.example.com. 192.0.2.2";
        let cases = [
            (
                world(),
                "example.com. is delegated as its own servers say, and its servers answer",
            ),
            (
                world().acts("192.0.2.1", Acts::UdpOnly),
                "example.com. is delegated as its own servers say, and its servers answer; there \
                 is one warning",
            ),
            (
                world().parents(old).acts("192.0.2.10", Acts::Silent),
                "com. does not publish what your zone says: ns1.example.com. is 192.0.2.10, the \
                 zone says 192.0.2.1",
            ),
            (
                world().parents("ns1.example.com.; ns2.example.com."),
                "com. delegates example.com. to ns1.example.com. and ns2.example.com., but no \
                 resolver can find their addresses",
            ),
            (
                both(&Acts::Code(Rcode::REFUSED)),
                "none of the addresses that com. publishes serves example.com.: ns1.example.com. \
                 192.0.2.1 answers REFUSED; ns2.example.com. 192.0.2.2 answers REFUSED",
            ),
            (
                both(&Acts::Silent).without(Family::V4),
                "the servers of example.com. have IPv4 addresses only, and nothing answers over \
                 IPv4 here",
            ),
            (
                world().offline(),
                "no root server and no parent server answers: is this machine online?",
            ),
            (
                world().found(Found::Lost(Lost::TooDeep {
                    zone: name("b.com."),
                })),
                "the delegations above example.com. do not end; this check stopped at b.com.",
            ),
            (
                world()
                    .parent_at("198.51.100.2", old)
                    .serial_at("198.51.100.2", 1),
                "3 of 4 parent server instances publish what is wanted; b.gtld.test. \
                 198.51.100.2: ns1.example.com. is 192.0.2.10, the zone says 192.0.2.1",
            ),
        ];
        for (world, expected) in cases {
            let verdict = judge(&world.evidence(), &Policy::default());
            assert_eq!(verdict.headline, expected);
            assert!(!verdict.headline.contains("  "));
        }
    }
}
