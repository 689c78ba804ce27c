//! What the evidence means: three axes, one state, and the tables that people read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use crate::{
    check::Check,
    delegation::{Glue, Relation},
    finding::Finding,
    message::Rcode,
    name::Name,
    place::Place,
    record::Ttl,
    server::{Family, Server},
    time::Timestamp,
    vantage::{Fitness, Objection, VantageId},
};

/// Axis A: how far the parent servers have come in publishing the delegation.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Publication {
    /// An instance that had published it does so no more.
    Regressed,
    /// Instances contradict each other beyond what a delay explains.
    Divergent,
    /// No instance publishes it.
    NotPublished,
    /// Some instances publish it.
    Publishing,
    /// All instances seen publish it.
    Published,
    /// Not known.
    Unknown,
}

/// Axis B: whether the delegated servers can be reached with an empty cache.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Reachability {
    /// No way in.
    Broken,
    /// A way in from some vantage points only.
    Partial,
    /// A way in, but not every way works.
    Degraded,
    /// Every way works.
    Reachable,
    /// Not known.
    Unknown,
}

/// Axis C: what caches may still hold.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Caches {
    /// A resolver that is well fails for the zone.
    BrokenResolver,
    /// Old data is still handed out, or may be.
    Draining,
    /// Holders of the old delegation reach no server.
    Exposed,
    /// Old data is renewed for ever.
    Stalled,
    /// No old data, and its time is over.
    Converged,
    /// No old data in the samples taken.
    SampledOk,
    /// Not known.
    Unknown,
}

/// One word for everything; the order is that of the table in which the first match wins.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum State {
    /// The name lies inside a zone.
    NotAZone,
    /// Published before, and no more.
    Regressed,
    /// Cannot be resolved with an empty cache.
    Broken,
    /// Parent servers contradict each other.
    Divergent,
    /// The parent does not publish it.
    NotPublished,
    /// The parent is publishing it.
    Publishing,
    /// Could not be seen.
    Inconclusive,
    /// Resolves, but not in every way.
    Degraded,
    /// Caches keep renewing the old data.
    Stalled,
    /// Published; caches may hold the old data.
    PublishedDraining,
    /// Published, reachable, and no cache holds the old data.
    Confirmed,
    /// No change is declared; all that was seen agrees and is reachable.
    Consistent,
}

impl State {
    /// Every state, in order.
    pub const ALL: [Self; 12] = [
        Self::NotAZone,
        Self::Regressed,
        Self::Broken,
        Self::Divergent,
        Self::NotPublished,
        Self::Publishing,
        Self::Inconclusive,
        Self::Degraded,
        Self::Stalled,
        Self::PublishedDraining,
        Self::Confirmed,
        Self::Consistent,
    ];

    /// Returns the exit code of a program that ends with this state.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::NotAZone => 2,
            Self::Regressed => 31,
            Self::Broken => 30,
            Self::Divergent => 21,
            Self::NotPublished => 12,
            Self::Publishing => 11,
            Self::Inconclusive => 40,
            Self::Degraded => 20,
            Self::Stalled => 22,
            Self::PublishedDraining => 10,
            Self::Confirmed | Self::Consistent => 0,
        }
    }
}

macro_rules! screaming {
    ($($kind:ident { $($variant:ident => $text:literal),+ $(,)? })+) => { $(
        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text),+ })
            }
        }
    )+ };
}

