//! A server that plays scripts: UDP and TCP on many addresses, one thread.
//!
//! It runs in whatever network namespace its thread is in. What it says is
//! decided by a [`Play`]; here is only how it is said.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, mpsc as channel};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::log::{Connection, Log};
use super::script::{Asked, Step};
use crate::internet::switch::Transport;

/// Decides what to do about a question.
pub type Play = Arc<dyn Fn(&Asked) -> Vec<Step> + Send + Sync>;

/// No connection is held longer than this, whatever the script says.
const CONNECTION: Duration = Duration::from_secs(60);
/// Questions read ahead on one connection.
const READ_AHEAD: usize = 64;

/// What a server needs.
#[derive(Clone)]
pub struct Stage {
    /// Where it listens.
    pub addresses: Vec<IpAddr>,
    /// On which port.
    pub port: u16,
    /// What it does.
    pub play: Play,
    /// Where it writes down what it was asked.
    pub log: Arc<Log>,
}

/// Serves until `stop` is sent or dropped. Tells `ready` once all addresses are bound.
///
/// # Errors
///
/// Fails if an address cannot be bound.
pub fn serve(
    stage: Stage,
    ready: &channel::Sender<()>,
    stop: oneshot::Receiver<()>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for address in stage.addresses.clone() {
            let place = SocketAddr::new(address, stage.port);
            let socket = UdpSocket::bind(place).await?;
            let listener = TcpListener::bind(place).await?;
            tasks.spawn(datagrams(stage.clone(), address, Arc::new(socket)));
            tasks.spawn(connections(stage.clone(), address, listener));
        }
        // Whoever waits may have given up; then nobody needs to be told.
        let _ = ready.send(());
        let _ = stop.await;
        Ok(())
    })
}

async fn datagrams(stage: Stage, address: IpAddr, socket: Arc<UdpSocket>) {
    let mut buffer = vec![0; 1 << 16];
    let mut plays = JoinSet::new();
    loop {
        // An error here is an ICMP message about an earlier answer.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let Some(asked) = Asked::read(&buffer[..length], address, Transport::Udp) else {
            continue;
        };
        stage.log.question(from.ip(), &asked);
        let steps = (stage.play)(&asked);
        plays.spawn(send_datagrams(steps, Arc::clone(&socket), address, from));
        while plays.try_join_next().is_some() {}
    }
}

async fn send_datagrams(steps: Vec<Step>, socket: Arc<UdpSocket>, address: IpAddr, to: SocketAddr) {
    // What cannot be sent is lost, as on any network.
    for step in steps {
        match step {
            Step::Send(octets) => {
                let _ = socket.send_to(&octets, to).await;
            }
            Step::SendFromElsewhere(octets) => {
                if let Ok(other) = UdpSocket::bind(SocketAddr::new(address, 0)).await {
                    let _ = other.send_to(&octets, to).await;
                }
            }
            Step::Repeat {
                octets,
                times,
                every,
            } => {
                for _ in 0..times {
                    let _ = socket.send_to(&octets, to).await;
                    sleep(every).await;
                }
            }
            Step::Wait(time) => sleep(time).await,
            Step::Drip { .. } | Step::Close | Step::Reset => {}
        }
    }
}

async fn connections(stage: Stage, address: IpAddr, listener: TcpListener) {
    let mut open = JoinSet::new();
    loop {
        if let Ok((stream, from)) = listener.accept().await {
            open.spawn(connection(stage.clone(), address, stream, from.ip()));
        }
        while open.try_join_next().is_some() {}
    }
}

async fn connection(stage: Stage, address: IpAddr, mut stream: TcpStream, from: IpAddr) {
    let accepted = Instant::now();
    let mut sent = 0;
    let ending = timeout(
        CONNECTION,
        converse(&stage, address, &mut stream, from, &mut sent),
    );
    if let Ok(Ending::Reset) = ending.await {
        // RST instead of FIN; without it the test would only be of something else.
        let _ = stream.set_zero_linger();
    }
    let ended = Connection {
        to: address,
        lasted: accepted.elapsed(),
        sent,
    };
    stage.log.connection(from, ended);
}

/// How a conversation ends on our side.
enum Ending {
    Close,
    Reset,
}

