//! Callers who say nothing, too much, or the same again and again; and one who only wants his
//! answers meanwhile.
//!
//! `FULL=1` lets as many come as the threat model says: 5,000 half-open handshakes, 2,000 stalled
//! connections, 100,000 resets. That needs 20,000 open files and a few minutes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod toy;

use std::{
    net::{Ipv4Addr, SocketAddr},
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use bailiwick_rpc::{
    Authority, Credentials, Kind, Link,
    agent::{FromAgent, Hello, ToAgent, from_agent},
};
use rustls::{pki_types::ServerName, version::TLS13};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpSocket, TcpStream},
    process::Command,
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use toy::{Toy, hello, raw};

/// What a busy machine may add to any time here.
const SLACK: Duration = Duration::from_millis(1500);

/// The first words of HTTP/2: the preface and empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// As many as are needed to see it, or as many as the threat model says.
fn many(few: usize, full: usize) -> usize {
    match std::env::var_os("FULL") {
        Some(_) => full,
        None => few,
    }
}

/// A session in use.
struct Session {
    _link: Link,
    say: mpsc::Sender<FromAgent>,
    answers: Streaming<ToAgent>,
}

impl Session {
    async fn open(link: Link) -> Self {
        let (say, said) = mpsc::channel(1);
        let answers = link.agent().session(ReceiverStream::new(said)).await;
        Self {
            _link: link,
            say,
            answers: answers.unwrap().into_inner(),
        }
    }

    /// One message and its answer.
    async fn ask(&mut self) -> Duration {
        let began = Instant::now();
        self.say.send(hello()).await.unwrap();
        self.answers.message().await.unwrap().unwrap();
        began.elapsed()
    }

    /// How long so many answers take, one after the other.
    async fn times(&mut self, answers: usize) -> Vec<Duration> {
        let mut times = Vec::new();
        for _ in 0..answers {
            times.push(self.ask().await);
            sleep(Duration::from_millis(2)).await;
        }
        times
    }

    /// The slowest but one of a hundred.
    async fn p99(&mut self) -> Duration {
        p99(self.times(100).await)
    }
}

/// The time within which 99 of 100 are.
fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() * 99 / 100 - 1]
}