screaming! {
    Publication {
        Regressed => "REGRESSED", Divergent => "DIVERGENT", NotPublished => "NOT_PUBLISHED",
        Publishing => "PUBLISHING", Published => "PUBLISHED", Unknown => "UNKNOWN",
    }
    Reachability {
        Broken => "BROKEN", Partial => "PARTIAL", Degraded => "DEGRADED",
        Reachable => "REACHABLE", Unknown => "UNKNOWN",
    }
    Caches {
        BrokenResolver => "BROKEN_RES", Draining => "DRAINING", Exposed => "EXPOSED",
        Stalled => "STALLED", Converged => "CONVERGED", SampledOk => "SAMPLED_OK",
        Unknown => "UNKNOWN",
    }
    State {
        NotAZone => "NOT_A_ZONE", Regressed => "REGRESSED", Broken => "BROKEN",
        Divergent => "DIVERGENT", NotPublished => "NOT_PUBLISHED", Publishing => "PUBLISHING",
        Inconclusive => "INCONCLUSIVE", Degraded => "DEGRADED", Stalled => "STALLED",
        PublishedDraining => "PUBLISHED_DRAINING", Confirmed => "CONFIRMED",
        Consistent => "CONSISTENT",
    }
    Scope { Local => "local", Fleet => "fleet" }
    Intent { Declared => "declared", Expected => "expected", Inferred => "inferred" }
    Class {
        New => "NEW", Old => "OLD", Mixed => "MIXED", Other => "OTHER", None => "NONE",
        Silent => "SILENT",
    }
    Condition {
        Authoritative => "authoritative", Lame => "lame", Foreign => "foreign zone",
        Silent => "silent", Withheld => "not asked",
    }
    Model {
        ParentStrictV4 => "parent-strict-v4", ParentStrictV6 => "parent-strict-v6",
        ParentStrictDual => "parent-strict-dual", ChildCentric => "child-centric",
        NoSiblingGlue => "no-sibling-glue", Udp512NoEdns => "udp512-no-edns",
        TcpOnly => "tcp-only", SingleTry => "single-try",
    }
}

/// How far the verdict reaches.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Scope {
    /// From too few networks to speak for others.
    Local,
    /// From at least three networks in two regions.
    Fleet,
}

/// From how many networks something was seen: vantage points that are
/// [distinct](crate::place::Place::is_distinct_from) count, however many stand in each.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct QuorumCount {
    /// Networks of vantage points that vote.
    pub networks: usize,
    /// Regions of these.
    pub regions: usize,
    /// Networks of all vantage points that reported, also of those without a vote.
    pub fleet: usize,
}

impl QuorumCount {
    /// Fewer networks than these speak for themselves alone.
    pub const NETWORKS: usize = 3;
    /// The same of regions.
    pub const REGIONS: usize = 2;

    /// Returns whether the networks speak for others: enough of them, in enough regions, and
    /// more than half of the fleet. Where half of a fleet is sick, so may be the rest.
    #[must_use]
    pub fn is_met(self) -> bool {
        self.networks >= Self::NETWORKS
            && self.regions >= Self::REGIONS
            && self.networks * 2 > self.fleet
    }

    /// Returns how many networks may say otherwise before what the others did *not* see is
    /// worth nothing (CA/Browser Forum Baseline Requirements, section 3.2.2.9).
    #[must_use]
    pub fn allowed_silence(self) -> usize {
        match self.networks {
            0 | 1 => 0,
            2..=5 => 1,
            _ => 2,
        }
    }
}

/// Where the wanted delegation is known from.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Intent {
    /// Somebody declared a change.
    Declared,
    /// Somebody said what is expected.
    Expected,
    /// The zone itself.
    Inferred,
}

/// What a parent instance publishes, compared with the wanted delegation.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Class {
    /// All of it.
    New,
    /// What was before; without a snapshot, whatever is not new.
    Old,
    /// Part of it.
    Mixed,
    /// Neither.
    Other,
    /// No delegation.
    None,
    /// No usable answer.
    Silent,
}

/// How a server of the zone behaves.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Condition {
    /// Answers with authority for the zone.
    Authoritative,
    /// Answers, but not with authority.
    Lame,
    /// Answers with authority, with data that is not the zone's.
    Foreign,
    /// Does not answer.
    Silent,
    /// Was not asked.
    Withheld,
}