/// Reads questions and plays a script for each, until either side ends it.
async fn converse(
    stage: &Stage,
    address: IpAddr,
    stream: &mut TcpStream,
    from: IpAddr,
    sent: &mut u64,
) -> Ending {
    let (mut read, mut write) = stream.split();
    let (tell, mut told) = mpsc::channel::<Asked>(READ_AHEAD);
    let reading = async {
        loop {
            let Ok(length) = read.read_u16().await else {
                return;
            };
            let mut octets = vec![0; usize::from(length)];
            if read.read_exact(&mut octets).await.is_err() {
                return;
            }
            if let Some(asked) = Asked::read(&octets, address, Transport::Tcp) {
                stage.log.question(from, &asked);
                // A full queue means that the script takes its time; so do we.
                let _ = tell.send(asked).await;
            }
        }
    };
    let writing = async {
        while let Some(asked) = told.recv().await {
            for step in (stage.play)(&asked) {
                if let Some(ending) = step_on(&mut write, step, sent).await {
                    return ending;
                }
            }
        }
        Ending::Close
    };
    tokio::select! {
        () = reading => Ending::Close,
        ending = writing => ending,
    }
}

async fn step_on(
    write: &mut (impl AsyncWriteExt + Unpin),
    step: Step,
    sent: &mut u64,
) -> Option<Ending> {
    let (octets, times, every) = match step {
        Step::Send(octets) => (octets, 1, Duration::ZERO),
        Step::Repeat {
            octets,
            times,
            every,
        } => (octets, times, every),
        Step::Drip { octets, every } => {
            for octet in octets {
                if write.write_all(&[octet]).await.is_err() {
                    return Some(Ending::Close);
                }
                *sent += 1;
                sleep(every).await;
            }
            return None;
        }
        Step::Wait(time) => {
            sleep(time).await;
            return None;
        }
        Step::Close => return Some(Ending::Close),
        Step::Reset => return Some(Ending::Reset),
        Step::SendFromElsewhere(_) => return None,
    };
    for _ in 0..times {
        if write.write_all(&octets).await.is_err() {
            return Some(Ending::Close);
        }
        *sent += octets.len() as u64;
        if !every.is_zero() {
            sleep(every).await;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpStream, UdpSocket};

    use super::*;
    use bailiwick_core::message::Question;
    use bailiwick_core::query::Options;
    use bailiwick_core::record::RecordType;
    use bailiwick_wire::dns;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn query() -> Vec<u8> {
        let question = Question::new("h0001.com.".parse().unwrap(), RecordType::SOA);
        dns::encode_query(&question, &Options::PLAIN, 7, 0)
    }

    /// Runs a server of this script on loopback; returns its port and how to stop it.
    fn start(script: Vec<Step>) -> (u16, Arc<Log>, oneshot::Sender<()>) {
        let port = UdpSocket::bind((HERE, 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let log = Arc::new(Log::new([HERE]));
        let stage = Stage {
            addresses: vec![HERE],
            port,
            play: Arc::new(move |_| script.clone()),
            log: Arc::clone(&log),
        };
        let (ready, is_ready) = channel::channel();
        let (stop, stopped) = oneshot::channel();
        std::thread::spawn(move || serve(stage, &ready, stopped));
        is_ready.recv_timeout(Duration::from_secs(5)).unwrap();
        (port, log, stop)
    }

    #[test]
    fn datagrams_come_in_the_order_of_the_script() {
        let (port, log, _stop) = start(vec![
            Step::Send(vec![1]),
            Step::Repeat {
                octets: vec![2],
                times: 2,
                every: Duration::ZERO,
            },
        ]);
        let socket = UdpSocket::bind((HERE, 0)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        socket.send_to(&query(), (HERE, port)).unwrap();
        let mut heard = Vec::new();
        for _ in 0..3 {
            let mut octet = [0];
            socket.recv_from(&mut octet).unwrap();
            heard.push(octet[0]);
        }
        assert_eq!(heard, [1, 2, 2]);
        assert_eq!(log.take(&[HERE]).questions.len(), 1);
    }

    #[test]
    fn a_connection_ends_as_the_script_says() {
        for (step, is_reset) in [(Step::Close, false), (Step::Reset, true)] {
            let (port, log, _stop) = start(vec![Step::Send(vec![9, 9]), step]);
            let mut stream = TcpStream::connect((HERE, port)).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            let query = query();
            let length = u16::try_from(query.len()).unwrap();
            stream
                .write_all(&[&length.to_be_bytes()[..], &query].concat())
                .unwrap();
            let mut heard = Vec::new();
            let ended = stream.read_to_end(&mut heard);
            assert_eq!(ended.is_err(), is_reset, "{ended:?}");
            let connections = std::iter::repeat_with(|| {
                std::thread::sleep(Duration::from_millis(10));
                log.take(&[HERE]).connections
            });
            let sent: Vec<u64> = connections
                .take(100)
                .flatten()
                .map(|connection| connection.sent)
                .take(1)
                .collect();
            assert_eq!(sent, [2]);
        }
    }
}