async fn tcp(from: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::from(from), 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

async fn tls(toy: &Toy, member: Option<&str>) -> TlsStream<TcpStream> {
    let own = member.map(|name| raw::member(&toy.kept.authority, Kind::Agent, name));
    tls_to(toy.agents, own).await.unwrap()
}

/// Comes in, if that is allowed.
async fn tls_to(at: SocketAddr, own: Option<raw::Chain>) -> Option<TlsStream<TcpStream>> {
    let config = Arc::new(raw::client(&[&TLS13], own));
    let name = ServerName::try_from("bailiwick.internal").unwrap();
    let stream = TcpStream::connect(at).await.ok()?;
    let connector = TlsConnector::from(config);
    connector.connect(name, stream).await.ok()
}

/// When the other end hangs up.
async fn hung_up(mut stream: impl tokio::io::AsyncRead + Unpin) -> Duration {
    let began = Instant::now();
    let mut buffer = [0; 1024];
    while let Ok(1..) = stream.read(&mut buffer).await {}
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_nothing_is_sent_away_after_five_seconds() {
    let toy = Toy::start().await;
    let mut waiting = JoinSet::new();
    let mut wait = |why: &'static str,
                    hung_up: std::pin::Pin<Box<dyn Future<Output = _> + Send>>| {
        waiting.spawn(async move { (why, hung_up.await) });
    };
    wait(
        "no TLS",
        Box::pin(hung_up(tcp([127, 0, 0, 1], toy.agents).await)),
    );
    let mut half = tcp([127, 0, 0, 1], toy.agents).await;
    half.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3])
        .await
        .unwrap();
    wait("half a hello", Box::pin(hung_up(half)));
    wait("no HTTP/2", Box::pin(hung_up(tls(&toy, None).await)));
    wait(
        "no HTTP/2 from an agent",
        Box::pin(hung_up(tls(&toy, Some("a")).await)),
    );
    let mut idle = tls(&toy, None).await;
    idle.write_all(PREFACE).await.unwrap();
    wait("no call", Box::pin(hung_up(idle)));
    while let Some(result) = waiting.join_next().await {
        let (why, waited) = result.unwrap();
        assert!(waited >= Duration::from_millis(4_500), "{why}: {waited:?}");
        assert!(waited < Duration::from_secs(5) + SLACK, "{why}: {waited:?}");
    }
    toy.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_handshakes_harm_nobody() {
    let toy = Toy::start().await;
    let (own, another) = (toy.agent("a"), toy.agent("b"));
    let mut session = Session::open(toy.for_agents().connect(Some(&own)).await.unwrap()).await;
    let quiet = session.p99().await;

    let mut half_open = Vec::new();
    for at in 0..many(2_000, 5_000) {
        let [host, ..] = at.to_le_bytes();
        half_open.push(tcp([127, 0, 1, host.max(1)], toy.agents).await);
    }
    let busy = session.p99().await;
    println!("slowest but one of a hundred answers: quiet {quiet:?}, busy {busy:?}");
    assert!(
        busy < quiet * 2 + Duration::from_millis(250),
        "{quiet:?}, then {busy:?}"
    );
    // Somebody else comes in, while those places are all taken.
    let began = Instant::now();
    let link = toy.for_agents().connect(Some(&another)).await.unwrap();
    Session::open(link).await.ask().await;
    assert!(began.elapsed() < SLACK, "{:?}", began.elapsed());
    // 256 are at their handshake, 2,048 neighbours wait for a place, and no more. Nobody has a
    // place for longer than a second if another wants it.
    sleep(Duration::from_millis(1_200)).await;
    let mut still_there = 0;
    for stream in &mut half_open {
        if timeout(Duration::from_millis(1), stream.read(&mut [0]))
            .await
            .is_err()
        {
            still_there += 1;
        }
    }
    let most = (256 + 2_048).min(half_open.len() - 256);
    assert!((200..=most).contains(&still_there), "{still_there}");
    session.ask().await;
    drop((session, half_open));
    toy.stop().await;
}

/// More neighbours than there are places for handshakes: nobody loses his place before he has had a
/// second, so that a crowd that comes at once is served one after the other.
#[tokio::test]
async fn neighbours_leave_each_other_time() {
    let toy = Toy::start().await;
    let mut ends = JoinSet::new();
    for _ in 0..300 {
        let began = Instant::now();
        let stream = tcp([127, 0, 1, 1], toy.agents).await;
        ends.spawn(async move {
            hung_up(stream).await;
            began.elapsed()
        });
    }
    let first = ends.join_all().await.into_iter().min().unwrap();
    assert!(first >= Duration::from_secs(1), "{first:?}");
    toy.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_stall_harm_nobody() {
    let toy = Toy::start().await;
    let own = toy.agent("a");
    let mut session = Session::open(toy.for_agents().connect(Some(&own)).await.unwrap()).await;
    let quiet = session.p99().await;
    let mut stalled = Vec::new();
    for at in 0..many(200, 2_000) {
        let name = format!("stall-{at}");
        let mut stream = tls(&toy, (at % 2 == 0).then_some(&*name)).await;
        stream.write_all(PREFACE).await.unwrap();
        stalled.push(stream);
    }
    let busy = session.p99().await;
    println!("slowest but one of a hundred answers: quiet {quiet:?}, busy {busy:?}");
    assert!(
        busy < quiet * 2 + Duration::from_millis(250),
        "{quiet:?}, then {busy:?}"
    );
    drop((session, stalled));
    toy.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_are_reset_at_once_end_their_connection() {
    let toy = Toy::start().await;
    let own = toy.agent("a");
    let mut session = Session::open(toy.for_agents().connect(Some(&own)).await.unwrap()).await;
    let quiet = session.p99().await;
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("authority");
    toy.kept.authority.save(&authority).unwrap();
    // What it costs to make a storm is to be counted apart from what it costs to stand in it.
    let mut storm = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_storm_of_resets", "--ignored", "--nocapture"])
        .env("STORM_AT", toy.agents.to_string())
        .env("STORM_AUTHORITY", &authority)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut said = BufReader::new(storm.stdout.take().unwrap()).lines();
    while let Some(line) = said.next_line().await.unwrap()
        && !line.contains("it begins")
    {}
    let mut times = Vec::new();
    while storm.try_wait().unwrap().is_none() {
        times.extend(session.times(20).await);
    }
    let asked = times.len();
    let busy = p99(times);
    println!("99 of 100 answers: quiet within {quiet:?}, in the storm {busy:?} ({asked} answers)");
    assert!(
        busy < quiet * 2 + Duration::from_millis(250),
        "{quiet:?}, then {busy:?}"
    );
    let mut storms = None;
    while let Some(line) = said.next_line().await.unwrap() {
        storms = line.strip_prefix("resets: ").map(str::to_owned).or(storms);
    }
    let storms = storms.expect("it ended well");
    println!("resets: {storms}");
    let (_, most) = storms.split_once(", at most ").unwrap();
    let most: usize = most.split(' ').next().unwrap().parse().unwrap();
    assert!(most < 2_000, "{most}");
    assert!(storm.wait().await.unwrap().success());
    session.ask().await;
    drop(session);
    toy.stop().await;
}

/// A key that comes again and again makes its address wait: whoever comes from there after it has
/// a pause before each handshake, and comes in.
#[tokio::test]
async fn who_comes_too_often_lets_the_address_wait() {
    const PAUSE: Duration = Duration::from_millis(100);
    let toy = Toy::start().await;
    let own = toy.agent("a");
    for _ in 0..12 {
        toy.for_agents().connect(Some(&own)).await.unwrap();
    }
    let began = Instant::now();
    for number in 0..10 {
        let own = toy.agent(&format!("b-{number}"));
        toy.for_agents().connect(Some(&own)).await.unwrap();
    }
    assert!(began.elapsed() >= PAUSE * 10, "{:?}", began.elapsed());
    toy.stop().await;
}

/// The other side of that test, in a process of its own.
#[tokio::test]
#[ignore = "another test starts it"]
async fn a_storm_of_resets() {
    let Ok(at) = std::env::var("STORM_AT") else {
        return;
    };
    let at: SocketAddr = at.parse().unwrap();
    let authority = std::env::var_os("STORM_AUTHORITY").unwrap();
    let authority = Arc::new(Authority::load(authority.as_ref()).unwrap());
    println!("it begins");
    let began = Instant::now();
    let mut storm = JoinSet::new();
    for number in 0..10 {
        let authority = Arc::clone(&authority);
        storm.spawn(async move {
            let (mut opened, mut most, mut connections) = (0, 0, 0);
            let (chain, key) = raw::member(&authority, Kind::Agent, &format!("storm-{number}"));
            while opened < many(1_000, 10_000) {
                let own = (chain.clone(), key.clone_key());
                let Some(stream) = tls_to(at, Some(own)).await else {
                    // Sent away before it came in.
                    sleep(Duration::from_millis(1)).await;
                    continue;
                };
                let resets = reset_until_closed(stream).await;
                opened += resets;
                most = most.max(resets);
                connections += 1;
            }
            (opened, most, connections)
        });
    }
    let (mut all, mut most, mut connections) = (0, 0, 0);
    while let Some(opened) = storm.join_next().await {
        let (opened, of_one, times) = opened.unwrap();
        all += opened;
        most = most.max(of_one);
        connections += times;
    }
    let took = began.elapsed();
    println!("\nresets: {all}, at most {most} on one of {connections} connections, in {took:.1?}");
}

/// Opens and resets streams as fast as they can be written. Returns how many it were when the
/// server had enough.
async fn reset_until_closed(stream: TlsStream<TcpStream>) -> usize {
    let Ok((mut calls, connection)) = h2::client::handshake(stream).await else {
        return 0;
    };
    let ended = tokio::spawn(connection);
    let mut opened = 0;
    while let Ok(ready) = calls.ready().await {
        calls = ready;
        let request = http::Request::post("http://x/bailiwick.agent.v1.AgentService/Session");
        let Ok((_, mut body)) = calls.send_request(request.body(()).unwrap(), false) else {
            break;
        };
        body.send_reset(h2::Reason::CANCEL);
        opened += 1;
        assert!(opened < 100_000, "without end");
        tokio::task::yield_now().await;
    }
    // The reason may be lost when the connection is closed.
    let reason = ended.await.unwrap().err().and_then(|error| error.reason());
    let calm = reason.is_none_or(|reason| reason == h2::Reason::ENHANCE_YOUR_CALM);
    assert!(calm, "{reason:?} after {opened}");
    opened
}

#[tokio::test]
async fn a_flood_of_calls_ends_its_connection_alone() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let toy = Toy::start().await;
    let own = toy.agent("a");
    let mut session = Session::open(toy.for_agents().connect(Some(&own)).await.unwrap()).await;
    for (who, calls) in [(None, 20), (Some(toy.agent("b")), 100)] {
        let link = toy.for_agents().connect(who.as_ref()).await.unwrap();
        let mut health = HealthClient::new(link.channel());
        let mut good = 0;
        while health.check(HealthCheckRequest::default()).await.is_ok() {
            good += 1;
            assert!(good < 1_000);
        }
        // Slow machines see some that have come back meanwhile.
        assert!((calls..calls + 60).contains(&good), "{calls}: {good}");
        sleep(Duration::from_secs(1)).await;
        let after = health.check(HealthCheckRequest::default()).await;
        assert_eq!(after.unwrap_err().code(), Code::Unavailable, "it is closed");
    }
    session.ask().await;
    drop(session);
    toy.stop().await;
}

#[tokio::test]
async fn a_connection_has_eight_streams() {
    let toy = Toy::start().await;
    let link = toy
        .for_agents()
        .connect(Some(&toy.agent("a")))
        .await
        .unwrap();
    let mut sessions = Vec::new();
    for _ in 0..8 {
        sessions.push(Session::open(link.clone()).await);
    }
    let ninth = Session::open(link.clone());
    let mut ninth = std::pin::pin!(ninth);
    assert!(
        timeout(Duration::from_millis(300), &mut ninth)
            .await
            .is_err()
    );
    sessions.pop();
    timeout(SLACK, ninth).await.unwrap().ask().await;
    drop((sessions, link));
    toy.stop().await;
}

#[tokio::test]
async fn a_key_has_four_connections_and_the_newest_stay() {
    let toy = Toy::start().await;
    let own = toy.agent("a");
    let coordinator = toy.for_agents();
    let connect = async |own: Credentials| {
        let link = coordinator.connect(Some(&own)).await.unwrap();
        Session::open(link).await
    };
    let mut sessions = Vec::new();
    for _ in 0..6 {
        sessions.push(connect(own.clone()).await);
    }
    let mut other = connect(toy.agent("b")).await;
    for (at, session) in sessions.iter_mut().enumerate() {
        let _ = session.say.send(hello()).await;
        let answer = session.answers.message().await;
        assert_eq!(answer.is_ok(), at >= 2, "{at}: {answer:?}");
    }
    other.ask().await;
    drop((sessions, other));
    toy.stop().await;
}

#[tokio::test]
async fn messages_and_headers_have_a_size() {
    let toy = Toy::start().await;
    let link = toy
        .for_agents()
        .connect(Some(&toy.agent("a")))
        .await
        .unwrap();
    let sized = |octets: usize| FromAgent {
        kind: Some(from_agent::Kind::Hello(Hello {
            build: "x".repeat(octets),
            ..Hello::default()
        })),
    };
    for (octets, wanted) in [(1_000_000, None), (1_048_577, Some(Code::OutOfRange))] {
        let said = tokio_stream::once(sized(octets));
        let session = link.agent().session(said).await.unwrap();
        let answer = session.into_inner().message().await;
        assert_eq!(answer.err().map(|status| status.code()), wanted, "{octets}");
    }
    for (octets, good) in [(8_000, true), (20_000, false)] {
        let mut request = tonic::Request::new(tokio_stream::once(hello()));
        let value = "x".repeat(octets).parse().unwrap();
        request.metadata_mut().insert("x-long", value);
        let answer = match link.agent().session(request).await {
            Ok(session) => session.into_inner().message().await,
            Err(status) => Err(status),
        };
        assert_eq!(answer.is_ok(), good, "{octets}: {answer:?}");
    }
    drop(link);
    toy.stop().await;
}

#[tokio::test]
async fn calls_in_flight_may_end_and_those_that_do_not_are_ended() {
    let (short, long) = (Toy::start().await, Toy::start().await);
    let open = async |toy: &Toy| {
        let link = toy.for_agents().connect(Some(&toy.agent("a"))).await;
        Session::open(link.unwrap()).await
    };
    let (mut ends, mut stays) = (open(&short).await, open(&long).await);
    let began = Instant::now();
    let short = tokio::spawn(short.stop());
    let long = tokio::spawn(long.stop());
    sleep(Duration::from_millis(200)).await;
    // Sessions go on, and end when the agent ends them.
    ends.ask().await;
    stays.ask().await;
    drop(ends);
    timeout(SLACK, short).await.unwrap().unwrap();
    assert!(!long.is_finished());
    // Who does not end is ended.
    long.await.unwrap();
    let grace = Duration::from_secs(10);
    let waited = began.elapsed();
    assert!((grace..grace + SLACK).contains(&waited), "{waited:?}");
    assert!(stays.answers.message().await.is_err());
}

#[tokio::test]
async fn a_server_that_is_dropped_leaves_nobody_behind() {
    use bailiwick_rpc::{AgentListener, Authority, ServerTls, TrustDomain, access::Access};
    let now = std::time::SystemTime::now();
    let toy = Toy::start().await;
    let authority = Authority::create(TrustDomain::default(), now).unwrap();
    let shown = ServerTls::new(&authority.server(now).unwrap()).unwrap();
    let listener = AgentListener::bind(toy::local(0), shown).await.unwrap();
    let address = listener.address();
    let access = Access::new(Arc::clone(&toy.kept) as _);
    let routes = tonic::service::Routes::default();
    let serving = tokio::spawn(listener.serve(routes, access, std::future::pending()));
    let own = raw::member(&authority, Kind::Agent, "a");
    let config = Arc::new(raw::client(&[&TLS13], Some(own)));
    let name = ServerName::try_from("bailiwick.internal").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let mut stream = TlsConnector::from(config)
        .connect(name, stream)
        .await
        .unwrap();
    stream.write_all(PREFACE).await.unwrap();
    let ended = tokio::spawn(hung_up(stream));
    sleep(Duration::from_millis(200)).await;
    assert!(!ended.is_finished());
    serving.abort();
    timeout(SLACK, ended).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
    toy.stop().await;
}
