//! What a walk found on its way and at its end.

use bailiwick_core::{
    message::Rcode,
    name::Name,
    report::{Cut, Found, LeftOut, Lookup, Lost},
};

use super::{
    DecodeError, codes, list, names,
    parts::{addresses, name, present, server, to_addresses, to_name, to_server},
};
use crate::proto::report::v1 as pb;

pub(super) fn to_cut(cut: &Cut) -> pb::Cut {
    pb::Cut {
        zone: to_name(&cut.zone),
        names: cut.names.iter().map(to_name).collect(),
        servers: cut.servers.iter().map(to_server).collect(),
    }
}

pub(super) fn cut(cut: &pb::Cut) -> Result<Cut, DecodeError> {
    Ok(Cut {
        zone: name("zone on the way", &cut.zone)?,
        names: names("name servers", &cut.names)?,
        servers: list("servers", &cut.servers, server)?,
    })
}

pub(super) fn to_found(found: &Found) -> pb::Found {
    use pb::found::Kind;
    let kind = match found {
        Found::Delegated => Kind::Delegated(pb::Empty {}),
        Found::SharedServers => Kind::SharedServers(pb::Empty {}),
        Found::Absent => Kind::Absent(pb::Empty {}),
        Found::Inside(inside) => Kind::Inside(codes::to_inside(*inside)),
        Found::Lost(lost) => Kind::Lost(to_lost(lost)),
    };
    pb::Found { kind: Some(kind) }
}

pub(super) fn found(found: &pb::Found) -> Result<Found, DecodeError> {
    use pb::found::Kind;
    Ok(match present("found", found.kind.as_ref())? {
        Kind::Delegated(_) => Found::Delegated,
        Kind::SharedServers(_) => Found::SharedServers,
        Kind::Absent(_) => Found::Absent,
        Kind::Inside(number) => Found::Inside(codes::inside(*number)?),
        Kind::Lost(why) => Found::Lost(lost(why)?),
    })
}

fn to_lost(lost: &Lost) -> pb::Lost {
    use pb::lost::Kind;
    let kind = match lost {
        Lost::NoUsableAnswer { zone } => Kind::NoUsableAnswer(to_name(zone)),
        Lost::NoAddress { zone } => Kind::NoAddress(to_name(zone)),
        Lost::Cycle { path } => Kind::Cycle(pb::Names {
            names: path.iter().map(to_name).collect(),
        }),
        Lost::TooDeep { zone } => Kind::TooDeep(to_name(zone)),
        Lost::AliasLoop { name } => Kind::AliasLoop(to_name(name)),
        Lost::Exhausted => Kind::Exhausted(pb::Empty {}),
    };
    pb::Lost { kind: Some(kind) }
}

fn lost(lost: &pb::Lost) -> Result<Lost, DecodeError> {
    use pb::lost::Kind;
    const FIELD: &str = "where a walk was lost";
    Ok(match present(FIELD, lost.kind.as_ref())? {
        Kind::NoUsableAnswer(zone) => Lost::NoUsableAnswer {
            zone: name(FIELD, zone)?,
        },
        Kind::NoAddress(zone) => Lost::NoAddress {
            zone: name(FIELD, zone)?,
        },
        Kind::Cycle(path) => Lost::Cycle {
            path: list(FIELD, &path.names, |step| name(FIELD, step))?,
        },
        Kind::TooDeep(zone) => Lost::TooDeep {
            zone: name(FIELD, zone)?,
        },
        Kind::AliasLoop(alias) => Lost::AliasLoop {
            name: name(FIELD, alias)?,
        },
        Kind::Exhausted(_) => Lost::Exhausted,
    })
}

pub(super) fn to_lookup((name, lookup): (&Name, &Lookup)) -> pb::Lookup {
    use pb::lookup::Kind;
    let kind = match lookup {
        Lookup::Addresses(found) => Kind::Addresses(pb::Addresses {
            addresses: to_addresses(found),
        }),
        Lookup::Alias { target, addresses } => Kind::Alias(pb::Alias {
            target: to_name(target),
            addresses: to_addresses(addresses),
        }),
        Lookup::Absent { rcode, zone } => Kind::Absent(pb::Absent {
            rcode: rcode.0.into(),
            zone: to_name(zone),
        }),
        Lookup::Lost(lost) => Kind::Lost(to_lost(lost)),
        Lookup::NotTried => Kind::NotTried(pb::Empty {}),
    };
    pb::Lookup {
        name: to_name(name),
        kind: Some(kind),
    }
}

pub(super) fn lookup(lookup: &pb::Lookup) -> Result<(Name, Lookup), DecodeError> {
    use pb::lookup::Kind;
    let found = match present("look-up", lookup.kind.as_ref())? {
        Kind::Addresses(found) => Lookup::Addresses(addresses(&found.addresses)?),
        Kind::Alias(alias) => Lookup::Alias {
            target: name("target of an alias", &alias.target)?,
            addresses: addresses(&alias.addresses)?,
        },
        Kind::Absent(absent) => Lookup::Absent {
            rcode: rcode(absent.rcode)?,
            zone: name("zone that denies", &absent.zone)?,
        },
        Kind::Lost(why) => Lookup::Lost(lost(why)?),
        Kind::NotTried(_) => Lookup::NotTried,
    };
    Ok((name("name looked up", &lookup.name)?, found))
}

fn rcode(number: u32) -> Result<Rcode, DecodeError> {
    u16::try_from(number)
        .map(Rcode)
        .map_err(|_| DecodeError::Unknown {
            field: "response code",
            value: number.into(),
        })
}

pub(super) fn to_left_out(left_out: &LeftOut) -> pb::LeftOut {
    pb::LeftOut {
        names: left_out.names as u64,
        addresses: left_out.addresses as u64,
        lookups: left_out.lookups as u64,
        exchanges: left_out.exchanges as u64,
    }
}

pub(super) fn left_out(left_out: Option<&pb::LeftOut>) -> LeftOut {
    let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    left_out.map_or_else(LeftOut::default, |left_out| LeftOut {
        names: count(left_out.names),
        addresses: count(left_out.addresses),
        lookups: count(left_out.lookups),
        exchanges: count(left_out.exchanges),
    })
}