/// A kind of resolver that starts with an empty cache.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub enum Model {
    /// Follows the parent's NS and glue only, over IPv4.
    ParentStrictV4,
    /// The same over IPv6.
    ParentStrictV6,
    /// The same over both families.
    ParentStrictDual,
    /// Goes on with the NS set and the addresses that the zone publishes.
    ChildCentric,
    /// Ignores the glue of siblings.
    NoSiblingGlue,
    /// UDP with 512 octets, no EDNS, TCP after truncation only.
    Udp512NoEdns,
    /// TCP only.
    TcpOnly,
    /// Picks one address and tries it once.
    SingleTry,
}

/// Whether a model gets in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ModelResult {
    /// The model.
    pub model: Model,
    /// The share of starts that succeed, in percent: 0 or 100 but for `SingleTry`.
    pub success_percent: u8,
    /// Whether its failure is a fault of this domain (an IPv4-only zone need not serve IPv6).
    pub baseline: bool,
    /// The step at which it fails.
    pub fails_at: Option<String>,
}

/// A vantage point and its fitness.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VantageRow {
    /// Who.
    pub id: VantageId,
    /// Its fitness.
    pub fitness: Fitness,
    /// Families in which it reaches anything.
    pub families: BTreeSet<Family>,
    /// What its controls noticed, one line each.
    pub notes: Vec<String>,
    /// Packets it sent.
    pub packets: u32,
    /// Where it stands, if its coordinator said so.
    pub place: Option<Place>,
    /// What is held against it.
    pub objections: BTreeSet<Objection>,
    /// Parent instances that publish all of what is wanted, and instances it saw.
    pub published: (usize, usize),
    /// Published addresses that answer it with authority, and those of which it can tell.
    pub reached: (usize, usize),
}

impl VantageRow {
    /// Returns whether its silence counts.
    #[must_use]
    pub fn votes(&self) -> bool {
        self.fitness == Fitness::Healthy && self.objections.is_empty()
    }
}

/// One parent server address, or one instance of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ParentRow {
    /// Name and address.
    pub server: Server,
    /// Identity of the instance, as text.
    pub nsid: Option<String>,
    /// Who saw it.
    pub vantage: VantageId,
    /// What it publishes.
    pub class: Class,
    /// The serial of the parent zone there.
    pub serial: Option<u32>,
    /// NS names with their glue; rows that publish the same share them.
    pub name_servers: Arc<BTreeMap<Name, Glue>>,
    /// TTL of the NS set.
    pub ns_ttl: Option<Ttl>,
    /// Round trip over UDP.
    pub rtt: Option<Duration>,
    /// What differs or failed, in a few words.
    pub note: String,
}

/// One name server of the delegation or of the zone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostRow {
    /// The name.
    pub name: Name,
    /// How it relates to the zone.
    pub relation: Relation,
    /// Whether the parent names it.
    pub in_delegation: bool,
    /// Whether the zone's apex names it.
    pub in_apex: bool,
    /// Glue at the parent (union over the instances).
    pub glue: BTreeSet<IpAddr>,
    /// A and AAAA in the zone that has them.
    pub authoritative: BTreeSet<IpAddr>,
    /// What was expected.
    pub expected: BTreeSet<IpAddr>,
    /// Each address that was asked, and how it behaves.
    pub addresses: Vec<AddressRow>,
}

/// One address of a name server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AddressRow {
    /// The address.
    pub address: IpAddr,
    /// Over UDP.
    pub udp: Condition,
    /// Over TCP.
    pub tcp: Condition,
    /// SOA serial of the zone there.
    pub serial: Option<u32>,
    /// Round trip over UDP.
    pub rtt: Option<Duration>,
    /// What is wrong, in a few words.
    pub note: String,
}

/// One address of a public resolver.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ResolverRow {
    /// The service.
    pub service: String,
    /// The address.
    pub address: IpAddr,
    /// Who it says it is.
    pub identity: Option<String>,
    /// What a stub resolver got.
    pub stub: Option<Rcode>,
    /// The NS set, perhaps cached: response code and smallest TTL.
    pub warm: Option<(Rcode, Option<Ttl>)>,
    /// A name that no cache can know.
    pub fresh: Option<Rcode>,
    /// The same with CD=1.
    pub fresh_unchecked: Option<Rcode>,
    /// Extended errors of the answers above (RFC 8914).
    pub extended_errors: BTreeSet<u16>,
    /// Whether the control name resolved.
    pub control: Option<bool>,
    /// In a few words.
    pub note: String,
}

