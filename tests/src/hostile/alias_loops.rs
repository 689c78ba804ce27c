//! T6: aliases that lead round in a circle, in one answer and across answers.

use bailiwick_core::message::Question;
use bailiwick_core::record::RecordType;

use super::names::{host, two_hosts};
use super::realm::Realm;
use super::{Expected, Plan, Seed, Task, name, play};

/// How the circle is made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// CNAME records of one zone, all in one answer.
    OneAnswer,
    /// CNAME records of one zone, one in each answer.
    OneByOne,
    /// CNAME records of two zones in turn.
    TwoZones,
    /// DNAME records of two zones in turn.
    Dname,
    /// A DNAME record that points below itself, so names grow.
    Growing,
}

const KINDS: [Kind; 5] = [
    Kind::OneAnswer,
    Kind::OneByOne,
    Kind::TwoZones,
    Kind::Dname,
    Kind::Growing,
];
const LENGTHS: usize = 20;

pub(super) const SHAPES: usize = KINDS.len() * LENGTHS * 2;

pub(super) fn plan(mut seed: Seed) -> Plan {
    let is_trace = seed.pick(&[true, false]);
    let kind = seed.pick(&KINDS);
    let length = 1 + seed.shape % LENGTHS;

    let apexes = ["com", "net"].map(|tld| seed.apex("", tld));
    // The zone of the circle is not the one that is checked, which shall be found.
    let mut texts = [String::new(), String::new()];
    let place = |at: usize| match kind {
        Kind::TwoZones | Kind::Dname => at % 2,
        _ => 1,
    };
    for at in 0..length {
        let next = (at + 1) % length;
        let to = &apexes[place(next)];
        texts[place(at)] += &match kind {
            Kind::Growing => format!("l{at} DNAME x.l{at}\n"),
            Kind::Dname => format!("l{at} DNAME l{next}.{to}\n"),
            _ => format!("l{at} CNAME l{next}.{to}\n"),
        };
    }
    let start = match kind {
        Kind::Dname | Kind::Growing => format!("host.l0.{}", apexes[place(0)]),
        _ => format!("l0.{}", apexes[place(0)]),
    };
    let [com, net] = texts;
    let own = format!("@ NS ns1\n@ NS {start}\n");
    let mut realm = Realm::of(seed.number, &com, &net);
    realm.follows = kind == Kind::OneAnswer;
    let zone = seed.apex("z", "com");
    realm.serve(&zone, &[2], &(own.clone() + &host("ns1", 2)));
    let about = format!(
        "{kind:?} of {length}, {}",
        if is_trace { "traced" } else { "checked" }
    );
    let mut plan = Plan::check(&seed, &zone, about, play(move |asked| realm.answer(asked)));
    for apex in &apexes {
        plan = plan.registered(apex, &two_hosts([0, 1]));
    }
    plan = plan.registered(&zone, &(own + &host("ns1", 2)));
    if is_trace {
        plan.task = Task::Trace(Question::new(name(&start), RecordType::A));
        return plan.expecting(Expected {
            states: vec!["SERVFAIL"],
            most_for_attack: Some(40),
            ..Expected::default()
        });
    }
    plan.expecting(Expected {
        findings: vec!["ns-is-alias", "ns-unresolvable"],
        states: vec!["DEGRADED"],
        ..Expected::default()
    })
}
