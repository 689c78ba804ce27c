//! The walk beside Unbound, in the same worlds: response code and answer.
//!
//! Unbound starts with an empty cache, asks nobody but the world's servers and does not
//! validate. The worlds are those of the scenarios, and others made from seeds: name servers
//! with and without glue, near and far, well and sick, aliases, wildcards, empty names.
//! Everything runs on the loopback of network namespaces of its own. Where the two differ,
//! the world is in [`DIFFERENCES`] with the reason, or the test fails.
//!
//! Needs root and the Debian package `unbound`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv4Addr, UdpSocket},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Mutex,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use bailiwick_core::{
    check::Check,
    limit::Limits,
    message::{Message, Question, Rcode},
    query::Options as QueryOptions,
    record::RecordType,
    report::{Lost, RoundId},
    server::Family,
    vantage::VantagePoint,
};
use bailiwick_lab::{loopback::Loopback, scenario::Scenario, world::World};
use bailiwick_probe::{Ended, Tracer};
use bailiwick_tests::internet::{Blueprint, Internet, Options, can_run};
use bailiwick_transport::{Network, Settings, drive};

/// Worlds beside each other, in a namespace each.
const ABREAST: usize = 6;
/// Worlds made from seeds.
const SEEDS: u64 = 110;
/// How long Unbound may take. It goes on trying dead servers for longer; then its client has
/// given up, and the answer is SERVFAIL by other means.
const UNBOUND: Duration = Duration::from_secs(9);
/// The port of Unbound; the world has port 53.
const PORT: u16 = 5300;

/// Where the walk and Unbound differ, and why.
const DIFFERENCES: [(&str, &str); 1] = [(
    "parent-slow",
    "every answer of the parent zone comes a second late; Unbound asks again and again after \
     shorter times and has no answer within the nine seconds that it gets here",
)];

/// Where servers contradict each other, whom one asks decides: so often both ask again.
const AGAIN: u64 = 6;

/// What somebody got for a question: the response code and the data, without TTLs.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Got {
    rcode: Rcode,
    data: BTreeSet<String>,
    note: String,
}

impl Got {
    fn of(rcode: Rcode, records: &[bailiwick_core::record::Record], note: String) -> Self {
        let kept = records
            .iter()
            .filter(|r| r.record_type() != RecordType::RRSIG);
        let data = kept
            .map(|r| format!("{} {} {}", r.name, r.record_type(), r.data))
            .collect();
        Self { rcode, data, note }
    }

    fn agrees_with(&self, other: &Self) -> bool {
        self.rcode == other.rcode && self.data == other.data
    }
}

struct Case {
    name: String,
    text: String,
    world: World,
    check: Check,
    question: Question,
}

#[test]
fn the_walk_answers_as_unbound_does() {
    if !can_run("differential") {
        return;
    }
    let cases = cases();
    assert!(cases.len() >= 150, "{} worlds", cases.len());
    let mut blueprint = Blueprint::default();
    for number in 0..ABREAST {
        let address = IpAddr::from([45, 83, 9, u8::try_from(number + 1).unwrap()]);
        blueprint.host(&format!("world-{number}"), "eu", &[address]);
    }
    let net = Internet::start(blueprint, Options::default()).unwrap();
    let next = AtomicUsize::new(0);
    let results = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for number in 0..ABREAST {
            let (net, cases, next, results) = (&net, &cases, &next, &results);
            scope.spawn(move || {
                let host = format!("world-{number}");
                let folder = net.folder().join(&host);
                fs::create_dir_all(&folder).unwrap();
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let pair = net.enter(&host, || compare(case, &folder)).unwrap();
                    results.lock().unwrap().insert(case.name.clone(), pair);
                }
            });
        }
    });
    report(&cases, &results.into_inner().unwrap());
}

/// Prints every difference, and fails on those that have no reason.
fn report(cases: &[Case], results: &BTreeMap<String, Pair>) {
    let reasons: BTreeMap<&str, &str> = DIFFERENCES.into();
    let mut unexplained = Vec::new();
    let (mut differing, mut by_luck) = (0, 0);
    for (name, (ours, theirs)) in results {
        if agree(ours, theirs) {
            by_luck += usize::from(ours.len() > 1);
            continue;
        }
        differing += 1;
        let line = format!("{name}: the walk {}; Unbound {}", last(ours), last(theirs));
        match reasons.get(name.as_str()) {
            Some(reason) => println!("{line}\n    because {reason}"),
            None => {
                let case = cases.iter().find(|case| case.name == *name);
                let world = case.map(|case| format!("{}\n{}", case.question, case.text));
                unexplained.push(format!("{line}\n{}", world.unwrap_or_default()));
            }
        }
    }
    println!(
        "{} worlds, {} alike ({by_luck} of them only when asked again), {differing} differ",
        results.len(),
        results.len() - differing,
    );
    assert!(
        unexplained.is_empty(),
        "without a reason:\n{}",
        unexplained.join("\n")
    );
}

