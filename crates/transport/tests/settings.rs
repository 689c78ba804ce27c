//! What may be set, and what a network outside of a laboratory refuses.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "tests, and helpers that not all of them use"
)]

mod common;

use std::net::IpAddr;

use bailiwick_core::{
    observation::{Outcome, Withheld},
    query::{Query, Stub, Via},
    record::RecordType,
    server::Role,
};
use bailiwick_transport::{BLACKHOLES, Network, Settings, SettingsError};
use common::{LIMITS, ask, query};

fn internet() -> Settings {
    Settings {
        limits: LIMITS,
        allow_special_use: false,
        port: 53,
        bind: Vec::new(),
        blackholes: BLACKHOLES.to_vec(),
    }
}

#[test]
fn only_a_laboratory_has_another_port_and_nobody_has_other_blackholes() {
    assert!(Network::new(internet()).is_ok());
    let port = Settings {
        port: 5353,
        ..internet()
    };
    assert!(matches!(
        Network::new(port.clone()),
        Err(SettingsError::Port { port: 5353 })
    ));
    let laboratory = Settings {
        allow_special_use: true,
        ..port
    };
    assert!(Network::new(laboratory.clone()).is_ok());
    for settings in [internet(), laboratory] {
        let address = IpAddr::from([192, 0, 2, 2]);
        let settings = Settings {
            blackholes: vec![address],
            ..settings
        };
        let error = Network::new(settings).unwrap_err();
        assert_eq!(
            error.to_string(),
            "192.0.2.2 is no blackhole address; those are 192.0.2.1 and 2001:db8::1"
        );
    }
}

#[tokio::test]
async fn no_packet_leaves_for_an_address_that_zone_data_must_not_name() {
    let network = Network::new(internet()).unwrap();
    let addresses = [
        "127.0.0.1",
        "::1",
        "169.254.169.254",
        "10.0.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "224.0.0.251",
        "255.255.255.255",
        "0.0.0.0",
        "fe80::1",
        "fd00::1",
        "ff02::fb",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "64:ff9b::127.0.0.1",
        "2002:7f00:1::1",
        "192.0.2.1",
        "2001:db8::1",
    ];
    for text in addresses {
        for via in [
            Via::Udp,
            Via::Tcp,
            Via::Stub(Stub::Plain),
            Via::Stub(Stub::Tls),
        ] {
            let query = query(text.parse().unwrap(), via, &[RecordType::NS]);
            for role in [Role::Root, Role::Parent, Role::Child, Role::Resolver] {
                let seen = ask(
                    &network,
                    Query {
                        role,
                        ..query.clone()
                    },
                )
                .await;
                let expected = Outcome::Withheld(Withheld::SpecialUse);
                assert_eq!(seen[0].outcome, expected, "{text} {via} {role:?}");
            }
        }
    }
    assert_eq!(network.packets(), 0);
}
