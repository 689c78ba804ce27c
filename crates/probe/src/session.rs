//! A whole check as one machine: the parts together, with budget and deadline.
//!
//! ```text
//!  walk to the parent ─▶ sweep over its servers ─▶ reach: each address of the zone
//!        │                                             ▲
//!        └ look-ups of name servers' names ────────────┘
//!  survey of the resolvers, controls: from the start, beside the walk
//! ```
//!
//! Nothing waits for the slowest of a level: the first referral begins the
//! reach while the other parent servers are still being heard.

use std::{
    collections::{BTreeSet, VecDeque},
    net::IpAddr,
    time::Duration,
};

use bailiwick_core::{
    check::Check,
    delegation::Relation,
    limit::Limits,
    name::Name,
    observation::{Observation, Outcome},
    query::{Purpose, Query},
    record::RecordData,
    report::{Cut, Found, LeftOut, Lost, Report},
    server::{Family, Role, Server},
};

use crate::{
    Ended, Machine, Plan, Progress, controls, deadline,
    ledger::Ledger,
    patience,
    reach::Reach,
    survey,
    sweep::{self, Said, Sweep},
    walk::{End, GoalId, Manner, Target, Walker},
};

/// A check in progress.
#[derive(Debug)]
pub struct Session {
    check: Check,
    plan: Plan,
    limits: Limits,
    deadline: Duration,
    walker: Walker,
    goal: GoalId,
    ledger: Ledger,
    outbox: VecDeque<Query>,
    parent: Option<Cut>,
    sweep: Option<Sweep>,
    /// How many servers of the parent were known when they were last gone through.
    parents_asked: usize,
    reach: Reach,
    /// Name servers of the zone that are not in it.
    outside: BTreeSet<Name>,
    constancy: Constancy,
    /// Some server of the zone answered with authority.
    child_heard: bool,
    anything_heard: bool,
    /// NS names beyond limit B4.
    names_left_out: usize,
    /// Addresses beyond limit B4.
    unasked: BTreeSet<IpAddr>,
    /// The latest time heard of.
    now: Duration,
}

/// How far control C4 has come.
#[derive(Debug, Eq, PartialEq)]
enum Constancy {
    /// The referrals are not all in.
    Open,
    /// To be asked again at this time.
    Due(Duration, Box<Query>),
    /// Done, or not needed.
    Done,
}

impl Session {
    /// Begins a check with all its parts.
    #[must_use]
    pub fn new(check: Check, limits: Limits) -> Self {
        Self::with_plan(check, Plan::check(), limits)
    }

    /// Begins a check with the parts of a plan.
    #[must_use]
    pub fn with_plan(check: Check, plan: Plan, limits: Limits) -> Self {
        let manner = Manner {
            limits,
            families: check.families.clone(),
            minimise: check.minimise,
            salt: check.nonce,
        };
        let mut walker = Walker::new(manner, &check.roots);
        let goal = walker.start(Target::ParentOf(check.zone.clone()));
        let mut outbox = VecDeque::new();
        if plan.controls {
            outbox.extend(controls::questions(&check));
        }
        if plan.resolvers {
            outbox.extend(survey::questions(&check));
        }
        Self {
            deadline: deadline(check.timeout, &limits),
            reach: Reach::new(&check.zone),
            check,
            plan,
            limits,
            walker,
            goal,
            ledger: Ledger::new(limits),
            outbox,
            parent: None,
            sweep: None,
            parents_asked: 0,
            outside: BTreeSet::new(),
            now: Duration::ZERO,
            constancy: Constancy::Open,
            child_heard: false,
            anything_heard: false,
            names_left_out: 0,
            unasked: BTreeSet::new(),
        }
    }