/// When the old data is gone, as far as it can be said.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Bounds {
    /// How long resolvers may keep the delegation as published now: the larger of the NS and
    /// glue TTLs at the parent, in seconds.
    pub parent_ttl: Option<Ttl>,
    /// The same for NS and addresses in the zone.
    pub child_ttl: Option<Ttl>,
    /// How long an absence may be cached (RFC 2308, section 5), in seconds.
    pub negative_ttl: Option<Ttl>,
}

/// The verdict.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verdict {
    /// What was asked.
    pub check: Check,
    /// One word.
    pub state: State,
    /// How far it reaches.
    pub scope: Scope,
    /// From how many networks it was seen.
    pub quorum: QuorumCount,
    /// Where the wanted delegation is known from.
    pub intent: Intent,
    /// Axis A.
    pub publication: Publication,
    /// Instances that publish all of it, and instances seen.
    pub published: (usize, usize),
    /// Axis B.
    pub reachability: Reachability,
    /// Axis C.
    pub caches: Caches,
    /// The culprit, or that there is none, in one sentence.
    pub headline: String,
    /// The parent zone.
    pub parent: Option<Name>,
    /// The zone that holds the name, where it is no zone itself.
    pub enclosing: Option<Name>,
    /// The vantage points.
    pub vantages: Vec<VantageRow>,
    /// What is wrong, worst first.
    pub findings: Vec<Finding>,
    /// The parent servers.
    pub parents: Vec<ParentRow>,
    /// The name servers.
    pub name_servers: Vec<HostRow>,
    /// The public resolvers.
    pub resolvers: Vec<ResolverRow>,
    /// Which kinds of resolver get in.
    pub models: Vec<ModelResult>,
    /// What this verdict does not cover, one line each.
    pub not_covered: Vec<String>,
    /// TTL bounds.
    pub bounds: Bounds,
    /// When the evidence was taken.
    pub at: Timestamp,
    /// How long that took.
    pub elapsed: Duration,
    /// Packets sent, over all vantage points.
    pub packets: u32,
}

impl Verdict {
    /// Returns the exit code as a monitoring plugin: 0 well, 1 warning, 2 critical, 3 unknown.
    #[must_use]
    pub fn nagios_code(&self) -> u8 {
        use crate::finding::Severity;
        match self.state {
            State::NotAZone | State::Inconclusive => 3,
            State::Regressed | State::Broken | State::Divergent | State::NotPublished => 2,
            State::Publishing | State::Degraded | State::Stalled => 1,
            State::PublishedDraining | State::Confirmed => 0,
            State::Consistent => {
                let warned = |finding: &Finding| {
                    finding.severity >= Severity::Warning
                        && finding.actor != crate::finding::Actor::Vantage
                };
                u8::from(self.findings.iter().any(warned))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quorum_is_many_networks_in_several_regions_and_most_of_the_fleet() {
        let cases = [
            ((3, 2, 3), true, 1, "three in two regions"),
            ((2, 2, 2), false, 1, "two"),
            ((6, 1, 6), false, 2, "one region"),
            ((3, 2, 6), false, 1, "half of the fleet is sick"),
            ((4, 2, 6), true, 1, "less than half is"),
            ((6, 3, 6), true, 2, "six may miss two"),
            ((1, 1, 1), false, 0, "one machine"),
        ];
        for ((networks, regions, fleet), met, silence, why) in cases {
            let quorum = QuorumCount {
                networks,
                regions,
                fleet,
            };
            assert_eq!(quorum.is_met(), met, "{why}");
            assert_eq!(quorum.allowed_silence(), silence, "{why}");
        }
    }
}
