//! One question and what came of it.

use bailiwick_core::{
    message::Question,
    observation::{Observation, ObservationId, Outcome, Unreadable},
    query::{Options, QueryId},
    record::RecordType,
};

use super::{
    Answers, DecodeError, Known, codes,
    parts::{duration, name, nanoseconds, present, server, to_name, to_server},
};
use crate::proto::report::v1 as pb;

pub(super) fn to_observation(observation: &Observation, answers: &mut Answers) -> pb::Observation {
    let Observation {
        id,
        server,
        role,
        zone,
        purpose,
        via,
        question,
        options,
        sent,
        elapsed,
        outcome,
        junk,
        case_kept,
        octets,
    } = observation;
    pb::Observation {
        query: id.query.0,
        question_number: id.question.into(),
        server: Some(to_server(server)),
        role: codes::to_role(*role),
        zone: to_name(zone),
        purpose: codes::to_purpose(*purpose),
        via: codes::to_via(*via),
        question: Some(to_question(question)),
        options: Some(to_options(*options)),
        sent_ns: nanoseconds(*sent),
        elapsed_ns: nanoseconds(*elapsed),
        outcome: Some(to_outcome(outcome)),
        junk: *junk,
        case_kept: *case_kept,
        answer: answers.place(octets),
    }
}

pub(super) fn observation(
    observation: &pb::Observation,
    answers: &mut Known<'_>,
) -> Result<Observation, DecodeError> {
    let octets = answers.at(observation.answer)?;
    let outcome = present("outcome", observation.outcome.as_ref())?;
    Ok(Observation {
        id: ObservationId {
            query: QueryId(observation.query),
            question: u8::try_from(observation.question_number).map_err(|_| {
                DecodeError::Unknown {
                    field: "number of a question",
                    value: observation.question_number.into(),
                }
            })?,
        },
        server: server(present("server", observation.server.as_ref())?)?,
        role: codes::role(observation.role)?,
        zone: name("zone asked for", &observation.zone)?,
        purpose: codes::purpose(observation.purpose)?,
        via: codes::via(observation.via)?,
        question: question(present("question", observation.question.as_ref())?)?,
        options: options(present("options", observation.options.as_ref())?),
        sent: duration("sent", observation.sent_ns)?,
        elapsed: duration("elapsed", observation.elapsed_ns)?,
        outcome: read_outcome(outcome, observation.answer, answers)?,
        junk: observation.junk,
        case_kept: observation.case_kept,
        octets: octets.into(),
    })
}

fn to_question(question: &Question) -> pb::Question {
    pb::Question {
        name: to_name(&question.name),
        r#type: question.record_type.0.into(),
        class: codes::to_class(question.class),
    }
}

fn question(question: &pb::Question) -> Result<Question, DecodeError> {
    Ok(Question {
        name: name("name asked", &question.name)?,
        record_type: u16::try_from(question.r#type)
            .map(RecordType)
            .map_err(|_| DecodeError::Unknown {
                field: "type",
                value: question.r#type.into(),
            })?,
        class: codes::class(question.class)?,
    })
}

fn to_options(options: Options) -> pb::Options {
    let Options {
        recursion_desired,
        checking_disabled,
        edns,
        dnssec_ok,
    } = options;
    pb::Options {
        recursion_desired,
        checking_disabled,
        edns,
        dnssec_ok,
    }
}

fn options(options: &pb::Options) -> Options {
    Options {
        recursion_desired: options.recursion_desired,
        checking_disabled: options.checking_disabled,
        edns: options.edns,
        dnssec_ok: options.dnssec_ok,
    }
}

fn to_outcome(outcome: &Outcome) -> pb::Outcome {
    use pb::outcome::Kind;
    let kind = match outcome {
        Outcome::Reply(_) => Kind::Reply(pb::Empty {}),
        Outcome::Late(_) => Kind::Late(pb::Empty {}),
        Outcome::Rejected(rejection) => Kind::Rejected(codes::to_rejection(*rejection)),
        Outcome::Unreadable(unreadable) => Kind::Unreadable(to_unreadable(unreadable)),
        Outcome::Silence => Kind::Silence(pb::Empty {}),
        Outcome::Withheld(withheld) => Kind::Withheld(codes::to_withheld(*withheld)),
    };
    pb::Outcome { kind: Some(kind) }
}

/// An answer is read again from its octets, so that nobody has to believe who read it first.
fn read_outcome(
    outcome: &pb::Outcome,
    answer: u32,
    answers: &mut Known<'_>,
) -> Result<Outcome, DecodeError> {
    use pb::outcome::Kind;
    Ok(match present("outcome", outcome.kind.as_ref())? {
        Kind::Reply(_) => Outcome::Reply(answers.message(answer)?),
        Kind::Late(_) => Outcome::Late(answers.message(answer)?),
        Kind::Rejected(number) => Outcome::Rejected(codes::rejection(*number)?),
        Kind::Unreadable(why) => Outcome::Unreadable(unreadable(why)?),
        Kind::Silence(_) => Outcome::Silence,
        Kind::Withheld(number) => Outcome::Withheld(codes::withheld(*number)?),
    })
}

fn to_unreadable(unreadable: &Unreadable) -> pb::Unreadable {
    use pb::unreadable::Kind;
    let kind = match unreadable {
        Unreadable::Malformed(why) => Kind::Malformed(why.clone()),
        Unreadable::Oversize(octets) => Kind::Oversize(*octets as u64),
        Unreadable::Junk(datagrams) => Kind::Junk(*datagrams),
        Unreadable::Case => Kind::Case(pb::Empty {}),
    };
    pb::Unreadable { kind: Some(kind) }
}

fn unreadable(unreadable: &pb::Unreadable) -> Result<Unreadable, DecodeError> {
    use pb::unreadable::Kind;
    Ok(match present("unreadable", unreadable.kind.as_ref())? {
        Kind::Malformed(why) => Unreadable::Malformed(why.clone()),
        Kind::Oversize(octets) => {
            Unreadable::Oversize(usize::try_from(*octets).unwrap_or(usize::MAX))
        }
        Kind::Junk(datagrams) => Unreadable::Junk(*datagrams),
        Kind::Case(_) => Unreadable::Case,
    })
}