    /// Ends the check and returns what was seen.
    #[must_use]
    pub fn finish(self, ended: Ended) -> Report {
        let found = match (self.walker.goal(self.goal).end(), &self.parent) {
            (Some(End::Lost(lost)), _) => Found::Lost(lost.clone()),
            (Some(_), Some(parent)) => sweep::conclude(
                self.ledger.observations().values(),
                &self.check.zone,
                parent,
            ),
            _ => Found::Lost(Lost::Exhausted),
        };
        let mut path = self.walker.goal(self.goal).path.clone();
        if let (Some(last), Some(parent)) = (path.last_mut(), self.parent) {
            *last = parent;
        }
        let lookups = self
            .walker
            .lookups()
            .filter_map(|(host, found)| Some((host.clone(), found?.clone())))
            .collect();
        let walked = &self.walker.left_out;
        let left_out = LeftOut {
            names: self.names_left_out.max(walked.names),
            addresses: self.unasked.len().max(walked.addresses),
            lookups: walked.lookups,
            exchanges: self.ledger.refused(),
        };
        Report {
            check: self.check,
            round: ended.round,
            vantage: ended.vantage,
            started: ended.started,
            elapsed: ended.elapsed,
            path,
            found,
            lookups,
            observations: self.ledger.close(ended.elapsed),
            left_out,
            packets: ended.packets,
        }
    }

    /// Once the walk has arrived: every parent server, and whatever else needs its name.
    fn begin_sweep(&mut self) {
        if self.sweep.is_some() || self.walker.goal(self.goal).end() != Some(&End::Arrived) {
            return;
        }
        let Some(cut) = self.walker.goal(self.goal).path.last().cloned() else {
            return;
        };
        for name in &cut.names {
            if !cut.servers.iter().any(|server| server.name == *name)
                && !name.is_at_or_below(&cut.zone)
            {
                self.walker.search(name);
            }
        }
        if self.plan.resolvers {
            self.outbox.extend(survey::controls(&self.check, &cut.zone));
        }
        if self.plan.controls
            && let Some(server) = cut.servers.first()
        {
            self.outbox
                .extend(controls::absent_below(&self.check, &cut.zone, server));
        }
        self.sweep = Some(Sweep::new(&self.check.zone, &cut.zone));
        self.parent = Some(cut);
        self.ask_parents();
        let expected = self.check.expectation.clone();
        if self.plan.children {
            self.reach.name_servers(expected.hosts.keys());
            for (host, addresses) in &expected.hosts {
                for &address in addresses {
                    self.ask_child(Server {
                        name: host.clone(),
                        address,
                    });
                }
            }
        }
    }

    /// Asks the parent servers that were not asked yet; look-ups may have brought new ones.
    fn ask_parents(&mut self) {
        let (Some(parent), Some(sweep)) = (&mut self.parent, &mut self.sweep) else {
            return;
        };
        for name in &parent.names {
            for address in self.walker.addresses(name) {
                if self.check.families.contains(&Family::of(address)) {
                    parent.servers.insert(Server {
                        name: name.clone(),
                        address,
                    });
                }
            }
        }
        // This is called before each query, and servers are added only.
        if parent.servers.len() == self.parents_asked {
            return;
        }
        self.parents_asked = parent.servers.len();
        for server in parent
            .servers
            .iter()
            .filter(|server| self.plan.includes(server))
        {
            // Before anything else that waits: all depends on it.
            for query in sweep.ask(server).into_iter().rev() {
                self.outbox.push_front(query);
            }
        }
    }

    /// What a parent server says of the zone: its name servers are to be asked.
    fn hear_parent(&mut self, observation: &Observation) {
        let Some(sweep) = &mut self.sweep else { return };
        let parent = sweep.parent().clone();
        self.outbox.extend(sweep.retry(observation));
        if !self.plan.children {
            return;
        }
        match sweep::said(observation, &self.check.zone, &parent) {
            Some(Said::Delegation(delegation)) => {
                self.walker.teach(&delegation, &parent);
                let names: Vec<Name> = delegation
                    .name_servers
                    .keys()
                    .take(self.limits.name_servers)
                    .cloned()
                    .collect();
                self.names_left_out = self
                    .names_left_out
                    .max(delegation.name_servers.len() - names.len());
                self.reach.name_servers(names.iter());
                let believed = delegation.servers().filter(|server| {
                    names.contains(&server.name) && server.name.is_at_or_below(&parent)
                });
                for server in believed.collect::<Vec<_>>() {
                    self.ask_child(server);
                }
                let has_glue = |name: &Name| {
                    delegation
                        .glue_of(name)
                        .is_some_and(|glue| !glue.is_empty())
                };
                self.search_outside(&names, &parent, has_glue);
            }
            Some(Said::Hosted(records)) => {
                let names: Vec<Name> = records
                    .iter()
                    .filter_map(|record| match &record.data {
                        RecordData::Ns(host) => Some(host.clone()),
                        _ => None,
                    })
                    .take(self.limits.name_servers)
                    .collect();
                self.reach.name_servers(names.iter());
                let of_parent = self
                    .parent
                    .iter()
                    .flat_map(|cut| cut.servers.iter().cloned());
                let given = records.iter().filter_map(|record| {
                    Some(Server {
                        name: record.name.clone(),
                        address: record.data.address()?,
                    })
                });
                let servers: Vec<Server> = of_parent
                    .chain(given)
                    .filter(|server| names.contains(&server.name))
                    .collect();
                let known: Vec<Name> = servers.iter().map(|server| server.name.clone()).collect();
                for server in servers {
                    self.ask_child(server);
                }
                self.search_outside(&names, &parent, |name| known.contains(name));
            }
            _ => {}
        }
    }

