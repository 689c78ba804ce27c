//! The verdict about each zone of the standard world, on real servers.
//!
//! `bailiwick check ZONE --output json` runs at a vantage point inside the world;
//! its state, its findings and its exit code are compared with [`cases`]. What it
//! sent is counted from outside and held against the limits and against what it
//! says itself. What `dig +trace` shows for the same zone is kept beside it, in
//! the folder `servers` of cargo's folder for tests: most faults are not seen
//! there.
//!
//! The program is the one in `BAILIWICK_BIN`, or else the one that was built
//! beside this test.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bailiwick_tests::internet::standard::{self, Size};
use bailiwick_tests::internet::switch::Counts;
use bailiwick_tests::internet::{Internet, Options, can_run};
use serde_json::Value;

/// Packets that one check may send, and how many of them to one address.
const MOST_PACKETS: u64 = 320;
const MOST_TO_ONE_ADDRESS: u64 = 12;

/// Addresses that must not answer; the controls of a vantage point ask them.
const BLACKHOLES: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

/// Checks at the same time, each from a vantage point of its own.
const WORKERS: usize = 4;
/// Zones that may be asked once more.
const AGAIN: usize = 1;

/// A zone and what must be said about it.
struct Case {
    zone: &'static str,
    region: &'static str,
    arguments: &'static [&'static str],
    /// The states that are right; more than one where it depends on how fast the
    /// public resolvers give up.
    states: &'static [&'static str],
    /// Findings that must be there.
    findings: &'static [&'static str],
    why: &'static str,
}

const fn case(
    zone: &'static str,
    states: &'static [&'static str],
    findings: &'static [&'static str],
    why: &'static str,
) -> Case {
    Case {
        zone,
        region: "eu",
        arguments: &[],
        states,
        findings,
        why,
    }
}

