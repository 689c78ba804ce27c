//! Walking down from the root by glue alone, with nothing cached and nobody else asked.
//!
//! The algorithm is that of RFC 1034, section 5.3.3, without recursion; names
//! are minimised (RFC 9156). At each zone cut two servers are asked at once,
//! one of each family where there are both; the first good answer is followed,
//! and more servers are asked only where these stay silent. Addresses of name
//! servers without glue are found by the same walk ([`Lookup`]), within the
//! limits B4 to B7 and never twice round a circle.
//!
//! Read [`Walker::poll`] and [`Walker::learn`] first; a [`Goal`] is one name on
//! its way down.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    time::Duration,
};

use bailiwick_core::{
    delegation::{Delegation, Relation},
    limit::Limits,
    message::{Question, Rcode},
    name::Name,
    observation::{Observation, Outcome, Unreadable},
    query::{Options, Purpose, Query, QueryId, Via},
    record::{Record, RecordType},
    report::{Cut, LeftOut, Lookup, Lost},
    server::{Family, Role, Server},
};

use crate::{
    ledger::Ledger,
    reply::{self, Meaning},
};

/// When a server that has not answered no longer keeps others from being asked.
const HEDGE: Duration = Duration::from_millis(400);
/// When a question on the way is called silent.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How many servers of one zone are asked at once.
const ABREAST: usize = 2;
/// The most questions with a shortened name (RFC 9156, section 2.3).
const MINIMISED: usize = 10;

/// How a walk is done.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    pub(crate) limits: Limits,
    pub(crate) families: BTreeSet<Family>,
    pub(crate) minimise: bool,
    /// Spreads the first questions over the servers of a zone.
    pub(crate) salt: u64,
}

/// What a walk is for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Target {
    /// The answer to a question.
    Answer(Question),
    /// The zone that would delegate this name.
    ParentOf(Name),
}

/// The number of a goal within its walker.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct GoalId(usize);

/// How a walk ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// Data, at the end of the chain of aliases.
    Answer,
    /// The last name of the chain has no such data.
    NoData,
    /// The last name of the chain does not exist.
    NoName,
    /// The parent zone is the last of the path; the name itself was not asked for.
    Arrived,
    /// It failed.
    Lost(Lost),
}

/// One name on its way down.
#[derive(Debug)]
pub(crate) struct Goal {
    target: Target,
    purpose: Purpose,
    /// The look-up that this goal serves, if it serves one.
    lookup: Option<Name>,
    depth: usize,
    /// The name asked for after all aliases.
    name: Name,
    seen: BTreeSet<Name>,
    /// Aliases and data found.
    pub(crate) records: Vec<Record>,
    /// The cuts passed for [`Goal::name`], the current one last.
    pub(crate) path: Vec<Cut>,
    referrals: usize,
    /// How many labels of the name have been shown to this zone's servers.
    shown: usize,
    minimised: usize,
    /// How the next question is made at this cut.
    step: Step,
    minimise: bool,
    /// Hosts whose addresses were waited for at this cut, whatever came of it: each has one turn.
    awaited: BTreeSet<Name>,
    state: State,
}

/// How much of the name the servers of a cut are shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    /// One label more at a time (RFC 9156).
    Shorter,
    /// All of it, by wish of whoever asked.
    Whole,
    /// All of it, because a shorter name was denied here.
    AfterDenial,
}

#[derive(Debug)]
enum State {
    /// At a cut, nothing asked there yet.
    Ready,
    Asking(Asking),
    /// For the addresses of one of these hosts.
    Waiting(BTreeSet<Name>),
    Done(End),
}

#[derive(Debug, Default)]
struct Asking {
    queue: VecDeque<Try>,
    flying: BTreeMap<QueryId, (Try, Duration)>,
    /// Tries that no longer keep others from being made.
    stale: BTreeSet<QueryId>,
    tried: BTreeSet<IpAddr>,
}

#[derive(Clone, Debug)]
struct Try {
    server: Server,
    via: Via,
    edns: bool,
    number: u32,
}

/// The look-up of a name server's addresses.
#[derive(Debug)]
struct Search {
    depth: usize,
    goals: Vec<GoalId>,
    addresses: BTreeSet<IpAddr>,
    /// Types still to be asked for once the current one is done.
    next: VecDeque<RecordType>,
    result: Option<Lookup>,
}

/// All walks of one check: they share what they learn about zones and hosts.
#[derive(Debug)]
pub(crate) struct Walker {
    manner: Manner,
    cuts: BTreeMap<Name, Cut>,
    goals: Vec<Goal>,
    searches: BTreeMap<Name, Search>,
    /// Whose question a query carries: several goals may wait for one answer.
    owners: BTreeMap<QueryId, Vec<GoalId>>,
    silent: BTreeMap<IpAddr, u32>,
    pub(crate) left_out: LeftOut,
}

