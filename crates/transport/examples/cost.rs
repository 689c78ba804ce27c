//! What an exchange costs in processor time, on the loopback.
//!
//! ```text
//! cargo run --release -p bailiwick-transport --example cost
//! ```
//!
//! One thread asks, another answers; only the one that asks is measured. A
//! loopback send also runs the receiving side of the kernel, so real networks
//! cost less.

use std::{
    io::{Read, Write},
    net::{IpAddr, TcpListener, UdpSocket},
    time::Duration,
};

use bailiwick_core::{
    limit::Limits,
    message::{Message, Question},
    name::Name,
    observation::{Observation, Outcome},
    query::{Options, Purpose, Query, QueryId, Stub, Via},
    record::{Record, RecordData, RecordType},
    server::{Role, Server},
};
use bailiwick_probe::{Machine, Progress};
use bailiwick_transport::{Network, Settings, drive};
use bailiwick_wire::dns;
use nix::sys::resource::{UsageWho, getrusage};

/// Exchanges in a round; about as many as a check has.
const EXCHANGES: u8 = 150;
/// Rounds; the median is told.
const ROUNDS: usize = 21;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = serve()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    for (what, via, questions) in [
        ("UDP, one question", Via::Udp, 1),
        ("TCP, seven questions", Via::Tcp, 7),
        ("stub, one question", Via::Stub(Stub::Plain), 1),
    ] {
        let mut costs: Vec<[Duration; 2]> = (0..ROUNDS)
            .map(|_| runtime.block_on(round(port, via, questions)))
            .collect();
        costs.sort_by_key(|[user, system]| *user + *system);
        let [user, system] = costs[ROUNDS / 2].map(|cost| cost / u32::from(EXCHANGES));
        println!("{what}: {user:?} in the program, {system:?} in the kernel");
    }
    Ok(())
}

/// Asks, and returns what that took.
async fn round(port: u16, via: Via, questions: usize) -> [Duration; 2] {
    let settings = Settings {
        limits: Limits::FULL_ROUND,
        allow_special_use: true,
        port,
        bind: Vec::new(),
        blackholes: Vec::new(),
    };
    let mut machine = Asker {
        left: EXCHANGES,
        via,
        questions,
        answers: 0,
    };
    let before = used();
    let network = Network::new(settings).expect("the settings of a laboratory");
    drive(&mut machine, &network, |_| {}).await;
    let after = used();
    assert_eq!(machine.answers, usize::from(EXCHANGES) * questions);
    [after[0] - before[0], after[1] - before[1]]
}

/// Returns the processor time of this thread, in the program and in the kernel.
fn used() -> [Duration; 2] {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("Linux counts by thread");
    [usage.user_time(), usage.system_time()].map(|time| {
        let microseconds = time.tv_sec() * 1_000_000 + time.tv_usec();
        Duration::from_micros(u64::try_from(microseconds).unwrap_or(0))
    })
}

/// Asks the same of many addresses.
struct Asker {
    left: u8,
    via: Via,
    questions: usize,
    answers: usize,
}

impl Machine for Asker {
    fn poll_query(&mut self, _: Duration) -> Option<Query> {
        self.left = self.left.checked_sub(1)?;
        let zone: Name = "example.".parse().ok()?;
        Some(Query {
            id: QueryId(self.left.into()),
            server: Server {
                name: zone.clone(),
                address: [127, 0, self.left, 1].into(),
            },
            role: Role::Child,
            zone: zone.clone(),
            purpose: Purpose::Child,
            via: self.via,
            questions: (0..self.questions)
                .filter_map(|n| zone.child(format!("n{n}").as_bytes()).ok())
                .map(|name| Question::new(name, RecordType::NS))
                .collect(),
            options: Options::ITERATIVE,
            patience: Duration::from_secs(2),
        })
    }

    fn next_wake(&self) -> Option<Duration> {
        None
    }

    fn handle(&mut self, _: Duration, observation: Observation) {
        self.answers += usize::from(matches!(observation.outcome, Outcome::Reply(_)));
    }

    fn is_finished(&self, _: Duration) -> bool {
        false
    }

    fn progress(&self) -> Progress {
        Progress {
            zone: Name::root(),
            line: String::new(),
            asked: 0,
            answered: self.answers,
        }
    }
}

/// Answers on all addresses that are asked, with a referral to 13 names with glue.
fn serve() -> std::io::Result<u16> {
    let tcp = TcpListener::bind("0.0.0.0:0")?;
    let port = tcp.local_addr()?.port();
    for n in 0..EXCHANGES {
        // A socket for each address: replies come from where queries went.
        let udp = UdpSocket::bind((IpAddr::from([127, 0, n, 1]), port))?;
        std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            while let Ok((length, from)) = udp.recv_from(&mut buffer) {
                if let Some(reply) = reply(&buffer[..length]) {
                    let _ = udp.send_to(&reply, from);
                }
            }
        });
    }
    std::thread::spawn(move || {
        for mut stream in tcp.incoming().flatten() {
            std::thread::spawn(move || {
                let mut length = [0; 2];
                while stream.read_exact(&mut length).is_ok() {
                    let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
                    let Some(reply) = stream
                        .read_exact(&mut query)
                        .ok()
                        .and_then(|()| reply(&query))
                    else {
                        return;
                    };
                    let length = u16::try_from(reply.len()).unwrap_or(u16::MAX);
                    let _ = stream.write_all(&[&length.to_be_bytes(), &reply[..]].concat());
                }
            });
        }
    });
    Ok(port)
}

fn reply(query: &[u8]) -> Option<Vec<u8>> {
    let zone: Name = "example.".parse().ok()?;
    let hosts = (0..13_u8).filter_map(|n| Some((n, zone.child(&[b'a' + n]).ok()?)));
    let record = |name: &Name, data| Record {
        name: name.clone(),
        ttl: 172_800,
        data,
    };
    let mut message = Message::default();
    for (n, host) in hosts {
        message
            .authority
            .push(record(&zone, RecordData::Ns(host.clone())));
        let address = IpAddr::from([192, 0, 2, n]);
        message
            .additional
            .push(record(&host, RecordData::from(address)));
    }
    Some(dns::encode_reply(&message, &dns::peek(query)?))
}