impl Case {
    const fn expecting(mut self, arguments: &'static [&'static str]) -> Self {
        self.arguments = arguments;
        self
    }

    const fn from(mut self, region: &'static str) -> Self {
        self.region = region;
        self
    }

    /// A name for the case, also for files.
    fn title(&self) -> String {
        let expected = if self.arguments.is_empty() {
            ""
        } else {
            "-expect"
        };
        format!("{}{}{expected}", self.zone, self.region)
    }
}

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    vec![
        // Healthy, each in another way.
        case("healthy.com.", &["CONSISTENT"], &["quorum-not-met"], "in-domain glue, both families"),
        case("healthy.nl.", &["CONSISTENT"], &[], "an anycast parent"),
        case("healthy.nl.", &["CONSISTENT"], &[], "its other instance").from("us"),
        case("healthy.co.uk.", &["CONSISTENT"], &[], "uk refers past co.uk"),
        case("provider.net.", &["CONSISTENT"], &[], "serves others"),
        case("signed.com.", &["CONSISTENT"], &[], "the DS record fits"),
        case("v4only.com.", &["CONSISTENT"], &[], "without IPv6 is healthy"),
        case("unrelated.com.", &["CONSISTENT"], &[], "no glue is due"),
        case("sibling.com.", &["CONSISTENT"], &[], "sibling glue"),
        case("same.co.uk.", &["CONSISTENT"], &[], "parent and child on one server"),
        case("co.uk.", &["CONSISTENT"], &[], "parent and child on one server"),
        case("com.", &["CONSISTENT"], &[], "a TLD, under the root"),
        case("healthy.com.", &["CONSISTENT"], &[], "as expected")
            .expecting(&["--expect", "ns1.healthy.com=45.83.2.53,2a0e:1c80:2::53"]),
        // NSD leaves glue out at 512 octets without setting TC, which is its fault
        // and not that of the zone.
        case("thirteen.com.", &["CONSISTENT", "DEGRADED"], &[], "13 names, 26 addresses"),

        // Glue.
        case("stale-dead.com.", &["NOT_PUBLISHED"], &["glue-stale-address", "glue-dead-address"],
            "the registry has an address that the zone left"),
        case("all-dead.com.", &["BROKEN", "INCONCLUSIVE"], &["glue-dead-address"],
            "silence needs two resolver services that fail"),
        case("stale-alive.com.", &["CONSISTENT"], &[], "the old world agrees with itself"),
        case("stale-alive.com.", &["NOT_PUBLISHED"], &["glue-differs-from-expected"],
            "but the operator knows better")
            .expecting(&["--expect", "ns1.stale-alive.com=45.83.13.53,2a0e:1c80:13::53",
                "--expect", "ns2.stale-alive.com=94.140.13.53,2a10:50c0:13::53"]),
        case("half-moved.com.", &["NOT_PUBLISHED", "DEGRADED"], &[],
            "two servers, each with its own truth"),
        case("half-moved.com.", &["NOT_PUBLISHED"],
            &["glue-differs-from-expected", "glue-partially-updated"], "one of two was changed")
            .expecting(&["--expect", "ns1.half-moved.com=45.83.14.53,2a0e:1c80:14::53",
                "--expect", "ns2.half-moved.com=94.140.14.53,2a10:50c0:14::53"]),
        case("no-glue.com.", &["BROKEN"], &["glue-missing-all"], "nobody can start"),
        case("part-glue.com.", &["NOT_PUBLISHED"], &["glue-missing-in-domain"], "ns1 has none"),
        case("no-aaaa.com.", &["DEGRADED"], &["glue-missing-family-aaaa", "cold-start-model-fails"],
            "IPv6-only resolvers cannot start"),
        case("one-aaaa.com.", &["CONSISTENT"], &["glue-missing-family-aaaa"], "a warning"),
        case("extra-aaaa.com.", &["CONSISTENT"], &["glue-extra-family"], "a warning"),
        case("overlap.com.", &["CONSISTENT"], &["glue-partial-overlap"], "a warning"),
        case("special.com.", &["DEGRADED"], &["glue-special-use-address"],
            "10.0.0.1 is for nobody to ask"),

        // Reachability.
        case("lame.com.", &["DEGRADED"], &["glue-lame-address"], "one of two refuses"),
        case("all-lame.com.", &["BROKEN"], &["glue-lame-address"], "every address refuses"),
        case("one-dead.com.", &["DEGRADED"], &["glue-dead-address"], "one of two is silent"),
        case("no-tcp.com.", &["CONSISTENT"], &["child-tcp-blocked"], "a warning"),
        case("no-udp.com.", &["DEGRADED"], &["child-udp-blocked"], "an error"),
        case("v6-dead.com.", &["DEGRADED"], &["child-family-unreachable"], "IPv6 is published"),
        case("no-host.com.", &["DEGRADED"], &["child-ns-host-missing"], "ns2 lives by glue only"),

        // The NS set.
        case("alias.com.", &["DEGRADED"], &["ns-is-alias"], "one name is a CNAME"),
        case("unresolvable.com.", &["DEGRADED"], &["ns-unresolvable"], "one name is NXDOMAIN"),
        case("ns-differ.com.", &["CONSISTENT"], &["ns-parent-only", "ns-child-only"], "warnings"),
        case("ns-disjoint.com.", &["NOT_PUBLISHED"], &["ns-sets-disjoint"], "no common name"),
        case("cycle-a.com.", &["BROKEN"], &["sibling-cycle-unbroken"], "no way in"),
        case("cycle-b.com.", &["BROKEN"], &["sibling-cycle-unbroken"], "no way in"),
        case("loop.com.", &["BROKEN"], &["ns-cycle"], "no way in"),
        case("loop.net.", &["BROKEN"], &["ns-cycle"], "no way in"),
        case("not-there.com.", &["BROKEN"], &["delegation-missing"], "NXDOMAIN"),
        case("not-there.com.", &["NOT_PUBLISHED"], &["delegation-missing"], "not yet there")
            .expecting(&["--expect", "ns1.not-there.com=45.83.200.53"]),
        case("www.healthy.com.", &["NOT_A_ZONE"], &["delegation-missing"], "has an address"),
        case("text.healthy.com.", &["NOT_A_ZONE"], &["delegation-missing"], "has other data"),
        case("alias.healthy.com.", &["NOT_A_ZONE"], &["delegation-missing"], "is an alias"),

        // Signatures.
        case("ds-broken.com.", &["BROKEN"], &["ds-broken-after-move", "resolver-servfail-dnssec"],
            "the DS record is of another key"),

        // Parents that do not agree.
        case("lagging.nl.", &["PUBLISHING"], &["parent-servers-divergent"],
            "ns4.dns.nl is behind"),
        // In "us" all parents agree on addresses that are silent, while the
        // resolvers, which stand in "eu", find the zone.
        case("lagging.nl.", &["DEGRADED", "INCONCLUSIVE", "BROKEN"], &["glue-dead-address"],
            "all instances in sight are behind").from("us"),
        case("moving.nl.", &["PUBLISHING"], &["parent-servers-divergent"], "ns4.dns.nl is behind"),
        case("moving.nl.", &["NOT_PUBLISHED"], &[], "the old server has the new zone").from("us"),
        case("contradicts.com.", &["DIVERGENT"], &["parent-instance-contradicts"],
            "m.gtld-servers.net is later and differs"),
    ]
}