impl Walker {
    pub(crate) fn new(manner: Manner, roots: &[Server]) -> Self {
        let usable = |server: &&Server| manner.families.contains(&Family::of(server.address));
        let root = Cut {
            zone: Name::root(),
            names: roots.iter().map(|server| server.name.clone()).collect(),
            servers: roots.iter().filter(usable).cloned().collect(),
        };
        Self {
            manner,
            cuts: BTreeMap::from([(Name::root(), root)]),
            goals: Vec::new(),
            searches: BTreeMap::new(),
            owners: BTreeMap::new(),
            silent: BTreeMap::new(),
            left_out: LeftOut::default(),
        }
    }

    /// Begins a walk of its own.
    pub(crate) fn start(&mut self, target: Target) -> GoalId {
        self.add(target, Purpose::Walk, None, 0)
    }

    /// Begins to look up the addresses of a name server, unless limit B5 forbids it.
    pub(crate) fn search(&mut self, host: &Name) {
        if self.may_search(1) || self.searches.contains_key(host) {
            self.begin_search(host, 1);
        } else {
            self.left_out.lookups += 1;
            let result = Some(Lookup::NotTried);
            self.searches.insert(
                host.clone(),
                Search {
                    depth: 1,
                    goals: Vec::new(),
                    addresses: BTreeSet::new(),
                    next: VecDeque::new(),
                    result,
                },
            );
        }
    }

    pub(crate) fn goal(&self, id: GoalId) -> &Goal {
        &self.goals[id.0]
    }

    /// Makes a delegation known that was found by other questions than the walker's own.
    pub(crate) fn teach(&mut self, delegation: &Delegation, asked: &Name) {
        let cut = self.cut_of(delegation, asked);
        self.cuts.entry(cut.zone.clone()).or_insert(cut);
    }

    /// Returns what the look-ups have found so far; `None` while one is under way.
    pub(crate) fn lookups(&self) -> impl Iterator<Item = (&Name, Option<&Lookup>)> {
        self.searches
            .iter()
            .map(|(host, search)| (host, search.result.as_ref()))
    }

    /// Returns the addresses of a host, as far as its look-up has found any.
    pub(crate) fn addresses(&self, host: &Name) -> impl Iterator<Item = IpAddr> {
        self.searches
            .get(host)
            .into_iter()
            .flat_map(|search| search.addresses.iter().copied())
    }

    /// Returns whether every walk has ended.
    pub(crate) fn is_idle(&self) -> bool {
        self.goals
            .iter()
            .all(|goal| matches!(goal.state, State::Done(_)))
    }

    /// Returns the zone whose servers are being asked, for people.
    pub(crate) fn current_zone(&self) -> Option<&Name> {
        let goal = self
            .goals
            .iter()
            .find(|goal| !matches!(goal.state, State::Done(_)))?;
        goal.path.last().map(|cut| &cut.zone)
    }

    /// Returns a query to send now.
    pub(crate) fn poll(&mut self, now: Duration, ledger: &mut Ledger) -> Option<Query> {
        self.advance_all();
        for index in 0..self.goals.len() {
            self.share(index);
            while let Some(attempt) = self.next_try(index, now) {
                let query = self.query_for(index, &attempt);
                match ledger.book(now, query) {
                    Ok(query) => {
                        self.owners.insert(query.id, vec![GoalId(index)]);
                        if let State::Asking(asking) = &mut self.goals[index].state {
                            asking.flying.insert(query.id, (attempt, now));
                        }
                        return Some(query);
                    }
                    Err(_) => self.advance(GoalId(index)),
                }
            }
        }
        None
    }

    /// Moves every goal on until none can go further: what one finds may be what another waits for.
    fn advance_all(&mut self) {
        loop {
            let before = self.milestones();
            for index in 0..self.goals.len() {
                self.advance(GoalId(index));
            }
            if self.milestones() == before {
                return;
            }
        }
    }

    fn milestones(&self) -> (usize, usize, usize) {
        let asking = self
            .goals
            .iter()
            .filter(|goal| matches!(goal.state, State::Asking(_)))
            .count();
        let found = self
            .searches
            .values()
            .filter(|search| search.result.is_some())
            .count();
        (self.goals.len(), found, asking)
    }

    /// Returns when a server has been silent for long enough to ask another.
    pub(crate) fn next_wake(&self) -> Option<Duration> {
        let askings = self.goals.iter().filter_map(|goal| match &goal.state {
            State::Asking(asking) => Some(asking),
            _ => None,
        });
        askings
            .flat_map(|asking| {
                let fresh = asking
                    .flying
                    .iter()
                    .filter(|(id, _)| !asking.stale.contains(id));
                fresh.map(|(_, (_, sent))| *sent + HEDGE)
            })
            .min()
    }

