//! Whether this vantage point is fit to testify: the controls that send packets of their own.

use bailiwick_core::{
    check::Check,
    delegation::Delegation,
    message::Question,
    name::Name,
    observation::Observation,
    query::{Control, Options, Purpose, Query, QueryId, Via},
    record::{RecordType, Ttl},
    server::{Family, Role, Server},
};

use crate::{patience, survey};

/// How many root servers are asked in each family.
const LETTERS: usize = 3;

/// Returns the questions that need to know nothing: C2 at the root, C3, and C5 at a resolver.
pub(crate) fn questions(check: &Check) -> Vec<Query> {
    let mut queries = Vec::new();
    let salt = usize::try_from(check.nonce % 1_000_003).unwrap_or(0);
    for family in &check.families {
        let servers: Vec<&Server> = check
            .roots
            .iter()
            .filter(|root| Family::of(root.address) == *family)
            .collect();
        let turned = |at: usize| servers.get((salt + at) % servers.len().max(1)).copied();
        let letters: Vec<&Server> = (0..LETTERS.min(servers.len())).filter_map(turned).collect();
        for server in &letters {
            queries.push(at_root(server, Via::Udp));
        }
        if let Some(server) = letters.first() {
            queries.push(at_root(server, Via::Tcp));
        }
    }
    queries.extend(blackholes(check));
    queries.extend(absent_at_resolver(check, salt));
    queries
}

/// Returns C5 under the parent zone: a name that does not exist there.
pub(crate) fn absent_below(check: &Check, parent: &Name, server: &Server) -> Option<Query> {
    let name = parent.child(survey::unknown_label(check).as_bytes()).ok()?;
    Some(Query {
        role: if parent.is_root() {
            Role::Root
        } else {
            Role::Parent
        },
        zone: parent.clone(),
        purpose: Purpose::Control(Control::Absent),
        questions: vec![Question::new(name, RecordType::A)],
        ..at_root(server, Via::Udp)
    })
}

/// Returns C4's second half: the same referral once more.
pub(crate) fn again(observation: &Observation) -> Query {
    Query {
        id: QueryId::default(),
        server: observation.server.clone(),
        role: observation.role,
        zone: observation.zone.clone(),
        purpose: Purpose::Control(Control::Constancy),
        via: Via::Udp,
        questions: vec![observation.question.clone()],
        options: observation.options,
        patience: patience::FIRST,
    }
}

/// Returns the referral that makes a cache on the path likely: an authority that offers
/// recursion, or a parent zone whose TTLs are not the same everywhere. `None` if nothing does.
pub(crate) fn suspect<'a>(
    observations: impl Iterator<Item = &'a Observation>,
    zone: &Name,
) -> Option<&'a Observation> {
    let mut first_ttl: Option<Ttl> = None;
    let referrals = observations.filter(|observation| {
        observation.purpose == Purpose::Parent
            && observation.via == Via::Udp
            && observation.question.name == *zone
    });
    let mut suspect = None;
    for observation in referrals {
        let Some(message) = observation.reply() else {
            continue;
        };
        if message.flags.recursion_available {
            return Some(observation);
        }
        if let Some(delegation) = Delegation::read(message, zone) {
            let expected = *first_ttl.get_or_insert(delegation.ns_ttl);
            if delegation.ns_ttl != expected {
                suspect.get_or_insert(observation);
            }
        }
    }
    suspect
}

fn at_root(server: &Server, via: Via) -> Query {
    Query {
        id: QueryId::default(),
        server: server.clone(),
        role: Role::Root,
        zone: Name::root(),
        purpose: Purpose::Control(Control::Root),
        via,
        questions: vec![Question::new(Name::root(), RecordType::SOA)],
        options: Options::ITERATIVE,
        patience: patience::TCP,
    }
}

fn blackholes(check: &Check) -> impl Iterator<Item = Query> {
    let usable = check
        .blackholes
        .iter()
        .filter(|&&a| check.families.contains(&Family::of(a)));
    usable.map(|&address| Query {
        role: Role::Blackhole,
        purpose: Purpose::Control(Control::Blackhole),
        // Nothing is waited for here: silence until the check ends is what is hoped for.
        patience: check.timeout,
        ..at_root(
            &Server {
                name: Name::root(),
                address,
            },
            Via::Udp,
        )
    })
}

fn absent_at_resolver(check: &Check, salt: usize) -> Option<Query> {
    let resolvers: Vec<_> = survey::addresses(check).collect();
    let (resolver, address) = *resolvers.get(salt % resolvers.len().max(1))?;
    let invalid = Name::from_labels([b"invalid"]).ok()?;
    let name = invalid
        .child(survey::unknown_label(check).as_bytes())
        .ok()?;
    Some(Query {
        role: Role::Resolver,
        purpose: Purpose::Control(Control::Absent),
        questions: vec![Question::new(name, RecordType::A)],
        options: Options::RECURSIVE,
        ..at_root(&survey::server(resolver, address), Via::Udp)
    })
}