    /// Looks up the name servers that are not in the zone: those without glue first, then those
    /// with glue, whose own zone may say otherwise.
    fn search_outside(&mut self, names: &[Name], parent: &Name, has_glue: impl Fn(&Name) -> bool) {
        let outside =
            |name: &&Name| Relation::of(name, &self.check.zone, parent) != Relation::InDomain;
        let (with, without): (Vec<&Name>, Vec<&Name>) = names
            .iter()
            .filter(outside)
            .partition(|name| has_glue(name));
        for name in without.into_iter().chain(with) {
            self.outside.insert(name.clone());
            self.walker.search(name);
        }
    }

    fn ask_child(&mut self, server: Server) {
        if !self.plan.children || !self.check.families.contains(&Family::of(server.address)) {
            return;
        }
        if self.reach.len() >= self.limits.addresses && !self.reach.knows(server.address) {
            self.unasked.insert(server.address);
            return;
        }
        // Ahead of the survey, which waits for others anyway.
        for query in self.reach.ask(server).into_iter().rev() {
            self.outbox.push_front(query);
        }
    }

    fn hear_child(&mut self, observation: &Observation) {
        let authoritative = observation
            .reply()
            .is_some_and(|message| message.flags.authoritative);
        self.child_heard |= authoritative;
        let queries = self.reach.learn(observation);
        self.outbox.extend(queries);
        for server in self.reach.addresses(observation) {
            self.ask_child(server);
        }
        let Some(parent) = self.parent.as_ref().map(|cut| cut.zone.clone()) else {
            return;
        };
        let apex: Vec<Name> = self.reach.apex(observation).into_iter().collect();
        self.search_outside(&apex, &parent, |_| false);
    }

    /// Addresses that look-ups have brought for name servers outside of the zone.
    fn ask_found(&mut self) {
        let per_host = 2 * self.limits.addresses_per_name;
        let found: Vec<Server> = self
            .outside
            .iter()
            .flat_map(|host| {
                let addresses = self.walker.addresses(host).take(per_host);
                addresses.map(|address| Server {
                    name: host.clone(),
                    address,
                })
            })
            .collect();
        for server in found {
            self.ask_child(server);
        }
    }

    /// Control C4 asks again only if the first half looked wrong.
    fn watch_constancy(&mut self, now: Duration) {
        let all_in = self.sweep.is_some()
            && self.outbox.is_empty()
            && self
                .ledger
                .settled(|query| query.purpose == Purpose::Parent);
        match &self.constancy {
            Constancy::Open if all_in && self.plan.controls => {
                let suspect =
                    controls::suspect(self.ledger.observations().values(), &self.check.zone);
                self.constancy = match suspect {
                    Some(observation) => {
                        let due = observation.sent + patience::CONSTANCY;
                        Constancy::Due(due, Box::new(controls::again(observation)))
                    }
                    None => Constancy::Done,
                };
            }
            Constancy::Due(due, query) if *due <= now => {
                self.outbox.push_back((**query).clone());
                self.constancy = Constancy::Done;
            }
            _ => {}
        }
    }