    /// Learns from an observation; returns whether it answers one of the walker's questions.
    pub(crate) fn learn(&mut self, observation: &Observation) -> bool {
        let Some(owners) = self.owners.get(&observation.id.query).cloned() else {
            return false;
        };
        match &observation.outcome {
            Outcome::Reply(_) | Outcome::Late(_) => {
                self.silent.remove(&observation.server.address);
            }
            Outcome::Silence => {
                *self.silent.entry(observation.server.address).or_insert(0) += 1;
            }
            _ => {}
        }
        for id in owners {
            self.learn_for(id, observation);
            self.advance(id);
        }
        true
    }

    fn learn_for(&mut self, id: GoalId, observation: &Observation) {
        let attempt = match &mut self.goals[id.0].state {
            State::Asking(asking) => asking.flying.remove(&observation.id.query),
            _ => None,
        };
        // The goal may be past this question, or the try may have been counted silent already.
        let Some((attempt, _)) = attempt.or_else(|| self.still_wanted(id, observation)) else {
            return;
        };
        match &observation.outcome {
            Outcome::Reply(message) | Outcome::Late(message) => {
                let Some(cut) = self.goals[id.0].path.last() else {
                    return;
                };
                let meaning = reply::read(message, &observation.question, &cut.zone);
                self.follow(
                    id,
                    &observation.question,
                    meaning,
                    attempt,
                    &observation.server,
                );
            }
            Outcome::Unreadable(Unreadable::Case | Unreadable::Junk(_)) => {
                // Perhaps forged, perhaps drowned: the same question where forging is hard.
                self.retry(
                    id,
                    Try {
                        via: Via::Tcp,
                        ..attempt
                    },
                );
            }
            _ => {}
        }
    }

    /// Lets a goal that has asked nothing at its cut wait for what another is asking there:
    /// one question, one server, one packet.
    fn share(&mut self, index: usize) {
        let goal = &self.goals[index];
        let untouched = |asking: &Asking| asking.flying.is_empty() && asking.tried.is_empty();
        if !matches!(&goal.state, State::Asking(asking) if untouched(asking)) {
            return;
        }
        let zone = goal.path.last().map(|cut| &cut.zone);
        let question = goal.question();
        let same = |other: &&Goal| {
            other.path.last().map(|cut| &cut.zone) == zone && other.question() == question
        };
        let flights: BTreeMap<QueryId, (Try, Duration)> = self
            .goals
            .iter()
            .filter(same)
            .filter_map(|other| match &other.state {
                State::Asking(asking) => Some(asking.flying.clone()),
                _ => None,
            })
            .flatten()
            .collect();
        for id in flights.keys() {
            if let Some(owners) = self.owners.get_mut(id) {
                owners.push(GoalId(index));
            }
        }
        if let State::Asking(asking) = &mut self.goals[index].state {
            let taken: BTreeSet<IpAddr> = flights
                .values()
                .map(|(attempt, _)| attempt.server.address)
                .collect();
            asking
                .queue
                .retain(|attempt| !taken.contains(&attempt.server.address));
            asking.tried.extend(taken);
            asking.flying = flights;
        }
    }

    /// A late answer to the question that its goal is still asking.
    fn still_wanted(&self, id: GoalId, observation: &Observation) -> Option<(Try, Duration)> {
        let goal = &self.goals[id.0];
        let wanted = matches!(goal.state, State::Asking(_))
            && observation.reply().is_some()
            && goal.question() == observation.question
            && goal
                .path
                .last()
                .is_some_and(|cut| cut.zone == observation.zone);
        wanted.then(|| {
            let server = observation.server.clone();
            (
                Try {
                    server,
                    via: observation.via,
                    edns: observation.options.edns,
                    number: 3,
                },
                observation.sent,
            )
        })
    }

