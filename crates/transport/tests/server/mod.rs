//! A server on the loopback that behaves as it is told.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bailiwick_core::{
    message::{Flags, Message},
    record::{Record, RecordData},
};
use bailiwick_wire::dns;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};

/// What is sent, in order.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Send(Vec<u8>),
    /// Sends from another port; over UDP only.
    SendFromElsewhere(Vec<u8>),
    /// In milliseconds.
    Wait(u64),
    /// Ends the connection with RST instead of FIN.
    Reset,
}

/// What a server does with a query over UDP, or with all queries of a connection.
pub(crate) type Script = Arc<dyn Fn(&[Vec<u8>]) -> Vec<Step> + Send + Sync>;

pub(crate) struct Behaviour {
    pub(crate) udp: Script,
    /// How many queries of a connection are read before anything is sent.
    pub(crate) questions: usize,
    pub(crate) tcp: Script,
}

impl Default for Behaviour {
    /// Answers everything at once.
    fn default() -> Self {
        let answer: Script = Arc::new(|queries| vec![Step::Send(answer(&queries[0]))]);
        Self {
            udp: answer,
            questions: 1,
            tcp: Arc::new(|queries| vec![Step::Send(framed(&answer_of(&queries[0])))]),
        }
    }
}

impl Behaviour {
    pub(crate) fn over_udp(script: impl Fn(&[u8]) -> Vec<Step> + Send + Sync + 'static) -> Self {
        Self {
            udp: Arc::new(move |queries| script(&queries[0])),
            ..Self::default()
        }
    }

    pub(crate) fn over_tcp(
        questions: usize,
        script: impl Fn(&[Vec<u8>]) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        Self {
            questions,
            tcp: Arc::new(script),
            ..Self::default()
        }
    }
}

/// The true answer: one record, with authority.
pub(crate) fn answer(query: &[u8]) -> Vec<u8> {
    answer_of(query)
}

fn answer_of(query: &[u8]) -> Vec<u8> {
    dns::encode_reply(&truth(), &dns::peek(query).unwrap())
}

pub(crate) fn truth() -> Message {
    Message {
        flags: Flags {
            authoritative: true,
            ..Flags::default()
        },
        answer: vec![Record {
            name: "example.".parse().unwrap(),
            ttl: 60,
            data: RecordData::Ns("ns.example.".parse().unwrap()),
        }],
        ..Message::default()
    }
}

/// Puts the length in front.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap();
    [&length.to_be_bytes(), message].concat()
}

pub(crate) struct Running {
    address: SocketAddr,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    /// Datagrams and connections received.
    received: Arc<AtomicUsize>,
    /// The most connections that were open at a time.
    crowd: Arc<AtomicUsize>,
    /// Who asked.
    peers: Peers,
}

type Peers = Arc<Mutex<BTreeSet<IpAddr>>>;

impl Running {
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    pub(crate) fn received(&self) -> usize {
        self.received.load(Ordering::Relaxed)
    }

    pub(crate) fn peers(&self) -> BTreeSet<IpAddr> {
        self.peers.lock().unwrap().clone()
    }

    pub(crate) fn crowd(&self) -> usize {
        self.crowd.load(Ordering::Relaxed)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Starts a server on a free port, the same for UDP and TCP.
pub(crate) async fn start(behaviour: Behaviour) -> Running {
    start_on([127, 0, 0, 1].into(), behaviour).await
}

/// Starts a server on an address; the unspecified one means all of 127.0.0.0/8.
pub(crate) async fn start_on(ip: IpAddr, behaviour: Behaviour) -> Running {
    for _ in 0..100 {
        let udp = UdpSocket::bind((ip, 0)).await.unwrap();
        let address = udp.local_addr().unwrap();
        let Ok(tcp) = TcpListener::bind(address).await else {
            continue;
        };
        let received = Arc::<AtomicUsize>::default();
        let crowd = Arc::<AtomicUsize>::default();
        let peers = Peers::default();
        return Running {
            address,
            tasks: vec![
                tokio::spawn(serve_udp(
                    udp,
                    behaviour.udp,
                    Arc::clone(&received),
                    Arc::clone(&peers),
                )),
                tokio::spawn(serve_tcp(
                    tcp,
                    behaviour.questions,
                    behaviour.tcp,
                    Arc::clone(&received),
                    Arc::clone(&crowd),
                    Arc::clone(&peers),
                )),
            ],
            received,
            crowd,
            peers,
        };
    }
    panic!("no port is free for both UDP and TCP");
}

async fn serve_udp(socket: UdpSocket, script: Script, received: Arc<AtomicUsize>, peers: Peers) {
    let socket = Arc::new(socket);
    let mut buffer = [0; 2048];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        received.fetch_add(1, Ordering::Relaxed);
        peers.lock().unwrap().insert(from.ip());
        let steps = script(&[buffer[..length].to_vec()]);
        let socket = Arc::clone(&socket);
        tokio::spawn(async move {
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Send(octets) => {
                        let _ = socket.send_to(&octets, from).await;
                    }
                    Step::SendFromElsewhere(octets) => {
                        let elsewhere = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                        let _ = elsewhere.send_to(&octets, from).await;
                    }
                    Step::Wait(milliseconds) => wait(milliseconds).await,
                    Step::Reset => {}
                }
                if number % 100 == 99 {
                    // No receive buffer holds a thousand datagrams: let the receiver read some.
                    wait(1).await;
                }
            }
        });
    }
}

async fn serve_tcp(
    listener: TcpListener,
    questions: usize,
    script: Script,
    received: Arc<AtomicUsize>,
    crowd: Arc<AtomicUsize>,
    peers: Peers,
) {
    let open = Arc::<AtomicUsize>::default();
    while let Ok((stream, from)) = listener.accept().await {
        peers.lock().unwrap().insert(from.ip());
        received.fetch_add(1, Ordering::Relaxed);
        crowd.fetch_max(open.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        let (script, open) = (Arc::clone(&script), Arc::clone(&open));
        tokio::spawn(async move {
            let _ = talk(stream, questions, script).await;
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

async fn talk(mut stream: TcpStream, questions: usize, script: Script) -> std::io::Result<()> {
    let mut queries = Vec::new();
    while queries.len() < questions {
        let length = stream.read_u16().await?;
        let mut octets = vec![0; usize::from(length)];
        stream.read_exact(&mut octets).await?;
        queries.push(octets);
    }
    for step in script(&queries) {
        match step {
            Step::Send(octets) => stream.write_all(&octets).await?,
            Step::SendFromElsewhere(_) => {}
            Step::Wait(milliseconds) => wait(milliseconds).await,
            Step::Reset => {
                stream.set_zero_linger()?;
                return Ok(());
            }
        }
    }
    Ok(())
}

async fn wait(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}