/// Exit codes of the states.
const EXIT_CODES: [(&str, i32); 12] = [
    ("CONSISTENT", 0),
    ("CONFIRMED", 0),
    ("NOT_A_ZONE", 2),
    ("PUBLISHED_DRAINING", 10),
    ("PUBLISHING", 11),
    ("NOT_PUBLISHED", 12),
    ("DEGRADED", 20),
    ("DIVERGENT", 21),
    ("STALLED", 22),
    ("BROKEN", 30),
    ("REGRESSED", 31),
    ("INCONCLUSIVE", 40),
];

#[test]
fn every_zone_gets_its_verdict() -> Result<()> {
    if !can_run("every_zone_gets_its_verdict") {
        return Ok(());
    }
    let Some(program) = program() else {
        let reason = "bailiwick is not built (cargo build -p bailiwick-cli)";
        let on_ci = std::env::var("CI").is_ok_and(|value| value == "true");
        ensure!(!on_ci, "{reason}");
        eprintln!("skipped: every_zone_gets_its_verdict: {reason}");
        return Ok(());
    };
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("servers");
    fs::create_dir_all(&kept)?;
    let internet = world_with_workers()?;

    let cases = cases();
    let (next, again) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (internet, cases, next, failures) = (&internet, &cases, &next, &failures);
            let (program, kept, again) = (&program, &kept, &again);
            scope.spawn(move || {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let host = format!("{}-{worker}", case.region);
                    let examine = || examine(case, internet, &host, program, kept);
                    // A real resolver on a busy machine gives up now and then, and is honestly
                    // judged by that. What is wrong comes out wrong again, or in many zones.
                    let examined = examine().or_else(|first| {
                        println!("{}: once more, after: {first:#}", case.title());
                        match again.fetch_add(1, Ordering::Relaxed) < AGAIN {
                            true => examine(),
                            false => Err(first),
                        }
                    });
                    if let Err(failure) = examined {
                        let failure = format!("{} ({}): {failure:#}", case.title(), case.why);
                        if let Ok(mut failures) = failures.lock() {
                            failures.push(failure);
                        }
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_default();
    ensure!(
        failures.is_empty(),
        "{} of {} cases:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
    Ok(())
}

/// The standard world, with a vantage point for each worker in each region.
fn world_with_workers() -> Result<Internet> {
    let keys = tempfile::tempdir()?;
    let mut blueprint = standard::blueprint(keys.path(), Size::Full)?;
    for worker in 0..WORKERS {
        for (region, v4, v6) in [
            ("eu", format!("146.185.11.{}", worker + 2), "2a03:b0c0:3"),
            ("us", format!("104.131.6.{}", worker + 2), "2604:a880:3"),
        ] {
            let addresses: [IpAddr; 2] = [v4.parse()?, format!("{v6}::{}", worker + 2).parse()?];
            blueprint.host(&format!("{region}-{worker}"), region, &addresses);
        }
    }
    let delay = Duration::from_millis(2);
    let options = Options {
        delay,
        ..Options::default()
    };
    Internet::start(blueprint, options)
}

/// Checks one zone and compares; keeps what was said.
fn examine(
    case: &Case,
    internet: &Internet,
    host: &str,
    program: &Path,
    kept: &Path,
) -> Result<()> {
    internet.reset_counts_of(host)?;
    let mut command = Command::new(program);
    command
        .args(["check", case.zone, "--output", "json"])
        .args(case.arguments);
    let started = Instant::now();
    let output = internet.run(host, &mut command)?;
    let elapsed = started.elapsed();
    let counts = internet.counts(host)?;
    fs::write(kept.join(format!("{}.json", case.title())), &output.stdout)?;
    let traced = trace(case.zone, internet, host)?;
    fs::write(kept.join(format!("{}.trace", case.title())), &traced)?;

    let errors = String::from_utf8_lossy(&output.stderr);
    let said: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("exit {:?}, {}", output.status.code(), errors.trim()))?;
    let state = said["state"].as_str().context("no state")?;
    let findings = found(&said)?;
    eprintln!(
        "{:<28} {state:<14} {:>3} packets {:>5} ms  dig +trace: {:<6} {}",
        case.title(),
        counts.packets(),
        elapsed.as_millis(),
        last_word(&traced, case.zone),
        names(&findings).join(" ")
    );
    let mut wrong = Vec::new();
    if !case.states.contains(&state) {
        wrong.push(format!("{state}, not {}", case.states.join(" or ")));
    }
    for expected in case.findings {
        if !findings.iter().any(|(id, _)| id == expected) {
            wrong.push(format!("no {expected}"));
        }
    }
    if state == "CONSISTENT" {
        for (id, severity) in &findings {
            if severity == "error" || severity == "critical" {
                wrong.push(format!("CONSISTENT with {severity} {id}"));
            }
        }
    }
    let code = EXIT_CODES.iter().find(|(name, _)| *name == state);
    if code.map(|(_, code)| *code) != output.status.code() {
        wrong.push(format!("exit code {:?}", output.status.code()));
    }
    if elapsed > Duration::from_secs(7) {
        wrong.push(format!("took {} ms", elapsed.as_millis()));
    }
    wrong.extend(overstepped(&counts, &said));
    if !wrong.is_empty() {
        bail!(
            "{} (findings: {})",
            wrong.join("; "),
            names(&findings).join(" ")
        );
    }
    Ok(())
}

/// Holds what was sent against the limits, and against what the check says.
fn overstepped(counts: &Counts, said: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let packets = counts.packets();
    if packets > MOST_PACKETS {
        wrong.push(format!("{packets} packets"));
    }
    if said["packets_sent"].as_u64() != Some(packets) {
        wrong.push(format!(
            "says {} packets, sent {packets}",
            said["packets_sent"]
        ));
    }
    for (address, packets) in counts.per_address() {
        if packets > MOST_TO_ONE_ADDRESS {
            wrong.push(format!("{packets} packets to {address}"));
        }
        let blackhole = BLACKHOLES.contains(&address.to_string().as_str());
        if !blackhole && special_use(address) {
            wrong.push(format!("a packet to {address}"));
        }
    }
    let ports = counts.ports();
    if ports != BTreeSet::from([53]) {
        wrong.push(format!("ports {ports:?}"));
    }
    wrong
}

/// The special-use addresses that occur in the standard world.
fn special_use(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
    }
}

fn found(said: &Value) -> Result<Vec<(String, String)>> {
    let findings = said["findings"].as_array().context("no findings")?;
    findings
        .iter()
        .map(|finding| {
            let text = |key: &str| finding[key].as_str().map(str::to_owned);
            Some((text("id")?, text("severity")?))
        })
        .collect::<Option<_>>()
        .context("a finding without id or severity")
}

fn names(findings: &[(String, String)]) -> Vec<&str> {
    let names: BTreeSet<&str> = findings.iter().map(|(id, _)| id.as_str()).collect();
    names.into_iter().collect()
}

fn trace(zone: &str, internet: &Internet, host: &str) -> Result<String> {
    let mut command = Command::new("dig");
    command.args(["+trace", "+nodnssec", "+time=1", "+tries=1", zone, "SOA"]);
    let output = internet.run(host, &mut command)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What a reader of `dig +trace` takes from it: the SOA record of the zone, or
/// nothing.
fn last_word(traced: &str, zone: &str) -> &'static str {
    let answered = traced
        .lines()
        .any(|line| line.starts_with(zone) && line.contains("\tSOA\t"));
    if answered { "answer" } else { "none" }
}

/// Finds the program under test.
fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("BAILIWICK_BIN") {
        return Some(named.into());
    }
    // This test is target/<profile>/deps/servers-<hash>.
    let here = std::env::current_exe().ok()?;
    let profile = here.parent()?.parent()?;
    let beside = [profile.to_owned(), profile.with_file_name("release")];
    beside
        .map(|folder| folder.join("bailiwick"))
        .into_iter()
        .find(|program| program.is_file())
}