    /// Moves a goal on by what a reply means.
    fn follow(
        &mut self,
        id: GoalId,
        question: &Question,
        meaning: Meaning,
        attempt: Try,
        server: &Server,
    ) {
        let goal = &mut self.goals[id.0];
        let shortened = question.name != goal.name;
        goal.minimised += usize::from(shortened);
        match meaning {
            Meaning::Referral(delegation) => self.descend(id, &delegation),
            Meaning::Truncated if attempt.via == Via::Udp => {
                self.retry(
                    id,
                    Try {
                        via: Via::Tcp,
                        ..attempt
                    },
                );
            }
            Meaning::NoEdns if attempt.edns => self.retry(
                id,
                Try {
                    edns: false,
                    ..attempt
                },
            ),
            Meaning::Truncated | Meaning::NoEdns | Meaning::Unfit(_) => {}
            Meaning::NoName if shortened => {
                // A server that denies an empty non-terminal denies wrongly (RFC 8020 says what
                // it should have meant): the whole name decides.
                goal.step = Step::AfterDenial;
                goal.state = State::Ready;
            }
            Meaning::Answer(records) if shortened => {
                let names_cut = records
                    .iter()
                    .any(|r| r.record_type() == RecordType::NS && r.name == question.name);
                goal.shown = question.name.label_count();
                goal.state = State::Ready;
                if names_cut {
                    self.enter_shared_cut(id, &question.name, &records, server);
                }
            }
            Meaning::NoData { zone } if shortened => {
                goal.shown = question.name.label_count();
                goal.state = State::Ready;
                let deeper = zone
                    .filter(|zone| goal.path.last().is_some_and(|cut| zone.is_below(&cut.zone)));
                if let Some(zone) = deeper {
                    self.enter_shared_cut(id, &zone, &[], server);
                }
            }
            Meaning::Alias { .. } if shortened => {
                goal.shown = question.name.label_count();
                goal.state = State::Ready;
            }
            // A walk to the parent asks for the name itself only to learn of cuts above it.
            Meaning::NoName
            | Meaning::NoData { .. }
            | Meaning::Answer(_)
            | Meaning::Alias { .. }
                if matches!(goal.target, Target::ParentOf(_)) =>
            {
                goal.look_between();
            }
            Meaning::Answer(records) => {
                goal.records.extend(records);
                let aliases = goal
                    .records
                    .iter()
                    .filter(|r| r.record_type() == RecordType::CNAME)
                    .count();
                goal.state = State::Done(if aliases > self.manner.limits.aliases + 1 {
                    End::Lost(Lost::AliasLoop {
                        name: goal.name.clone(),
                    })
                } else {
                    End::Answer
                });
            }
            Meaning::NoData { .. } => goal.state = State::Done(End::NoData),
            Meaning::NoName => goal.state = State::Done(End::NoName),
            Meaning::Alias { chain, target } => self.redirect(id, chain, target),
        }
    }

    /// Goes on below a referral.
    fn descend(&mut self, id: GoalId, delegation: &Delegation) {
        let goal = &self.goals[id.0];
        if let Target::ParentOf(zone) = &goal.target
            && delegation.zone == *zone
        {
            // The parent is known to be here, or between here and the name.
            self.goals[id.0].look_between();
            return;
        }
        let Some(above) = goal.path.last().map(|cut| cut.zone.clone()) else {
            return;
        };
        let cut = self.cut_of(delegation, &above);
        self.cuts.insert(cut.zone.clone(), cut.clone());
        let limit = self.manner.limits.referrals;
        let goal = &mut self.goals[id.0];
        goal.referrals += 1;
        if goal.referrals > limit {
            goal.state = State::Done(End::Lost(Lost::TooDeep { zone: cut.zone }));
            return;
        }
        goal.enter(cut);
    }

    /// Reads a delegation as a cut, within limit B4; glue is taken only for names that the
    /// servers asked may speak of.
    fn cut_of(&mut self, delegation: &Delegation, asked: &Name) -> Cut {
        let limits = self.manner.limits;
        let names: BTreeSet<Name> = delegation
            .name_servers
            .keys()
            .take(limits.name_servers)
            .cloned()
            .collect();
        // The same delegation is read from many servers: how much is left out, not how often.
        let too_many = delegation.name_servers.len() - names.len();
        self.left_out.names = self.left_out.names.max(too_many);
        let mut servers = BTreeSet::new();
        let mut beyond = 0;
        for name in &names {
            let Some(glue) = delegation.glue_of(name) else {
                continue;
            };
            if !name.is_at_or_below(asked) {
                continue;
            }
            for family in &self.manner.families {
                let known = glue
                    .keys()
                    .filter(|&&address| Family::of(address) == *family);
                for &address in known.take(limits.addresses_per_name) {
                    if servers.len() < limits.addresses {
                        servers.insert(Server {
                            name: name.clone(),
                            address,
                        });
                    } else {
                        beyond += 1;
                    }
                }
            }
        }
        self.left_out.addresses = self.left_out.addresses.max(beyond);
        Cut {
            zone: delegation.zone.clone(),
            names,
            servers,
        }
    }

