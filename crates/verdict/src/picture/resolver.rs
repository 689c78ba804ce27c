//! One address of a public resolver, as one vantage point saw it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use bailiwick_core::{
    finding::Source,
    message::{Message, Rcode},
    observation::Outcome,
    query::{Purpose, Survey},
    record::{Escaped, RecordData, Ttl},
    report::Report,
    vantage::VantageId,
};

use super::{Seen, all};

/// What came of a question to a resolver.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Result {
    /// NOERROR or NXDOMAIN: it could resolve the name, or learn that there is none.
    Resolved(Rcode),
    /// Any other response code, SERVFAIL above all.
    Failed(Rcode),
    /// No answer that can be used.
    Silent,
    /// It was not asked.
    NotAsked,
}

impl Result {
    /// Returns whether the name resolved.
    #[must_use]
    pub fn resolved(self) -> bool {
        matches!(self, Self::Resolved(_))
    }

    /// Returns whether it was asked and the name did not resolve.
    #[must_use]
    pub fn failed(self) -> bool {
        matches!(self, Self::Failed(_) | Self::Silent)
    }

    /// Returns the response code.
    #[must_use]
    pub fn rcode(self) -> Option<Rcode> {
        match self {
            Self::Resolved(rcode) | Self::Failed(rcode) => Some(rcode),
            Self::Silent | Self::NotAsked => None,
        }
    }
}

/// One address of a public resolver, as one vantage point saw it.
#[derive(Clone, Debug)]
pub struct Resolver<'e> {
    /// The service it belongs to, such as `google`.
    pub service: &'e str,
    /// Whether it is one of the default services.
    pub well_known: bool,
    /// The address.
    pub address: IpAddr,
    /// Who saw it.
    pub vantage: &'e VantageId,
    asked: BTreeMap<Survey, Seen<'e>>,
}

impl<'e> Resolver<'e> {
    /// Returns the observation of one of the questions.
    #[must_use]
    pub fn seen(&self, survey: Survey) -> Option<Seen<'e>> {
        self.asked.get(&survey).copied()
    }

    /// Returns the reply to one of the questions.
    #[must_use]
    pub fn reply(&self, survey: Survey) -> Option<&'e Message> {
        self.seen(survey)?.observation.reply()
    }

    /// Returns what came of one of the questions.
    #[must_use]
    pub fn result(&self, survey: Survey) -> Result {
        let Some(seen) = self.seen(survey) else {
            return Result::NotAsked;
        };
        match &seen.outcome {
            Outcome::Reply(m) | Outcome::Late(m) => match m.rcode {
                Rcode::NOERROR | Rcode::NXDOMAIN => Result::Resolved(m.rcode),
                other => Result::Failed(other),
            },
            Outcome::Withheld(_) => Result::NotAsked,
            _ => Result::Silent,
        }
    }

    /// Returns whether it resolves the control name, so that its failures mean something.
    #[must_use]
    pub fn is_well(&self) -> bool {
        matches!(
            self.result(Survey::Control),
            Result::Resolved(Rcode::NOERROR)
        )
    }

    /// Returns whether it is well and cannot resolve a fresh name of the zone.
    #[must_use]
    pub fn fails(&self) -> bool {
        self.is_well() && self.result(Survey::Fresh).failed()
    }

    /// Returns the extended errors of its answers about the zone (RFC 8914).
    #[must_use]
    pub fn extended_errors(&self) -> BTreeSet<u16> {
        [
            Survey::Stub,
            Survey::Warm,
            Survey::Fresh,
            Survey::FreshUnchecked,
        ]
        .into_iter()
        .filter_map(|survey| self.reply(survey))
        .flat_map(Message::extended_errors)
        .collect()
    }

    /// Returns the smallest TTL of the NS set that it hands out.
    #[must_use]
    pub fn warm_ttl(&self) -> Option<Ttl> {
        self.reply(Survey::Warm)?.answer.iter().map(|r| r.ttl).min()
    }

    /// Returns who it says it is: the text of its identity answer, else its NSID.
    #[must_use]
    pub fn identity(&self) -> Option<String> {
        let text = self.reply(Survey::Identity).and_then(|message| {
            message.answer.iter().find_map(|record| match &record.data {
                RecordData::Txt(strings) => {
                    let texts = strings.iter().map(|s| Escaped(s).to_string());
                    Some(texts.collect::<Vec<_>>().join(" "))
                }
                _ => None,
            })
        });
        let nsid = || {
            self.asked
                .values()
                .filter_map(|seen| seen.observation.reply()?.nsid())
                .map(|nsid| Escaped(nsid).to_string())
                .next()
        };
        text.or_else(nsid)
    }

    /// Returns where the evidence for some of the questions is.
    #[must_use]
    pub fn sources(&self, surveys: &[Survey]) -> Vec<Source> {
        surveys
            .iter()
            .filter_map(|survey| Some(self.seen(*survey)?.source()))
            .collect()
    }
}

/// Returns the resolvers of the check with what they said.
pub(super) fn resolvers(report: &Report) -> Vec<Resolver<'_>> {
    let surveys: Vec<(Survey, Seen)> = all(report)
        .filter_map(|seen| match seen.purpose {
            Purpose::Survey(survey) => Some((survey, seen)),
            _ => None,
        })
        .collect();
    let mut resolvers = Vec::new();
    for service in &report.check.resolvers {
        for &address in &service.addresses {
            let mut asked: BTreeMap<Survey, Seen> = BTreeMap::new();
            for &(survey, seen) in &surveys {
                if seen.server.address == address {
                    let known = asked.entry(survey).or_insert(seen);
                    if seen.outcome.rank() < known.outcome.rank() {
                        *known = seen;
                    }
                }
            }
            if !asked.is_empty() {
                resolvers.push(Resolver {
                    service: &service.name,
                    well_known: service.well_known,
                    address,
                    vantage: &report.vantage.id,
                    asked,
                });
            }
        }
    }
    resolvers
}
