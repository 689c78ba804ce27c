//! What is to be found out.

use bailiwick_core::{
    check::{Check, CheckId, Expectation, Resolver},
    limit::Limits,
};

use super::{
    DecodeError, codes, list,
    parts::{
        address, addresses, duration, name, nanoseconds, server, to_addresses, to_name, to_server,
    },
};
use crate::proto::report::v1 as pb;

/// Writes what is to be found out.
#[must_use]
pub fn to_check(check: &Check) -> pb::Check {
    pb::Check {
        id: check.id.0.to_be_bytes().to_vec().into(),
        zone: to_name(&check.zone),
        expected: check
            .expectation
            .hosts
            .iter()
            .map(|(host, addresses)| pb::ExpectedHost {
                name: to_name(host),
                addresses: to_addresses(addresses),
            })
            .collect(),
        roots: check.roots.iter().map(to_server).collect(),
        resolvers: check.resolvers.iter().map(to_resolver).collect(),
        stub: codes::to_stub(check.stub),
        families: codes::to_families(&check.families),
        minimise: check.minimise,
        timeout_ns: nanoseconds(check.timeout),
        nonce: check.nonce,
        blackholes: to_addresses(&check.blackholes),
        lab: check.lab,
    }
}

/// Reads what is to be found out. A time-out beyond limit B8 is cut to it.
///
/// # Errors
///
/// Returns [`DecodeError`] for anything that is not understood.
pub fn check(check: &pb::Check) -> Result<Check, DecodeError> {
    Ok(Check {
        id: check_id(&check.id)?,
        zone: name("zone", &check.zone)?,
        expectation: Expectation {
            hosts: list::<_, _, Vec<_>>("expected hosts", &check.expected, |host| {
                Ok((
                    name("expected host", &host.name)?,
                    addresses(&host.addresses)?,
                ))
            })?
            .into_iter()
            .collect(),
        },
        roots: list("root servers", &check.roots, server)?,
        resolvers: list("resolvers", &check.resolvers, resolver)?,
        stub: codes::stub(check.stub)?,
        families: codes::families(&check.families)?,
        minimise: check.minimise,
        timeout: duration("time-out", check.timeout_ns)?.min(Limits::FULL_ROUND.wall_time),
        nonce: check.nonce,
        blackholes: list("blackholes", &check.blackholes, address)?,
        lab: check.lab,
    })
}

/// Reads the identity of a check.
///
/// # Errors
///
/// Returns [`DecodeError::Missing`] if these are not 16 octets.
pub fn check_id(octets: &[u8]) -> Result<CheckId, DecodeError> {
    let octets = <[u8; 16]>::try_from(octets);
    let id = octets.map_err(|_| DecodeError::Missing { field: "check id" })?;
    Ok(CheckId(u128::from_be_bytes(id)))
}

fn to_resolver(resolver: &Resolver) -> pb::Resolver {
    pb::Resolver {
        name: resolver.name.clone(),
        addresses: to_addresses(&resolver.addresses),
        well_known: resolver.well_known,
    }
}

fn resolver(resolver: &pb::Resolver) -> Result<Resolver, DecodeError> {
    Ok(Resolver {
        name: resolver.name.clone(),
        addresses: addresses(&resolver.addresses)?,
        well_known: resolver.well_known,
    })
}