    /// A zone below that the servers of the zone above host, too: there was no referral, the
    /// same servers go on, and those that its NS set names are known from now on.
    fn enter_shared_cut(&mut self, id: GoalId, zone: &Name, records: &[Record], from: &Server) {
        let Some(above) = self.goals[id.0].path.last().cloned() else {
            return;
        };
        let names: BTreeSet<Name> = records
            .iter()
            .filter_map(|record| match &record.data {
                bailiwick_core::record::RecordData::Ns(host) if record.name == *zone => {
                    Some(host.clone())
                }
                _ => None,
            })
            .take(self.manner.limits.name_servers)
            .collect();
        let mut servers: BTreeSet<Server> = above
            .servers
            .iter()
            .filter(|server| names.contains(&server.name))
            .cloned()
            .collect();
        if servers.is_empty() {
            servers.insert(from.clone());
        }
        let names = if names.is_empty() {
            BTreeSet::from([from.name.clone()])
        } else {
            names
        };
        let cut = Cut {
            zone: zone.clone(),
            names,
            servers,
        };
        self.cuts.insert(zone.clone(), cut.clone());
        let shown = self.goals[id.0].shown;
        self.goals[id.0].enter(cut);
        self.goals[id.0].shown = shown;
    }

    /// Begins again with the name that an alias leads to.
    fn redirect(&mut self, id: GoalId, chain: Vec<Record>, target: Name) {
        let limit = self.manner.limits.aliases;
        let start = self.deepest_cut(&target);
        let goal = &mut self.goals[id.0];
        // Every name on the way counts, also those passed within one message (RFC 1034, 3.6.2).
        let links: Vec<Name> = chain
            .iter()
            .filter(|record| record.record_type() == RecordType::CNAME)
            .map(|record| record.name.clone())
            .filter(|owner| *owner != goal.name)
            .collect();
        goal.records.extend(chain);
        let again = links
            .into_iter()
            .chain([target.clone()])
            .any(|name| !goal.seen.insert(name));
        if again || goal.seen.len() > limit + 1 {
            goal.state = State::Done(End::Lost(Lost::AliasLoop { name: target }));
            return;
        }
        goal.name = target;
        goal.path = start;
        goal.restart();
    }

    /// The known cuts above a name, from the root.
    fn deepest_cut(&self, name: &Name) -> Vec<Cut> {
        (0..=name.label_count())
            .filter_map(|labels| self.cuts.get(&name.ancestor(labels)?))
            .cloned()
            .collect()
    }

    fn retry(&mut self, id: GoalId, attempt: Try) {
        if let State::Asking(asking) = &mut self.goals[id.0].state {
            asking.queue.push_front(attempt);
        }
    }

    fn add(
        &mut self,
        target: Target,
        purpose: Purpose,
        lookup: Option<Name>,
        depth: usize,
    ) -> GoalId {
        let name = match &target {
            Target::Answer(question) => question.name.clone(),
            Target::ParentOf(zone) => zone.clone(),
        };
        let path = self.deepest_cut(&name);
        let mut goal = Goal {
            target,
            purpose,
            lookup,
            depth,
            seen: BTreeSet::from([name.clone()]),
            name,
            records: Vec::new(),
            path,
            referrals: 0,
            shown: 0,
            minimised: 0,
            step: Step::Shorter,
            minimise: self.manner.minimise,
            awaited: BTreeSet::new(),
            state: State::Ready,
        };
        goal.restart();
        self.goals.push(goal);
        GoalId(self.goals.len() - 1)
    }

    /// Moves a goal on as far as it gets without the network.
    fn advance(&mut self, id: GoalId) {
        loop {
            let goal = &self.goals[id.0];
            match &goal.state {
                State::Ready if goal.has_arrived() => self.finish(id, End::Arrived),
                State::Ready => self.prepare(id),
                State::Asking(asking) if asking.queue.is_empty() && asking.flying.is_empty() => {
                    self.seek_addresses(id);
                }
                State::Waiting(hosts) => {
                    let found: Vec<Server> = hosts
                        .iter()
                        .flat_map(|host| {
                            let name = host.clone();
                            self.addresses(host).map(move |address| Server {
                                name: name.clone(),
                                address,
                            })
                        })
                        .collect();
                    let over = hosts.iter().all(|host| {
                        self.searches
                            .get(host)
                            .is_none_or(|search| search.result.is_some())
                    });
                    if found.is_empty() && !over {
                        return;
                    }
                    self.resume(id, found);
                }
                State::Asking(_) => return,
                State::Done(end) => {
                    let end = end.clone();
                    self.settle(id, &end);
                    return;
                }
            }
        }
    }

    /// Lines up the servers of the current cut.
    fn prepare(&mut self, id: GoalId) {
        let Some(cut) = self.goals[id.0].path.last() else {
            return self.finish(id, End::Lost(Lost::Exhausted));
        };
        let queue = self.order(&cut.servers);
        self.goals[id.0].state = State::Asking(Asking {
            queue,
            ..Asking::default()
        });
    }