fn last(all: &[Got]) -> String {
    let text = |got: &Got| format!("{} {:?} ({})", got.rcode, got.data, got.note);
    all.last().map(text).unwrap_or_default()
}

/// What the walk and Unbound got, one after the other.
type Pair = (Vec<Got>, Vec<Got>);

/// Asks the same question of the walk and of Unbound, until one got what the other did.
fn compare(case: &Case, folder: &Path) -> Pair {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for turn in 0..AGAIN {
        let (own, other) = ask_both(case, turn, folder);
        ours.push(own);
        theirs.push(other);
        if agree(&ours, &theirs) {
            break;
        }
    }
    (ours, theirs)
}

fn agree(ours: &[Got], theirs: &[Got]) -> bool {
    ours.iter()
        .any(|own| theirs.iter().any(|other| own.agrees_with(other)))
}

fn ask_both(case: &Case, turn: u64, folder: &Path) -> (Got, Got) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let servers = runtime.block_on(serve(&case.world));
    let ours = runtime.block_on(walk(case, turn));
    let mut unbound = start_unbound(&case.world, folder);
    let theirs = ask_unbound(&case.question);
    unbound.kill().unwrap();
    unbound.wait().unwrap();
    runtime.block_on(servers.stop());
    (ours, theirs)
}

