//! The tables of a verdict: vantage points, parent servers, name servers, resolvers.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
};

use bailiwick_core::{
    delegation::Glue,
    name::Name,
    query::{Survey, Via},
    report::{Found, Lookup},
    server::Family,
    verdict::{AddressRow, Class, HostRow, ParentRow, ResolverRow, VantageRow},
};

use crate::{
    caches::{self, Fresh},
    picture::{
        Child, EdnsBehaviour, Host, Instance, Picture, Referral, Resolver, ResolverResult, Vantage,
    },
    publication::Published,
    usable, wording,
};

/// The vantage points.
pub(crate) fn vantages(picture: &Picture, published: &Published) -> Vec<VantageRow> {
    picture
        .vantages
        .iter()
        .map(|vantage| VantageRow {
            id: vantage.id.clone(),
            fitness: vantage.fitness,
            families: vantage.families(),
            notes: vantage.notes.clone(),
            packets: vantage.packets,
            place: vantage.place.cloned(),
            objections: vantage.objections.clone(),
            published: instances(picture, published, vantage),
            reached: {
                let (reached, closed) = usable::seen_from(picture, vantage);
                (reached, reached + closed)
            },
        })
        .collect()
}

/// Instances that publish all of it, and instances, as a vantage point saw them.
fn instances(picture: &Picture, published: &Published, vantage: &Vantage) -> (usize, usize) {
    let own = &published.classes[picture.seen_by(vantage.id)];
    let count = |is: fn(&Class) -> bool| own.iter().filter(|class| is(class)).count();
    (
        count(|class| *class == Class::New),
        count(|class| *class != Class::Silent),
    )
}

/// The parent servers.
pub(crate) fn parents(picture: &Picture, published: &Published) -> Vec<ParentRow> {
    let said = said(picture);
    published
        .classified(picture)
        .zip(said)
        .map(|((instance, class), said)| ParentRow {
            server: instance.server.clone(),
            nsid: instance.nsid_text(),
            vantage: instance.vantage.clone(),
            class,
            serial: instance.serial(),
            ns_ttl: instance.delegation().map(|delegation| delegation.ns_ttl),
            rtt: instance.rtt(),
            note: note(
                instance,
                class,
                said.iter().flat_map(|said| said.notes.iter()),
            ),
            name_servers: said.map(|said| said.name_servers).unwrap_or_default(),
        })
        .collect()
}

/// What follows from an answer alone, so that it is the same for all instances that give it.
#[derive(Clone)]
struct Said {
    name_servers: Arc<BTreeMap<Name, Glue>>,
    notes: Rc<[String]>,
}

/// What every instance says; `None` where it gave no usable answer.
fn said(picture: &Picture) -> Vec<Option<Said>> {
    let mut said = vec![None; picture.instances.len()];
    for places in &picture.sayings {
        let one = &picture.instances[places[0]];
        let made = one.referral().map(|referral| Said {
            name_servers: Arc::new(name_servers(referral)),
            notes: notes(picture, one, referral).into(),
        });
        for &place in places {
            said[place].clone_from(&made);
        }
    }
    said
}

fn name_servers(referral: &Referral) -> BTreeMap<Name, Glue> {
    match referral {
        Referral::Delegation(delegation) | Referral::Hosted(delegation) => {
            delegation.name_servers.clone()
        }
        _ => BTreeMap::new(),
    }
}

fn notes(picture: &Picture, instance: &Instance, referral: &Referral) -> Vec<String> {
    match referral {
        Referral::Delegation(_) => {
            let differences = picture.differences(instance);
            let material = differences.iter().filter(|d| d.is_material());
            let mut notes: Vec<String> = material.map(|d| format!("{} differs", d.host)).collect();
            if picture.is_disjoint(instance) {
                notes.push("no name in common with the apex".to_owned());
            }
            notes
        }
        Referral::Hosted(_) => vec!["hosts the zone itself".to_owned()],
        Referral::Absent => vec!["NXDOMAIN".to_owned()],
        Referral::Inside(_) => vec!["not delegated".to_owned()],
        Referral::Elsewhere(owner) => vec![format!("refers to {owner}")],
        Referral::NotAuthoritative => vec!["answers without authority".to_owned()],
        Referral::Error(rcode) => vec![rcode.to_string()],
    }
}

/// What differs or failed, in a few words.
fn note<'s>(instance: &Instance, class: Class, said: impl Iterator<Item = &'s String>) -> String {
    if instance.referral().is_none() {
        return instance.failure();
    }
    let mut notes: Vec<Cow<str>> = said.map(Cow::from).collect();
    if class == Class::None && notes.is_empty() {
        notes.push("no glue".into());
    }
    for (answer, via) in [(&instance.udp, Via::Udp), (&instance.tcp, Via::Tcp)] {
        if answer.as_ref().is_some_and(|a| a.message().is_none()) {
            notes.push(format!("no answer over {via}").into());
        }
    }
    notes.dedup();
    notes.join(", ")
}

/// The name servers of the delegation and of the zone.
pub(crate) fn hosts(picture: &Picture) -> Vec<HostRow> {
    picture
        .hosts
        .values()
        .map(|host| HostRow {
            name: host.name.clone(),
            relation: host.relation,
            in_delegation: host.in_delegation,
            in_apex: host.in_apex,
            glue: host.glue.clone(),
            authoritative: host.authoritative(),
            expected: host.expected.clone(),
            addresses: addresses(picture, host),
        })
        .collect()
}