    /// Orders servers so that both families take turns and the load spreads; those that were
    /// silent before come last.
    fn order(&self, servers: &BTreeSet<Server>) -> VecDeque<Try> {
        let mut by_family: Vec<VecDeque<&Server>> = self
            .manner
            .families
            .iter()
            .map(|family| {
                servers
                    .iter()
                    .filter(|server| Family::of(server.address) == *family)
                    .collect()
            })
            .collect();
        for (at, servers) in by_family.iter_mut().enumerate() {
            if let Some(length) = u64::try_from(servers.len())
                .ok()
                .filter(|&length| length > 0)
            {
                // Different places for the families, so that two different servers are asked.
                let turn = (self
                    .manner
                    .salt
                    .rotate_right(u32::try_from(at * 8).unwrap_or(0)))
                    % length;
                servers.rotate_left(usize::try_from(turn).unwrap_or(0));
            }
        }
        let mut mixed = Vec::new();
        let mut seen = BTreeSet::new();
        while by_family.iter().any(|servers| !servers.is_empty()) {
            for servers in &mut by_family {
                if let Some(server) = servers.pop_front()
                    && seen.insert(server.address)
                {
                    mixed.push(server);
                }
            }
        }
        mixed.sort_by_key(|server| self.silent.get(&server.address).copied().unwrap_or(0));
        let attempt = |server: &&Server| Try {
            server: (*server).clone(),
            via: Via::Udp,
            edns: true,
            number: 1,
        };
        mixed.iter().map(attempt).collect()
    }

    /// Every server known here has failed: look for the addresses of further ones.
    fn seek_addresses(&mut self, id: GoalId) {
        let goal = &self.goals[id.0];
        let Some(cut) = goal.path.last().cloned() else {
            return self.finish(id, End::Lost(Lost::Exhausted));
        };
        let had_servers = !cut.servers.is_empty();
        let mut hosts = BTreeSet::new();
        let mut circle = None;
        for host in &cut.names {
            let known = cut.servers.iter().any(|server| server.name == *host);
            if known || goal.awaited.contains(host) || self.is_exhausted(host) {
                continue;
            }
            if Relation::of(host, &cut.zone, &Name::root()) == Relation::InDomain {
                // Only the zone itself knows the address, and this is how to find the zone.
                circle.get_or_insert_with(|| vec![cut.zone.clone(), host.clone()]);
                continue;
            }
            if let Some(path) = self.circle_to(host, goal.lookup.as_ref()) {
                circle.get_or_insert(path);
                continue;
            }
            let depth = goal.depth + 1;
            if self.searches.contains_key(host) || self.may_search(depth) {
                hosts.insert((depth, host.clone()));
            } else {
                self.left_out.lookups += 1;
            }
            if hosts.len() == ABREAST {
                break;
            }
        }
        if hosts.is_empty() {
            let failed = self.failure_below(&cut);
            let lost = match circle.or(failed) {
                Some(path) => Lost::Cycle { path },
                None if had_servers => Lost::NoUsableAnswer { zone: cut.zone },
                None => Lost::NoAddress { zone: cut.zone },
            };
            self.finish(id, End::Lost(lost));
            return;
        }
        for (depth, host) in &hosts {
            self.begin_search(host, *depth);
        }
        let hosts: BTreeSet<Name> = hosts.into_iter().map(|(_, host)| host).collect();
        self.goals[id.0].awaited.extend(hosts.iter().cloned());
        self.goals[id.0].state = State::Waiting(hosts);
    }

    /// The circle that a look-up of one of the cut's names ran into, if one did.
    fn failure_below(&self, cut: &Cut) -> Option<Vec<Name>> {
        cut.names
            .iter()
            .find_map(|host| match &self.searches.get(host)?.result {
                Some(Lookup::Lost(Lost::Cycle { path })) => Some(path.clone()),
                _ => None,
            })
    }

    fn is_exhausted(&self, host: &Name) -> bool {
        self.searches
            .get(host)
            .is_some_and(|search| search.result.is_some() && search.addresses.is_empty())
    }

    /// Goes on with addresses that look-ups have found, or fails with them.
    fn resume(&mut self, id: GoalId, found: Vec<Server>) {
        let limits = self.manner.limits;
        let Some(cut) = self.goals[id.0].path.last_mut() else {
            return self.finish(id, End::Lost(Lost::Exhausted));
        };
        let mut fresh = BTreeSet::new();
        for server in found {
            let usable = self.manner.families.contains(&Family::of(server.address));
            if usable && cut.servers.len() < limits.addresses && cut.servers.insert(server.clone())
            {
                fresh.insert(server);
            }
        }
        self.cuts.insert(cut.zone.clone(), cut.clone());
        let queue = self.order(&fresh);
        // With nothing new the queue is empty, and the next names get their turn.
        self.goals[id.0].state = State::Asking(Asking {
            queue,
            ..Asking::default()
        });
    }

