//! Names, addresses and durations.

use std::{net::IpAddr, time::Duration};

use bailiwick_core::{name::Name, server::Server};
use prost::bytes::Bytes;

use super::{DecodeError, MAX_ITEMS};
use crate::proto::report::v1 as pb;

/// Returns a field that has to be there.
pub(crate) fn present<T>(field: &'static str, value: Option<T>) -> Result<T, DecodeError> {
    value.ok_or(DecodeError::Missing { field })
}

pub(crate) fn to_name(name: &Name) -> Bytes {
    name.to_wire().into()
}

/// Reads a name.
///
/// # Errors
///
/// Returns [`DecodeError::NoName`] for octets that are no name on the wire.
pub fn name(field: &'static str, octets: &[u8]) -> Result<Name, DecodeError> {
    crate::dns::whole_name(octets).ok_or(DecodeError::NoName { field })
}

pub(crate) fn to_address(address: IpAddr) -> Bytes {
    match address {
        IpAddr::V4(v4) => Bytes::copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => Bytes::copy_from_slice(&v6.octets()),
    }
}

pub(crate) fn address(octets: &Bytes) -> Result<IpAddr, DecodeError> {
    let length = octets.len();
    <[u8; 4]>::try_from(octets.as_ref())
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(octets.as_ref()).map(IpAddr::from))
        .map_err(|_| DecodeError::Address { length })
}

pub(crate) fn to_addresses<'a>(addresses: impl IntoIterator<Item = &'a IpAddr>) -> Vec<Bytes> {
    addresses.into_iter().copied().map(to_address).collect()
}

pub(crate) fn addresses<C: FromIterator<IpAddr>>(octets: &[Bytes]) -> Result<C, DecodeError> {
    super::at_most("addresses", octets.len(), MAX_ITEMS)?;
    octets.iter().map(address).collect()
}

pub(crate) fn to_server(server: &Server) -> pb::Server {
    pb::Server {
        name: to_name(&server.name),
        address: to_address(server.address),
    }
}

pub(crate) fn server(server: &pb::Server) -> Result<Server, DecodeError> {
    Ok(Server {
        name: name("name of a server", &server.name)?,
        address: address(&server.address)?,
    })
}

/// Nanoseconds reach for 292 years.
pub(crate) fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

pub(crate) fn duration(field: &'static str, nanoseconds: i64) -> Result<Duration, DecodeError> {
    let known = u64::try_from(nanoseconds).map(Duration::from_nanos);
    known.map_err(|_| DecodeError::Unknown {
        field,
        value: nanoseconds,
    })
}
