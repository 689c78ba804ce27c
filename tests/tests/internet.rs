//! The standard world is what it says: what the acceptance tests rest on.
//!
//! Asked with `dig`, not with Bailiwick, so that a fault of one is not hidden by
//! the same fault of the other.

use std::net::{IpAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bailiwick_tests::internet::standard::{self, Delegation, Size};
use bailiwick_tests::internet::switch::{Action, Forged, Forger, Rule, Transport};
use bailiwick_tests::internet::zone::Zone;
use bailiwick_tests::internet::{Internet, Options, RulePlan, can_run};

const EU: &str = "vantage-eu";
const US: &str = "vantage-us";

fn dig(internet: &Internet, host: &str, question: &str) -> Result<String> {
    let mut command = Command::new("dig");
    command
        .args(["+time=2", "+tries=1"])
        .args(question.split(' '));
    let output = internet.run(host, &mut command)?;
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn the_standard_world_is_what_it_says() -> Result<()> {
    if !can_run("the_standard_world_is_what_it_says") {
        return Ok(());
    }
    let internet = Internet::standard(Options::default())?;
    let cases = [
        (
            EU,
            "@198.41.0.4 +norec com NS",
            "a.gtld-servers.net.",
            "the root knows com",
        ),
        (
            EU,
            "@2001:dc3::35 +norec uk NS",
            "nsa.nic.uk.",
            "at the 26th address, too",
        ),
        (
            EU,
            "@192.5.6.30 +norec healthy.com NS",
            "45.83.2.53",
            "com gives glue",
        ),
        (
            EU,
            "@192.5.6.30 +norec no-glue.com NS",
            "ADDITIONAL: 1\n",
            "but has none here",
        ),
        (
            EU,
            "@45.83.2.53 +norec healthy.com SOA",
            "flags: qr aa",
            "the child has authority",
        ),
        (
            EU,
            "@2a0e:1c80:2::53 +norec +tcp healthy.com SOA",
            "flags: qr aa",
            "over TCP, too",
        ),
        (
            EU,
            "@156.154.100.3 +norec healthy.co.uk NS",
            "45.83.4.53",
            "uk refers past co.uk",
        ),
        (
            EU,
            "@194.0.28.53 +norec +nsid nl SOA",
            "nl-eu",
            "anycast, near Europe",
        ),
        (
            US,
            "@194.0.28.53 +norec +nsid nl SOA",
            "nl-us",
            "anycast, near America",
        ),
        (
            EU,
            "@194.0.28.53 +norec lagging.nl NS",
            "45.83.38.53",
            "new in Europe",
        ),
        (
            US,
            "@194.0.28.53 +norec lagging.nl NS",
            "62.4.38.53",
            "old in America",
        ),
        (
            EU,
            "@192.5.6.30 +norec contradicts.com NS",
            "45.83.40.53",
            "new at a",
        ),
        (
            EU,
            "@192.55.83.30 +norec contradicts.com NS",
            "62.4.40.53",
            "old at m",
        ),
        (EU, "@94.140.21.53 +norec lame.com SOA", "REFUSED", "lame"),
        (
            EU,
            "@45.83.23.53 +norec no-tcp.com SOA",
            "NOERROR",
            "UDP only",
        ),
        (
            EU,
            "@45.83.23.53 +norec +tcp no-tcp.com SOA",
            "timed out",
            "UDP only",
        ),
        (
            EU,
            "@94.140.24.53 +norec no-udp.com SOA",
            "timed out",
            "TCP only",
        ),
        (
            EU,
            "@94.140.24.53 +norec +tcp no-udp.com SOA",
            "NOERROR",
            "TCP only",
        ),
        (EU, "@192.0.2.1 +norec com SOA", "timed out", "nobody there"),
        (
            EU,
            "www.healthy.com",
            "45.83.2.80",
            "the system's resolver is in the world",
        ),
    ];
    for (host, question, expected, why) in cases {
        let answer = dig(&internet, host, question)?;
        assert!(answer.contains(expected), "{why}: dig {question}\n{answer}");
    }
    Ok(())
}

#[test]
fn the_resolvers_resolve_and_validate() -> Result<()> {
    if !can_run("the_resolvers_resolve_and_validate") {
        return Ok(());
    }
    let internet = Internet::standard(Options::default())?;
    let cases = [
        ("www.healthy.com", "NOERROR", "45.83.2.80"),
        ("www.healthy.nl", "NOERROR", "45.83.3.80"),
        ("www.healthy.co.uk", "NOERROR", "45.83.4.80"),
        ("www.signed.com", "NOERROR", "flags: qr rd ra ad"),
        ("www.unrelated.com", "NOERROR", "45.83.8.80"),
        ("www.thirteen.com", "NOERROR", "45.83.7.80"),
        ("not-there.com", "NXDOMAIN", ""),
        ("www.ds-broken.com", "SERVFAIL", ""),
        ("+cd www.ds-broken.com", "NOERROR", "45.83.37.80"),
        ("www.no-glue.com", "SERVFAIL", ""),
        ("www.cycle-a.com", "SERVFAIL", ""),
    ];
    for resolver in [
        "8.8.8.8",
        "2001:4860:4860::8888",
        "1.1.1.1",
        "2606:4700:4700::1111",
        "9.9.9.9",
        "2620:fe::fe",
    ] {
        for (question, status, expected) in cases {
            let answer = dig(&internet, EU, &format!("@{resolver} +adflag {question}"))?;
            let right = answer.contains(&format!("status: {status}")) && answer.contains(expected);
            assert!(
                right,
                "{question} at {resolver}: {status} {expected}\n{answer}"
            );
        }
    }
    Ok(())
}

/// Asks k.root-servers.net something that any answer will do for: the header of
/// a question without a question.
fn root_answers() -> bool {
    let ask = || -> std::io::Result<usize> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        socket.send_to(&[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "193.0.14.129:53")?;
        socket.recv(&mut [0; 512])
    };
    ask().is_ok()
}

/// The delay, the counts, the rules and a server written in Rust.
#[test]
fn the_network_delays_counts_and_drops() -> Result<()> {
    if !can_run("the_network_delays_counts_and_drops") {
        return Ok(());
    }
    let link = Duration::from_millis(10);
    let options = Options {
        delay: link,
        ..Options::default()
    };
    let keys = tempfile::tempdir()?;
    let hostile = Delegation {
        zone: "hostile.com.".to_owned(),
        text: "@ NS ns1\nns1 A 91.200.1.53\n".to_owned(),
    };
    let mut blueprint = standard::blueprint_with(keys.path(), Size::Minimal, &[hostile])?;
    blueprint.host("hostile", "us", &["91.200.1.53".parse()?]);
    let internet = Internet::start(blueprint, options)?;

    // A busy machine adds to a round trip, but hardly to each of ten.
    let mut round_trip = Duration::MAX;
    for _ in 0..10 {
        let started = Instant::now();
        if internet.enter(EU, root_answers)? {
            round_trip = round_trip.min(started.elapsed());
        }
    }
    assert!(round_trip >= 4 * link, "{round_trip:?} for a round trip");
    assert!(round_trip < 8 * link, "{round_trip:?} for a round trip");

    internet.reset_counts();
    dig(&internet, EU, "+norec @198.41.0.4 com NS")?;
    dig(&internet, EU, "+norec +tcp @198.41.0.4 com NS")?;
    dig(&internet, EU, "+norec +tries=3 +time=1 @203.1.2.3 com NS")?;
    let counts = internet.counts(EU)?;
    let root: IpAddr = "198.41.0.4".parse()?;
    let nobody: IpAddr = "203.1.2.3".parse()?;
    assert_eq!(counts.udp().get(&root), Some(&1));
    assert_eq!(counts.tcp().get(&root), Some(&1));
    assert_eq!(counts.to_nobody().get(&nobody), Some(&3));
    assert_eq!(counts.packets(), 5);
    assert_eq!(internet.counts(US)?.packets(), 0);

    internet.add_rule(RulePlan {
        from: Some(EU.to_owned()),
        rule: Rule {
            to: Some(root),
            transport: Some(Transport::Udp),
            ..Rule::default()
        },
    })?;
    assert!(dig(&internet, EU, "+norec @198.41.0.4 com NS")?.contains("timed out"));
    assert!(dig(&internet, US, "+norec @198.41.0.4 com NS")?.contains("NOERROR"));

    // Somebody on the path says NXDOMAIN before the root server can answer.
    internet.clear_rules();
    let forger = Forger::new(|seen| {
        let mut answer = seen.payload.clone();
        answer[2] |= 0x80;
        answer[3] = 3;
        Forged {
            sent: vec![(Duration::ZERO, seen.answer(answer))],
            passes: true,
        }
    });
    internet.add_rule(RulePlan {
        from: Some(EU.to_owned()),
        rule: Rule {
            to: Some(root),
            action: Action::Forge(forger),
            ..Rule::default()
        },
    })?;
    assert!(dig(&internet, EU, "+norec @198.41.0.4 com NS")?.contains("NXDOMAIN"));
    assert!(dig(&internet, EU, "+norec +tcp @198.41.0.4 com NS")?.contains("NOERROR"));

    internet.set_network(Duration::ZERO, 0.1);
    let answered = (0..20)
        .filter(|_| internet.enter(EU, root_answers).unwrap_or(false))
        .count();
    assert!(
        (1..20).contains(&answered),
        "{answered} of 20 with a loss of one third"
    );
    internet.set_network(Duration::ZERO, 0.0);

    let (ready, bound) = std::sync::mpsc::channel();
    let echo = internet.spawn_in("hostile", move || -> Result<()> {
        let socket = UdpSocket::bind("91.200.1.53:53")?;
        ready.send(())?;
        let mut message = [0; 512];
        let (length, asker) = socket.recv_from(&mut message)?;
        message[2] |= 0x80; // an answer
        socket.send_to(&message[..length], asker)?;
        Ok(())
    })?;
    bound.recv().context("the thread in hostile ended early")?;
    let referral = dig(&internet, EU, "+norec @192.33.14.30 hostile.com NS")?;
    assert!(referral.contains("91.200.1.53"), "{referral}");
    let answer = dig(&internet, EU, "+norec @91.200.1.53 hostile.com NS")?;
    assert!(answer.contains("NOERROR"), "{answer}");
    echo.join().map_err(|_| anyhow::anyhow!("panic"))???;
    Ok(())
}

#[test]
fn a_server_loads_a_new_version_and_ends() -> Result<()> {
    if !can_run("a_server_loads_a_new_version_and_ends") {
        return Ok(());
    }
    let mut internet = Internet::standard(Options::default())?;
    for (server, zone, address) in [
        ("child-nsd", "healthy.com.", "45.83.2.53"),
        ("child-knot", "healthy.nl.", "45.83.3.53"),
        ("child-bind", "healthy.co.uk.", "45.83.4.53"),
    ] {
        let new = "@ NS ns1\nns1 A 45.83.99.53\n";
        internet.reload(server, &Zone::new(zone, 7, new))?;
        let question = format!("+norec +short @{address} ns1.{zone} A");
        let loaded = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            dig(&internet, EU, &question).is_ok_and(|answer| answer == "45.83.99.53\n")
        });
        assert!(loaded, "{server} has the old {zone}");

        internet.stop_server(server)?;
        let answer = dig(&internet, EU, &question)?;
        assert!(answer.contains("connection refused"), "{answer}");
    }
    Ok(())
}