    fn may_search(&self, depth: usize) -> bool {
        let made = self
            .searches
            .values()
            .filter(|s| s.result != Some(Lookup::NotTried))
            .count();
        // A look-up of its own is at depth 1; limit B5 counts those nested in it.
        made < self.manner.limits.lookups && depth <= self.manner.limits.nesting + 1
    }

    fn begin_search(&mut self, host: &Name, depth: usize) {
        if self.searches.contains_key(host) {
            return;
        }
        let mut next: VecDeque<RecordType> = self
            .manner
            .families
            .iter()
            .map(|family| match family {
                Family::V4 => RecordType::A,
                Family::V6 => RecordType::AAAA,
            })
            .collect();
        let Some(first) = next.pop_front() else {
            return;
        };
        let search = Search {
            depth,
            goals: Vec::new(),
            addresses: BTreeSet::new(),
            next,
            result: None,
        };
        self.searches.insert(host.clone(), search);
        self.begin_goal_of_search(host, depth, first);
    }

    fn begin_goal_of_search(&mut self, host: &Name, depth: usize, record_type: RecordType) {
        let target = Target::Answer(Question::new(host.clone(), record_type));
        let id = self.add(target, Purpose::Lookup, Some(host.clone()), depth);
        if let Some(search) = self.searches.get_mut(host) {
            search.goals.push(id);
        }
    }

    /// Returns the way from a host back to `own`, if its look-up waits for that of `own`.
    fn circle_to(&self, host: &Name, own: Option<&Name>) -> Option<Vec<Name>> {
        let own = own?;
        let mut path = vec![own.clone()];
        let mut seen = BTreeSet::new();
        self.reaches(host, own, &mut seen, &mut path)
            .then_some(path)
    }

    fn reaches(
        &self,
        host: &Name,
        own: &Name,
        seen: &mut BTreeSet<Name>,
        path: &mut Vec<Name>,
    ) -> bool {
        if !seen.insert(host.clone()) {
            return false;
        }
        path.push(host.clone());
        if host == own {
            return true;
        }
        let waits = self
            .searches
            .get(host)
            .into_iter()
            .flat_map(|search| &search.goals);
        for goal in waits {
            if let State::Waiting(hosts) = &self.goals[goal.0].state {
                for next in hosts {
                    if self.reaches(next, own, seen, path) {
                        return true;
                    }
                }
            }
        }
        path.pop();
        false
    }

    fn finish(&mut self, id: GoalId, end: End) {
        self.goals[id.0].state = State::Done(end);
    }

    /// Hands the result of a goal to the look-up that it serves, once.
    fn settle(&mut self, id: GoalId, end: &End) {
        let Some(host) = self.goals[id.0].lookup.clone() else {
            return;
        };
        let goal = &self.goals[id.0];
        let found: BTreeSet<IpAddr> = goal
            .records
            .iter()
            .filter_map(|record| record.data.address())
            .collect();
        let alias = (goal.name != host
            || goal
                .records
                .iter()
                .any(|r| r.record_type() == RecordType::CNAME))
        .then(|| goal.last_alias());
        let zone = goal
            .path
            .last()
            .map_or_else(Name::root, |cut| cut.zone.clone());
        let Some(search) = self.searches.get_mut(&host) else {
            return;
        };
        if search.goals.last() != Some(&id) || search.result.is_some() {
            return;
        }
        search.addresses.extend(found);
        let absent = *end == End::NoName;
        if !absent
            && !matches!(end, End::Lost(_))
            && let Some(record_type) = search.next.pop_front()
        {
            let depth = search.depth;
            self.begin_goal_of_search(&host, depth, record_type);
            return;
        }
        search.result = Some(match (alias.flatten(), end) {
            (Some(target), _) => Lookup::Alias {
                target,
                addresses: search.addresses.clone(),
            },
            (None, _) if !search.addresses.is_empty() => {
                Lookup::Addresses(search.addresses.clone())
            }
            (None, End::Lost(lost)) => Lookup::Lost(lost.clone()),
            (None, End::NoName) => Lookup::Absent {
                rcode: Rcode::NXDOMAIN,
                zone,
            },
            (None, _) => Lookup::Absent {
                rcode: Rcode::NOERROR,
                zone,
            },
        });
    }