/// Puts the world on port 53. While another thread starts its Unbound, the child to be holds all
/// sockets for a moment, those just closed here, too.
async fn serve(world: &World) -> Loopback {
    let mut tries = 40;
    loop {
        tries -= 1;
        match Loopback::start(world.clone(), Some(53)).await {
            Ok(servers) => return servers,
            Err(error) if tries == 0 => panic!("{error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn walk(case: &Case, turn: u64) -> Got {
    let network = Network::new(Settings {
        limits: Limits::FULL_ROUND,
        allow_special_use: true,
        port: 53,
        bind: Vec::new(),
        blackholes: Vec::new(),
    })
    .unwrap();
    // Another nonce begins with other servers.
    let check = Check {
        nonce: case.check.nonce.wrapping_add(turn * 0x0101),
        ..case.check.clone()
    };
    let mut tracer = Tracer::new(case.question.clone(), &check, Limits::FULL_ROUND);
    let driven = drive(&mut tracer, &network, |_| {}).await;
    let trace = tracer.finish(Ended {
        vantage: VantagePoint::local(case.check.families.clone()),
        round: RoundId(1),
        started: driven.started,
        elapsed: driven.elapsed,
        packets: driven.packets,
    });
    let note = trace.answer.reason.as_ref().map(reason).unwrap_or_default();
    let note = format!("{note} {} ms", trace.elapsed.as_millis());
    Got::of(trace.answer.rcode, &trace.answer.records, note)
}

fn reason(lost: &Lost) -> String {
    format!("{lost:?}")
}

fn start_unbound(world: &World, folder: &Path) -> Child {
    let hints = folder.join("hints");
    fs::write(&hints, world.hints_text()).unwrap();
    let settings = format!(
        "server:\n  module-config: \"iterator\"\n  interface: 127.0.0.1@{PORT}\n  \
         do-not-query-localhost: no\n  do-ip6: no\n  root-hints: {}\n  username: \"\"\n  \
         chroot: \"\"\n  directory: {folder}\n  use-syslog: no\n  pidfile: \"\"\n  \
         num-threads: 1\n  access-control: 127.0.0.0/8 allow\n  local-zone: \"test.\" nodefault\n  \
         local-zone: \"invalid.\" nodefault\nremote-control:\n  control-enable: no\n",
        hints.display(),
        folder = folder.display(),
    );
    let file = folder.join("unbound.conf");
    fs::write(&file, settings).unwrap();
    Command::new("unbound")
        .args(["-d", "-p", "-c"])
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Asks until Unbound is there and answers, or its time is over.
fn ask_unbound(question: &Question) -> Got {
    let began = Instant::now();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let octets = bailiwick_wire::dns::encode_query(question, &QueryOptions::RECURSIVE, 7, 0);
    let mut buffer = vec![0; 65_535];
    let mut heard = false;
    while began.elapsed() < UNBOUND {
        if !heard {
            // Until it listens, the kernel turns the datagram away; one that it took is not
            // asked again, because Unbound answers in the end.
            heard = socket.send_to(&octets, (Ipv4Addr::LOCALHOST, PORT)).is_ok();
        }
        match socket.recv_from(&mut buffer) {
            Ok((length, _)) => {
                let message: Message = bailiwick_wire::dns::decode(&buffer[..length]).unwrap();
                let records = if message.rcode == Rcode::SERVFAIL {
                    &[][..]
                } else {
                    &message.answer
                };
                let note = format!("{} ms", began.elapsed().as_millis());
                return Got::of(message.rcode, records, note);
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => heard = false,
            Err(_) if began.elapsed() < Duration::from_secs(1) => heard = false,
            Err(_) => {}
        }
    }
    Got::of(Rcode::SERVFAIL, &[], "no answer".to_owned())
}

/// The scenarios, then the worlds from seeds.
fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    let mut cases: Vec<Case> = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        // What depends on luck cannot be compared; a vantage point's path is not Unbound's.
        if text.contains("\nloss") || text.contains("[vantage") {
            continue;
        }
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let scenario = Scenario::parse(&text).unwrap();
        let zone = scenario.check.zone.clone();
        cases.push(case(&name, &text, Question::new(zone, RecordType::SOA)));
    }
    for seed in 0..SEEDS {
        let (text, question) = generated(seed);
        cases.push(case(&format!("seed-{seed}"), &text, question));
    }
    cases
}

fn case(name: &str, text: &str, question: Question) -> Case {
    let scenario = Scenario::parse(text).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
    let (world, _) = scenario.world.on_loopback();
    let check = Check {
        roots: world.hints(),
        families: BTreeSet::from([Family::V4]),
        lab: true,
        timeout: Duration::from_secs(8),
        ..scenario.check
    };
    Case {
        name: name.to_owned(),
        text: text.to_owned(),
        world,
        check,
        question,
    }
}

/// A small generator of numbers (the finaliser of SplitMix64), so that a seed is a world.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % sides
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

/// Makes a world from a seed: the text of a scenario, and a question.
fn generated(seed: u64) -> (String, Question) {
    let mut numbers = Numbers(seed);
    let mut tld = String::from("[zone test.]\n");
    let mut servers = String::new();
    let content = "@ TXT apex\nwww A 203.0.113.80\nalias CNAME www\nfar CNAME www.other.test.\n\
                   loop CNAME pool\npool CNAME loop\nold DNAME new\nx.new A 203.0.113.81\n\
                   *.wild A 203.0.113.82\ndeep.empty A 203.0.113.83\n";
    let hosts = 1 + numbers.below(3);
    let mut apex = String::new();
    for host in 1..=hosts {
        let sick = match numbers.below(10) {
            0 => "silent\n",
            1 => "refused\n",
            2 => "servfail\n",
            3 => "upward-referral\n",
            4 => "formerr-on-edns\n",
            5 => "truncates 60\n",
            _ => "",
        };
        let last = 10 * host + numbers.below(9);
        let name = match numbers.below(6) {
            0 => format!("ns{host}.other.test."),
            1 => format!("ns{host}.far.example."),
            _ => format!("ns{host}.zone.test."),
        };
        let _ = writeln!(apex, "@ NS {name}");
        let _ = writeln!(tld, "zone.test. NS {name}");
        let glue = numbers.below(8) != 0;
        if name.ends_with("zone.test.") && glue {
            let _ = writeln!(tld, "{name} A 192.0.2.{last}");
        }
        if name.ends_with("zone.test.") {
            let _ = writeln!(apex, "{name} A 192.0.2.{last}");
        }
        let _ = writeln!(
            servers,
            "[server {name} 192.0.2.{last}]\n{sick}zone zone.test.\nAPEX{content}"
        );
    }
    let glue_of_other = numbers.below(4) != 0;
    tld.push_str("other.test. NS ns.other.test.\n");
    if glue_of_other {
        tld.push_str("ns.other.test. A 198.51.100.5\n");
    }
    let text = format!(
        "[check zone.test.]\nno-resolvers\nfamilies v4\n{tld}\
         [zone example.]\nfar.example. NS ns.far.example.\nns.far.example. A 198.51.100.6\n\
         [server ns.other.test. 198.51.100.5]\nzone other.test.\n@ NS ns\nns A 198.51.100.5\n\
         www A 203.0.113.90\n{}\
         [server ns.far.example. 198.51.100.6]\nzone far.example.\n@ NS ns\nns A 198.51.100.6\n{}\
         {}",
        outside(&apex, "other.test.", &servers),
        outside(&apex, "far.example.", &servers),
        servers.replace("APEX", &apex),
    );
    let name = numbers.one_of(&[
        "zone.test.",
        "www.zone.test.",
        "alias.zone.test.",
        "far.zone.test.",
        "loop.zone.test.",
        "x.old.zone.test.",
        "any.wild.zone.test.",
        "empty.zone.test.",
        "deep.empty.zone.test.",
        "none.zone.test.",
        "a.b.c.none.zone.test.",
        "none.test.",
    ]);
    let record_type = if numbers.below(5) == 0 {
        RecordType::TXT
    } else {
        RecordType::A
    };
    (text, Question::new(name.parse().unwrap(), record_type))
}

/// The addresses of name servers that stand in another zone, for that zone.
fn outside(apex: &str, zone: &str, servers: &str) -> String {
    let mut text = String::new();
    for line in apex
        .lines()
        .filter(|line| line.starts_with("@ NS") && line.ends_with(zone))
    {
        let name = line.trim_start_matches("@ NS ");
        let header = format!("[server {name} ");
        if let Some(at) = servers.find(&header) {
            let address = servers[at + header.len()..]
                .split(']')
                .next()
                .unwrap_or_default();
            let _ = writeln!(text, "{name} A {address}");
        }
    }
    text
}
