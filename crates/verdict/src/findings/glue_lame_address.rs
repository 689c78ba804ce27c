//! `glue-lame-address`: a name server answers, but not for the zone.
//!
//! The delegation gives this address, a DNS server answers there, and it is no authority for
//! the zone: it refuses, fails, answers without the AA bit, refers to other servers, or has an
//! enclosing zone only. This is called a *lame* delegation (RFC 9499, section 7); the finding
//! says which kind. Resolvers that ask it get nothing and go on to another server; if all are
//! lame, resolution fails everywhere, and this is critical.
//!
//! Usually the zone is not configured there, failed to load, or has expired because it could
//! not be transferred; SERVFAIL points to the last two. A server that does not answer at all is
//! `glue-dead-address`; one that has a zone of the same name but somebody else's is
//! `glue-foreign-zone-content`. Where a referral leads is told by `bad-referral`, too.
//!
//! Load the zone on that server, or take the server out of the delegation and the zone.

use bailiwick_core::{
    finding::{Actor, Finding, Severity},
    server::Server,
};

use crate::{
    picture::{Given, HostAddresses, Picture, Standing},
    rule::Rule,
    wording,
};

/// The rule.
pub(crate) const RULE: Rule = Rule {
    code: "glue-lame-address",
    severity: Severity::Error,
    actor: Actor::Server,
    title: "a name server answers without authority for the zone",
    text: include_str!("glue_lame_address.rs"),
    source: "RFC 1912, section 2.8; RFC 9499, section 7",
    related: &["servfail", "zone-transfer", "resolution-failure"],
    find,
};

fn find(picture: &Picture) -> Vec<Finding> {
    let nowhere = picture.has_no_server();
    let groups = picture.addresses_that(|child| matches!(child.standing(), Standing::Lame(_)));
    groups
        .iter()
        .map(|group| finding(picture, group, nowhere))
        .collect()
}

fn finding(picture: &Picture, group: &HostAddresses, nowhere: bool) -> Finding {
    let severity = match group.given {
        Given::Published if nowhere => Severity::Critical,
        Given::Published | Given::Expected => Severity::Error,
        Given::InZone => Severity::Warning,
    };
    let reasons = group
        .children
        .iter()
        .map(|child| format!("{} {}", child.address, child.standing()));
    let draft = RULE
        .about(group.host)
        .severity(severity)
        .detail(format!(
            "{} has no authority for the zone{} ({})",
            group.host,
            group.whence(),
            wording::list(reasons)
        ))
        .remedy(format!(
            "Load {} on the server at {}, or take {} out of the delegation and the zone",
            picture.zone,
            wording::list(group.addresses()),
            group.host
        ))
        .evidence(group.sources());
    match group.children.as_slice() {
        [only] => draft
            .server(&Server {
                name: group.host.clone(),
                address: only.address,
            })
            .done(),
        _ => draft.server_name(group.host).done(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Acts, Fixture, lines};
    use bailiwick_core::message::Rcode;

    #[test]
    fn an_answer_without_authority_is_lame() {
        let world = || {
            Fixture::healthy("ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2 2001:db8::2")
        };
        let lame = |why: &str| {
            format!(
                "error ns2.example.com. 192.0.2.2: ns2.example.com. has no authority for the \
                 zone (192.0.2.2 {why})"
            )
        };
        let refused = Acts::Code(Rcode::REFUSED);
        let cases: [(Fixture, &[String], &str); 9] = [
            (world(), &[], "all have the zone"),
            (
                world().acts("192.0.2.2", refused.clone()),
                &[lame("answers REFUSED")],
                "not configured there",
            ),
            (
                world().acts("192.0.2.2", Acts::Code(Rcode::SERVFAIL)),
                &[lame("answers SERVFAIL")],
                "not loaded, or expired",
            ),
            (
                world().acts("192.0.2.2", Acts::Recursive),
                &[lame("answers without authority (AA is not set)")],
                "a resolver",
            ),
            (
                world().acts("192.0.2.2", Acts::Upward),
                &[lame("refers to the servers of .")],
                "an upward referral",
            ),
            (
                world().acts("192.0.2.2", Acts::Silent),
                &[],
                "silence is not lameness: glue-dead-address",
            ),
            (
                world()
                    .acts("192.0.2.2", refused.clone())
                    .acts("2001:db8::2", Acts::Code(Rcode::SERVFAIL)),
                &[
                    "error ns2.example.com.: ns2.example.com. has no authority for the zone \
                   (192.0.2.2 answers REFUSED and 2001:db8::2 answers SERVFAIL)"
                        .to_owned(),
                ],
                "one finding for a name",
            ),
            (
                world()
                    .acts("192.0.2.1", refused.clone())
                    .acts("192.0.2.2", refused.clone())
                    .acts("2001:db8::2", Acts::Silent),
                &[
                    "error ns1.example.com. 192.0.2.1: ns1.example.com. has no authority for the \
                     zone (192.0.2.1 answers REFUSED)"
                        .to_owned(),
                    lame("answers REFUSED"),
                ],
                "silence at one address leaves it open",
            ),
            (
                Fixture::healthy("ns1.example.com. 192.0.2.1").acts("192.0.2.1", refused),
                &[
                    "critical ns1.example.com. 192.0.2.1: ns1.example.com. has no authority for \
                     the zone (192.0.2.1 answers REFUSED)"
                        .to_owned(),
                ],
                "every address answers, none with authority",
            ),
        ];
        for (world, expected, why) in cases {
            assert_eq!(lines(&RULE, &world), expected, "{why}");
        }
    }
}