    /// Returns the next server to ask for a goal, if it is time to ask one.
    fn next_try(&mut self, index: usize, now: Duration) -> Option<Try> {
        let same_question = self.manner.limits.same_question;
        let State::Asking(asking) = &mut self.goals[index].state else {
            return None;
        };
        for (id, (attempt, sent)) in &asking.flying {
            if *sent + HEDGE <= now && asking.stale.insert(*id) && attempt.number < same_question {
                // Another try later on; the second leaves EDNS out, because there are
                // servers and firewalls that drop it.
                let number = attempt.number + 1;
                asking.queue.push_back(Try {
                    number,
                    edns: number != 2,
                    ..attempt.clone()
                });
            }
        }
        let fresh = asking
            .flying
            .keys()
            .filter(|id| !asking.stale.contains(id))
            .count();
        if fresh >= ABREAST {
            return None;
        }
        // Servers that were not asked yet come before any second try.
        let at = asking
            .queue
            .iter()
            .position(|attempt| attempt.number == 1)
            .unwrap_or(0);
        let attempt = asking.queue.remove(at)?;
        asking.tried.insert(attempt.server.address);
        Some(attempt)
    }

    fn query_for(&self, index: usize, attempt: &Try) -> Query {
        let goal = &self.goals[index];
        let zone = goal
            .path
            .last()
            .map_or_else(Name::root, |cut| cut.zone.clone());
        Query {
            id: QueryId::default(),
            server: attempt.server.clone(),
            role: if zone.is_root() {
                Role::Root
            } else {
                Role::Parent
            },
            zone,
            purpose: goal.purpose,
            via: attempt.via,
            questions: vec![goal.question()],
            options: if attempt.edns {
                Options::ITERATIVE
            } else {
                Options::PLAIN
            },
            patience: PATIENCE,
        }
    }
}

impl Goal {
    /// Returns how the walk ended; `None` while it is under way.
    pub(crate) fn end(&self) -> Option<&End> {
        match &self.state {
            State::Done(end) => Some(end),
            _ => None,
        }
    }

    /// The question for the servers of the current cut (RFC 9156, section 2.3).
    fn question(&self) -> Question {
        let next = self.next_labels();
        if self.step == Step::Shorter && next < self.name.label_count() {
            let shorter = self
                .name
                .ancestor(next)
                .unwrap_or_else(|| self.name.clone());
            return Question::new(shorter, self.hidden_type());
        }
        match &self.target {
            Target::Answer(question) => Question {
                name: self.name.clone(),
                ..question.clone()
            },
            Target::ParentOf(_) => Question::new(self.name.clone(), RecordType::NS),
        }
    }

    fn next_labels(&self) -> usize {
        let zone = self.path.last().map_or(0, |cut| cut.zone.label_count());
        let step = if self.minimised >= MINIMISED {
            usize::MAX / 2
        } else {
            1
        };
        (self.shown.max(zone) + step).min(self.name.label_count())
    }

    /// What is asked with a shortened name: NS where cuts are looked for, else A, which hides
    /// what is wanted and which every server answers.
    fn hidden_type(&self) -> RecordType {
        match self.target {
            Target::ParentOf(_) => RecordType::NS,
            Target::Answer(_) => RecordType::A,
        }
    }

    /// Whether only the name itself is left to be asked for, and that is not this walk's to ask.
    fn has_arrived(&self) -> bool {
        let labels = self.name.label_count();
        let zone = self.path.last().map_or(0, |cut| cut.zone.label_count());
        let all_shown = match self.step {
            Step::Shorter if self.minimised < MINIMISED => self.next_labels() >= labels,
            // Names are shortened no more: cuts between are learned from the whole name.
            Step::Shorter | Step::Whole | Step::AfterDenial => self.shown >= labels,
        };
        matches!(self.target, Target::ParentOf(_)) && (zone + 1 >= labels || all_shown)
    }

    /// The whole name was asked for and no cut above it was named. After a question by wish the
    /// names between are still to be looked at; after a denial there is nothing between.
    fn look_between(&mut self) {
        match self.step {
            Step::Whole => self.step = Step::Shorter,
            Step::Shorter | Step::AfterDenial => self.shown = self.name.label_count(),
        }
        self.state = State::Ready;
    }

    fn enter(&mut self, cut: Cut) {
        self.path.push(cut);
        self.begin_cut();
    }

    fn restart(&mut self) {
        self.minimised = 0;
        self.begin_cut();
    }

    fn begin_cut(&mut self) {
        self.awaited.clear();
        self.shown = 0;
        self.step = if self.minimise {
            Step::Shorter
        } else {
            Step::Whole
        };
        self.state = State::Ready;
    }

    fn last_alias(&self) -> Option<Name> {
        self.records
            .iter()
            .rev()
            .find_map(|record| match &record.data {
                bailiwick_core::record::RecordData::Cname(target) => Some(target.clone()),
                _ => None,
            })
    }
}
