//! Certificates without going through enrolment.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a part of several tests, and one that cannot go on fails here"
)]

use std::time::SystemTime;

use bailiwick_rpc::{Authority, Credentials, Key, Kind};

/// What a member shows whom this authority vouches for.
pub fn credentials(
    authority: &Authority,
    kind: Kind,
    member: &str,
    now: SystemTime,
) -> Credentials {
    let key = Key::generate().unwrap();
    let name = member.parse().unwrap();
    let issued = authority.issue(kind, &name, &key.public(), now).unwrap();
    Credentials::new(issued.chain, &key)
}
