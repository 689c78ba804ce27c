//! Who can change what keeps resolvers out.
//!
//! Findings about consequences, such as resolvers that fail, follow from some fault that another
//! finding names. They name the same actor, so that nobody is sent to the wrong door.

use bailiwick_core::{finding::Actor, observation::Withheld, query::Via, verdict::Publication};

use crate::{
    picture::{Answer, Child, ChildView, Instance, Picture},
    reachability::Outage,
    state::Axes,
    usable::{self, How, Usable},
};

/// Returns who can let resolvers in.
pub(crate) fn actor(picture: &Picture, axes: &Axes) -> Actor {
    match axes.outage {
        Some(Outage::NoDelegation | Outage::Cycle | Outage::NoAddress | Outage::Chain) => {
            return Actor::Registrar;
        }
        Some(Outage::Unusable | Outage::Silence | Outage::Nowhere) | None => {}
    }
    match axes.published.publication {
        Publication::NotPublished => return Actor::Registrar,
        Publication::Publishing => return Actor::Nobody,
        Publication::Divergent => return Actor::Registry,
        Publication::Published | Publication::Regressed | Publication::Unknown => {}
    }
    let published = || picture.children.values().filter(|child| child.published);
    if published().any(|child| child.withheld() == Some(Withheld::SpecialUse) || child.foreign) {
        return Actor::Registrar;
    }
    if axes.outage.is_none() && published().all(|child| is_well(picture, child)) {
        // The servers are well, so it is the referral that is too short.
        return if picture.delegating().any(is_shorter_over_udp) {
            Actor::Registry
        } else {
            Actor::Registrar
        };
    }
    Actor::Server
}

/// Whether nobody is known to be turned away by a server, over UDP or over TCP.
fn is_well(picture: &Picture, child: &Child) -> bool {
    let works = |via| usable::address(picture, child.address, How::Over(via)) != Usable::No;
    let turns_away = |view: &ChildView| {
        view.is_dead() || (view.standing().answers() && !view.standing().is_authoritative())
    };
    works(Via::Udp) && works(Via::Tcp) && !child.views.iter().any(turns_away)
}

/// Whether a referral over UDP has fewer addresses than the one over TCP, without TC.
fn is_shorter_over_udp(instance: &Instance) -> bool {
    let (Some(udp), Some(tcp)) = (&instance.udp, &instance.tcp) else {
        return false;
    };
    let addresses = |answer: &Answer| {
        let delegation = answer.delegation();
        delegation.map_or(0, |delegation| delegation.servers().count())
    };
    !udp.truncated && udp.delegation().is_some() && addresses(udp) < addresses(tcp)
}

#[cfg(test)]
mod tests {
    use bailiwick_core::message::Rcode;

    use super::*;
    use crate::fixture::{Acts, Fixture};

    const BOTH: &str = "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2";

    #[test]
    fn the_door_to_knock_at_is_that_of_the_cause() {
        let world = || Fixture::healthy(BOTH);
        let all = |acts: &Acts| {
            world()
                .acts("192.0.2.1", acts.clone())
                .acts("192.0.2.2", acts.clone())
        };
        let a = "198.51.100.1";
        let old = "ns1.example.com. 192.0.2.66; ns2.example.com. 192.0.2.2";
        let cases = [
            (
                world().parents("ns1.example.com.; ns2.example.com."),
                Actor::Registrar,
                "no glue",
            ),
            (
                all(&Acts::Silent).all_resolvers(Some(Rcode::SERVFAIL), &[22]),
                Actor::Server,
                "dead servers",
            ),
            (
                world().acts("192.0.2.1", Acts::TcpOnly),
                Actor::Server,
                "a server without UDP",
            ),
            (
                all(&Acts::Code(Rcode::REFUSED)),
                Actor::Server,
                "lame servers",
            ),
            (
                all(&Acts::Withheld(Withheld::SpecialUse)),
                Actor::Registrar,
                "addresses that nobody may use",
            ),
            (
                world().parents(old).acts("192.0.2.66", Acts::Silent),
                Actor::Registrar,
                "an old address",
            ),
            (
                world().parent_udp_at(a, "ns1.example.com.; ns2.example.com.", false),
                Actor::Registry,
                "glue left out over UDP",
            ),
            (
                world().parent_at(a, old).serial_at(a, 1),
                Actor::Nobody,
                "the new address is on its way",
            ),
        ];
        for (world, expected, why) in cases {
            let evidence = world.evidence();
            let picture = Picture::of(&evidence);
            assert_eq!(actor(&picture, Axes::of(&picture)), expected, "{why}");
        }
    }
}