fn addresses(picture: &Picture, host: &Host) -> Vec<AddressRow> {
    picture
        .children
        .values()
        .filter(|child| child.names.contains(&host.name))
        .map(|child| AddressRow {
            address: child.address,
            udp: child.udp().condition(),
            tcp: child.tcp().condition(),
            serial: child.soa().map(|(soa, _)| soa.serial),
            rtt: child.rtt(),
            note: standing(child),
        })
        .collect()
}

fn standing(child: &Child) -> String {
    let (udp, tcp) = (child.udp(), child.tcp());
    let mut note = if udp == tcp {
        udp.to_string()
    } else {
        [(udp, "UDP"), (tcp, "TCP")]
            .into_iter()
            .filter(|(standing, _)| !standing.is_authoritative())
            .map(|(standing, via)| format!("{standing} over {via}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    if child.edns() == EdnsBehaviour::PlainOnly {
        if !note.is_empty() {
            note.push_str(", ");
        }
        note.push_str("does not answer EDNS");
    }
    note
}

/// The public resolvers.
pub(crate) fn resolvers(picture: &Picture) -> Vec<ResolverRow> {
    picture
        .resolvers
        .iter()
        .map(|resolver| {
            let warm = resolver.result(Survey::Warm).rcode();
            ResolverRow {
                service: resolver.service.to_owned(),
                address: resolver.address,
                identity: resolver.identity(),
                stub: resolver.result(Survey::Stub).rcode(),
                warm: warm.map(|rcode| (rcode, resolver.warm_ttl())),
                fresh: resolver.result(Survey::Fresh).rcode(),
                fresh_unchecked: resolver.result(Survey::FreshUnchecked).rcode(),
                extended_errors: resolver.extended_errors(),
                control: match resolver.result(Survey::Control) {
                    ResolverResult::NotAsked => None,
                    _ => Some(resolver.is_well()),
                },
                note: opinion(picture, resolver),
            }
        })
        .collect()
}

fn opinion(picture: &Picture, resolver: &Resolver) -> String {
    let invents = picture
        .vantages
        .iter()
        .any(|v| v.id == resolver.vantage && v.hijacked.contains(&resolver.address));
    if invents {
        return "invents answers for names that do not exist".to_owned();
    }
    let asked = [Survey::Control, Survey::Fresh].map(|survey| resolver.result(survey));
    if asked
        .iter()
        .all(|r| matches!(r, ResolverResult::Silent | ResolverResult::NotAsked))
    {
        return "no answer".to_owned();
    }
    if !resolver.is_well() {
        return "does not resolve the control name".to_owned();
    }
    match caches::fresh(picture, resolver) {
        Fresh::Resolved => String::new(),
        Fresh::Failed => "cannot resolve a name that is not cached".to_owned(),
        Fresh::Unclear => "not asked, or no answer".to_owned(),
    }
}

/// What the verdict does not cover, one line each, in plain words.
pub(crate) fn not_covered(picture: &Picture, published: &Published) -> Vec<String> {
    let mut lines = vec![wording::proved(picture)];
    if !picture.missing.is_empty() {
        let missing = picture.missing.iter().map(|vantage| &vantage.0);
        lines.push(format!("no report came from {}", wording::list(missing)));
    }
    for vantage in &picture.vantages {
        for &family in &vantage.tried {
            if vantage.testifies() && !vantage.alive(family) {
                lines.push(format!(
                    "nothing answers over {family} at {}; nothing is said about {family}",
                    vantage.called()
                ));
            }
        }
    }
    for family in Family::ALL {
        if !picture.vantages.iter().any(|v| v.tried.contains(&family)) {
            lines.push(format!("{family} was not used; nothing is said about it"));
        }
    }
    let heard_elsewhere = |silent: &Instance| {
        picture.answering().any(|other| {
            other.server.address == silent.server.address && other.vantage != silent.vantage
        })
    };
    let silent = picture
        .instances
        .iter()
        .filter(|i| i.referral().is_none() && i.family_alive && !heard_elsewhere(i))
        .map(|i| (i.server.address, i.nsid, i.tcp.is_some()))
        .collect::<BTreeSet<_>>()
        .len();
    if silent > 0 && !matches!(picture.found, Found::Lost(_)) {
        lines.push(match silent {
            1 => "one parent address gave no usable answer".to_owned(),
            more => format!("{more} parent addresses gave no usable answer"),
        });
    }
    for name in &published.unheard {
        lines.push(format!("{name} answers at none of its addresses"));
    }
    for (name, lookup) in &picture.lookups {
        if **lookup == Lookup::NotTried {
            lines.push(format!("{name} was not looked up"));
        }
    }
    let left_out = &picture.left_out;
    let parts = [
        (left_out.names, "name server"),
        (left_out.addresses, "address"),
        (left_out.lookups, "look-up"),
        (left_out.exchanges, "question"),
    ];
    for (count, what) in parts.into_iter().filter(|(count, _)| *count > 0) {
        lines.push(format!(
            "{} {} left out by the limits of one check",
            wording::count(count, what),
            wording::verb(count, "was", "were")
        ));
    }
    if picture.resolvers.is_empty() {
        lines.push("no public resolver was asked".to_owned());
    }
    lines
}