    /// Whether everything that the verdict needs from this vantage point's own questions is in.
    fn essentials_are_in(&self) -> bool {
        self.walker.is_idle()
            && self.outbox.is_empty()
            && !matches!(self.constancy, Constancy::Due(..))
            && self
                .ledger
                .settled(|query| !matches!(query.role, Role::Resolver | Role::Blackhole))
    }

    /// How long the resolvers are waited for: long only where they decide, because no server of
    /// the zone has answered.
    fn resolvers_until(&self) -> Duration {
        let decisive = self.reach.len() > 0 && !self.child_heard;
        if decisive {
            self.deadline
        } else {
            patience::SURVEY_GRACE
        }
    }
}

impl Machine for Session {
    fn poll_query(&mut self, now: Duration) -> Option<Query> {
        self.now = self.now.max(now);
        if now >= self.deadline {
            return None;
        }
        if let Some(query) = self.walker.poll(now, &mut self.ledger) {
            return Some(query);
        }
        self.begin_sweep();
        self.ask_parents();
        if self.plan.children {
            self.ask_found();
        }
        // A look-up begun just now has its first question ready.
        if let Some(query) = self.walker.poll(now, &mut self.ledger) {
            return Some(query);
        }
        self.watch_constancy(now);
        while let Some(query) = self.outbox.pop_front() {
            if let Ok(query) = self.ledger.book(now, query) {
                return Some(query);
            }
        }
        None
    }

    fn next_wake(&self) -> Option<Duration> {
        let constancy = match &self.constancy {
            Constancy::Due(due, _) => Some(*due),
            _ => None,
        };
        let grace = Some(self.resolvers_until()).filter(|until| *until > self.now);
        [
            self.walker.next_wake(),
            constancy,
            grace,
            Some(self.deadline),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn handle(&mut self, now: Duration, observation: Observation) {
        self.now = self.now.max(now);
        if self.ledger.is_news(&observation) {
            self.hear(&observation);
        }
        self.ledger.keep(observation);
    }

    fn is_finished(&self, now: Duration) -> bool {
        if now >= self.deadline {
            return true;
        }
        if !self.essentials_are_in() || (self.sweep.is_none() && !self.walk_has_failed()) {
            return false;
        }
        if self.plan.patient && self.is_late_answer_possible() {
            return false;
        }
        let offline = !self.anything_heard && self.walk_has_failed();
        let survey_is_in = self.ledger.settled(|query| query.role == Role::Resolver);
        offline || survey_is_in || now >= self.resolvers_until()
    }

    fn progress(&self) -> Progress {
        let (asked, answered) = self.ledger.counts();
        let zone = self
            .walker
            .current_zone()
            .unwrap_or(&self.check.zone)
            .clone();
        let line = if self.sweep.is_none() {
            format!("walking down, asking the servers of {zone}")
        } else if !self
            .ledger
            .settled(|query| query.purpose == Purpose::Parent)
        {
            let parent = self
                .parent
                .as_ref()
                .map_or_else(Name::root, |cut| cut.zone.clone());
            format!("asking every server of {parent}")
        } else if !self.ledger.settled(|query| query.role == Role::Child) {
            format!("asking every server of {}", self.check.zone)
        } else {
            "hearing the public resolvers".to_owned()
        };
        Progress {
            zone,
            line,
            asked,
            answered,
        }
    }
}

impl Session {
    /// Takes in what says more than was known of its question.
    fn hear(&mut self, observation: &Observation) {
        self.anything_heard |=
            !matches!(observation.outcome, Outcome::Silence | Outcome::Withheld(_));
        if self.walker.learn(observation) {
            return;
        }
        match observation.purpose {
            Purpose::Parent | Purpose::Small => self.hear_parent(observation),
            Purpose::Child => self.hear_child(observation),
            _ => {}
        }
    }

    fn is_late_answer_possible(&self) -> bool {
        let of_zones = [Role::Root, Role::Parent, Role::Child];
        self.ledger
            .is_waiting(|observation| of_zones.contains(&observation.role))
    }

    fn walk_has_failed(&self) -> bool {
        matches!(self.walker.goal(self.goal).end(), Some(End::Lost(_)))
    }
}
