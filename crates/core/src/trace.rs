//! The answer that an honest resolver with an empty cache, which does not validate, would give.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    message::{Question, Rcode},
    observation::{Observation, ObservationId},
    record::Record,
    report::{Cut, Lookup, Lost},
    time::Timestamp,
};

/// What the walk for a question gave.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Hash)]
pub struct Answer {
    /// NOERROR, NXDOMAIN or SERVFAIL.
    pub rcode: Rcode,
    /// The answer with all aliases on the way, in the order of the chain.
    pub records: Vec<Record>,
    /// Why it is SERVFAIL.
    pub reason: Option<Lost>,
}

/// A walk with everything that was asked on it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trace {
    /// What was asked.
    pub question: Question,
    /// What came of it.
    pub answer: Answer,
    /// The zones on the way of the last name of the chain, from the root.
    pub path: Vec<Cut>,
    /// The look-ups of name servers' names.
    pub lookups: BTreeMap<crate::name::Name, Lookup>,
    /// Every exchange.
    pub observations: BTreeMap<ObservationId, Observation>,
    /// When it began.
    pub started: Timestamp,
    /// How long it took.
    pub elapsed: Duration,
    /// Packets sent.
    pub packets: u32,
}
