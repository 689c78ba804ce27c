//! The switch between all hosts: one thread that carries every packet.
//!
//! It holds the TUN device of each host, reads what a host sends, and hands it
//! to the owner of the destination address: later by the delay of both links,
//! or not at all if a link or a [`Rule`] loses it or nobody owns the address.
//! An address with several owners is anycast: a packet goes to the owner in the
//! sender's region, or to the first one if there is none.
//!
//! It also writes down what each host sends ([`Sent`]), before anything is
//! lost. That is the measure from outside for what a program says it sent.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

pub use super::packet::Datagram;
use super::packet::{Packet, Payload};
use super::tun::Tun;

/// Which host, by its place in the list of hosts.
pub type HostIndex = usize;

/// Packets of one host that are read before the next host has its turn.
const TURN: usize = 64;

/// Entries kept of what one host sent; later ones are only counted.
const SENT_KEPT: usize = 1_000_000;

/// How a host is connected.
#[derive(Clone, Debug)]
pub struct Link {
    /// The addresses that the host owns.
    pub addresses: Vec<IpAddr>,
    /// Where it stands, for anycast.
    pub region: String,
    /// How long each packet takes on this link, in either direction.
    pub delay: Duration,
    /// Share of packets lost on this link in either direction, 0 to 1.
    pub loss: f64,
}

/// TCP or UDP.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// Connections.
    Tcp,
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// What happens to packets of one kind. A condition that is `None` holds for
/// every packet.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// The host that sent it.
    pub from: Option<HostIndex>,
    /// The address it goes to.
    pub to: Option<IpAddr>,
    /// The destination port.
    pub port: Option<u16>,
    /// Its transport.
    pub transport: Option<Transport>,
    /// Its family.
    pub family: Option<Family>,
    /// What is done with it.
    pub action: Action,
}

/// What a [`Rule`] does.
#[derive(Clone, Debug, Default)]
pub enum Action {
    /// The packet vanishes.
    #[default]
    Drop,
    /// This share of the packets vanishes, 0 to 1.
    Lose(f64),
    /// The packet takes this much longer.
    Delay(Duration),
    /// The packet goes to this host, whoever owns the address.
    Divert(HostIndex),
    /// A UDP datagram is shown to a forger; anything else passes.
    Forge(Forger),
}

/// Somebody on the path who sees datagrams and sends others: a middlebox, or an
/// attacker who knows as much as the test tells him.
#[derive(Clone)]
pub struct Forger(Arc<dyn Fn(&Datagram) -> Forged + Send + Sync>);

impl Forger {
    /// Makes a forger of a function that sees each datagram.
    pub fn new(forge: impl Fn(&Datagram) -> Forged + Send + Sync + 'static) -> Self {
        Self(Arc::new(forge))
    }
}

impl std::fmt::Debug for Forger {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Forger")
    }
}

/// What a [`Forger`] does about a datagram.
#[derive(Clone, Debug, Default)]
pub struct Forged {
    /// Datagrams that it sends, each after a while, under any source address.
    pub sent: Vec<(Duration, Datagram)>,
    /// Whether the datagram that it saw goes on, too.
    pub passes: bool,
}

impl Rule {
    fn matches(&self, from: HostIndex, packet: &Packet) -> bool {
        let transport = match packet.payload {
            Payload::Udp { .. } => Some(Transport::Udp),
            Payload::Tcp { .. } => Some(Transport::Tcp),
            Payload::Other { .. } => None,
        };
        let family = match packet.destination {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        };
        self.from.is_none_or(|host| host == from)
            && self.to.is_none_or(|address| address == packet.destination)
            && self
                .port
                .is_none_or(|port| port == packet.destination_socket().port())
            && (self.transport.is_none() || self.transport == transport)
            && self.family.is_none_or(|wanted| wanted == family)
    }
}

/// One datagram or one connection that a host sent or opened.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// When, counted from the start of the switch.
    pub at: Duration,
    /// By which transport.
    pub transport: Transport,
    /// Where to.
    pub destination: SocketAddr,
    /// Whether some host owns that address.
    pub owned: bool,
}

/// What a host sent since the start or the last reset.
///
/// A *packet* is one UDP datagram or one TCP connection, whatever the number of
/// segments or repeated SYN.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Each packet, in the order of sending.
    pub sent: Vec<Sent>,
    /// Packets beyond those that `sent` has room for.
    pub not_kept: u64,
    /// Destinations of anything else (ICMP, later fragments), with how many.
    pub other: BTreeMap<IpAddr, u64>,
}

impl Counts {
    /// Returns the number of packets.
    pub fn packets(&self) -> u64 {
        self.sent.len() as u64 + self.not_kept
    }

    /// Returns the UDP datagrams sent to each address.
    pub fn udp(&self) -> BTreeMap<IpAddr, u64> {
        self.by_address(|sent| sent.transport == Transport::Udp)
    }

    /// Returns the TCP connections opened to each address.
    pub fn tcp(&self) -> BTreeMap<IpAddr, u64> {
        self.by_address(|sent| sent.transport == Transport::Tcp)
    }

    /// Returns the packets to each address.
    pub fn per_address(&self) -> BTreeMap<IpAddr, u64> {
        self.by_address(|_| true)
    }

    /// Returns the packets to each address that no host owns.
    pub fn to_nobody(&self) -> BTreeMap<IpAddr, u64> {
        self.by_address(|sent| !sent.owned)
    }

    /// Returns the ports that packets went to.
    pub fn ports(&self) -> BTreeSet<u16> {
        self.sent
            .iter()
            .map(|sent| sent.destination.port())
            .collect()
    }

    /// Returns the most packets that one address was sent within any `window`.
    pub fn most_within(&self, window: Duration) -> u64 {
        let mut times: BTreeMap<IpAddr, Vec<Duration>> = BTreeMap::new();
        for sent in &self.sent {
            times
                .entry(sent.destination.ip())
                .or_default()
                .push(sent.at);
        }
        let mut most = 0;
        for times in times.values() {
            let mut first = 0;
            for (last, at) in times.iter().enumerate() {
                while times[first] + window <= *at {
                    first += 1;
                }
                most = most.max(last + 1 - first);
            }
        }
        most as u64
    }

    fn by_address(&self, wanted: impl Fn(&Sent) -> bool) -> BTreeMap<IpAddr, u64> {
        let mut counts = BTreeMap::new();
        for sent in self.sent.iter().filter(|sent| wanted(sent)) {
            *counts.entry(sent.destination.ip()).or_default() += 1;
        }
        counts
    }
}

/// A packet that arrives at a host after a while.
#[derive(Debug, Eq, PartialEq)]
struct Delivery {
    to: HostIndex,
    after: Duration,
    packet: Vec<u8>,
}

/// What the switch knows; changed while it runs through [`Switch::fabric`].
#[derive(Debug)]
pub struct Fabric {
    /// The links, in the order of the hosts.
    pub links: Vec<Link>,
    /// Rules, applied in this order until one stops the packet or diverts it;
    /// delays add up.
    pub rules: Vec<Rule>,
    counts: Vec<Counts>,
    connections: Vec<HashSet<(SocketAddr, u16, u32)>>,
    owners: BTreeMap<IpAddr, Vec<HostIndex>>,
    random: StdRng,
    started: Instant,
}

impl Fabric {
    fn new(links: Vec<Link>, seed: u64) -> Self {
        let mut owners: BTreeMap<IpAddr, Vec<HostIndex>> = BTreeMap::new();
        for (host, link) in links.iter().enumerate() {
            for address in &link.addresses {
                owners.entry(*address).or_default().push(host);
            }
        }
        Self {
            rules: Vec::new(),
            counts: vec![Counts::default(); links.len()],
            connections: vec![HashSet::new(); links.len()],
            owners,
            links,
            random: StdRng::seed_from_u64(seed),
            started: Instant::now(),
        }
    }

    /// Returns what a host sent.
    pub fn counts(&self, host: HostIndex) -> Counts {
        self.counts[host].clone()
    }

    /// Forgets what every host sent.
    pub fn reset_counts(&mut self) {
        for host in 0..self.links.len() {
            self.reset_counts_of(host);
        }
    }

    /// Forgets what a host sent.
    pub fn reset_counts_of(&mut self, host: HostIndex) {
        self.counts[host] = Counts::default();
        self.connections[host].clear();
    }

    /// Decides for one packet of a host what arrives where and when: itself, or
    /// nothing, or what a forger makes of it.
    fn forward(&mut self, from: HostIndex, bytes: &[u8]) -> Vec<Delivery> {
        let Some(packet) = Packet::read(bytes) else {
            return vec![];
        };
        self.count(from, &packet);
        let mut deliveries = Vec::new();
        if let Some((to, after)) = self.pass(from, &packet, bytes, &mut deliveries) {
            deliveries.push(Delivery {
                to,
                after,
                packet: bytes.to_vec(),
            });
        }
        deliveries
    }

    /// Decides for the packet itself; adds to `forged` what forgers send.
    fn pass(
        &mut self,
        from: HostIndex,
        packet: &Packet,
        bytes: &[u8],
        forged: &mut Vec<Delivery>,
    ) -> Option<(HostIndex, Duration)> {
        let mut to = self.owner(from, packet.destination);
        let mut delay = Duration::ZERO;
        for rule in self.rules.iter().filter(|rule| rule.matches(from, packet)) {
            match &rule.action {
                Action::Drop => return None,
                Action::Lose(share) if self.random.random_bool(*share) => return None,
                Action::Lose(_) => {}
                Action::Delay(more) => delay += *more,
                Action::Divert(host) => {
                    to = Some(*host);
                    break;
                }
                Action::Forge(forger) => {
                    let Some(datagram) = Datagram::read(bytes) else {
                        continue;
                    };
                    let forgery = forger.0(&datagram);
                    for (after, datagram) in forgery.sent {
                        let to = self.owner(from, datagram.destination.ip());
                        if let (Some(to), Some(packet)) = (to, datagram.packet()) {
                            forged.push(Delivery { to, after, packet });
                        }
                    }
                    if !forgery.passes {
                        return None;
                    }
                }
            }
        }
        let to = to?;
        for link in [&self.links[from], &self.links[to]] {
            if link.loss > 0.0 && self.random.random_bool(link.loss) {
                return None;
            }
            delay += link.delay;
        }
        Some((to, delay))
    }

    fn owner(&self, from: HostIndex, destination: IpAddr) -> Option<HostIndex> {
        let owners = self.owners.get(&destination)?;
        let region = &self.links[from].region;
        let near = owners
            .iter()
            .find(|owner| self.links[**owner].region == *region);
        near.or(owners.first()).copied()
    }

    fn count(&mut self, from: HostIndex, packet: &Packet) {
        let counts = &mut self.counts[from];
        let transport = match packet.payload {
            Payload::Udp { .. } => Transport::Udp,
            Payload::Tcp { opens: None, .. } => return,
            Payload::Tcp {
                from: port,
                opens: Some(sequence),
                ..
            } => {
                let connection = (packet.destination_socket(), port, sequence);
                if !self.connections[from].insert(connection) {
                    return; // the same SYN once more
                }
                Transport::Tcp
            }
            Payload::Other { .. } => {
                *counts.other.entry(packet.destination).or_default() += 1;
                return;
            }
        };
        if counts.sent.len() == SENT_KEPT {
            counts.not_kept += 1;
            return;
        }
        counts.sent.push(Sent {
            at: self.started.elapsed(),
            transport,
            destination: packet.destination_socket(),
            owned: self.owners.contains_key(&packet.destination),
        });
    }
}

/// The running switch; it stops when dropped.
#[derive(Debug)]
pub struct Switch {
    fabric: Arc<Mutex<Fabric>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Switch {
    /// Starts to carry packets between these devices.
    pub fn start(hosts: Vec<(Tun, Link)>, seed: u64) -> Self {
        let (devices, links): (Vec<Tun>, Vec<Link>) = hosts.into_iter().unzip();
        let fabric = Arc::new(Mutex::new(Fabric::new(links, seed)));
        let stop = Arc::new(AtomicBool::new(false));
        let carrier = Carrier {
            devices,
            fabric: Arc::clone(&fabric),
            travelling: BinaryHeap::new(),
            carried: 0,
        };
        let until = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            if let Err(error) = carrier.run(&until) {
                eprintln!("the switch has stopped: {error:#}");
            }
        });
        Self {
            fabric,
            stop,
            thread: Some(thread),
        }
    }

    /// Returns the links, rules and counts, to read or to change.
    pub fn fabric(&self) -> MutexGuard<'_, Fabric> {
        self.fabric.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A packet on its way: when it arrives, its number (so that packets of equal
/// delay keep their order), the host, the packet.
type Travelling = Reverse<(Instant, u64, HostIndex, Vec<u8>)>;

/// The thread's own part of the switch.
struct Carrier {
    devices: Vec<Tun>,
    fabric: Arc<Mutex<Fabric>>,
    travelling: BinaryHeap<Travelling>,
    carried: u64,
}

impl Carrier {
    fn run(mut self, stop: &AtomicBool) -> Result<()> {
        while !stop.load(Ordering::Relaxed) {
            for host in self.wait()? {
                self.collect(host)?;
            }
            self.deliver();
        }
        Ok(())
    }

    /// Waits for a packet to take or to deliver; returns who has sent one.
    fn wait(&self) -> Result<Vec<HostIndex>> {
        let longest = Duration::from_millis(50); // then look whether to stop
        let patience = self.travelling.peek().map_or(longest, |Reverse(next)| {
            next.0
                .saturating_duration_since(Instant::now())
                .min(longest)
        });
        let mut polled: Vec<PollFd<'_>> = self
            .devices
            .iter()
            .map(|device| PollFd::new(device.as_fd(), PollFlags::POLLIN))
            .collect();
        match ppoll(&mut polled, Some(TimeSpec::from_duration(patience)), None) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(vec![]),
            Err(error) => return Err(error.into()),
        }
        Ok((0..polled.len())
            .filter(|host| polled[*host].any().unwrap_or(false))
            .collect())
    }

    fn collect(&mut self, from: HostIndex) -> Result<()> {
        let mut buffer = [0; 65536];
        for _ in 0..TURN {
            let Some(length) = self.devices[from].receive(&mut buffer)? else {
                break;
            };
            let deliveries = self
                .fabric
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .forward(from, &buffer[..length]);
            let now = Instant::now();
            for Delivery { to, after, packet } in deliveries {
                self.carried += 1;
                self.travelling
                    .push(Reverse((now + after, self.carried, to, packet)));
            }
        }
        Ok(())
    }

    fn deliver(&mut self) {
        let now = Instant::now();
        while self
            .travelling
            .peek()
            .is_some_and(|Reverse(next)| next.0 <= now)
        {
            if let Some(Reverse((_, _, to, packet))) = self.travelling.pop() {
                // A host that cannot take a packet loses it, as on any network.
                let _ = self.devices[to].send(&packet);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(region: &str, address: &str) -> Link {
        Link {
            addresses: vec![address.parse().expect("address")],
            region: region.to_owned(),
            delay: Duration::from_millis(3),
            loss: 0.0,
        }
    }

    fn udp(to: &str) -> Vec<u8> {
        let datagram = Datagram {
            source: "45.83.0.1:9".parse().expect("address"),
            destination: SocketAddr::new(to.parse().expect("address"), 53),
            payload: vec![1],
        };
        datagram.packet().expect("one family")
    }

    /// Where a packet arrives, and when.
    fn arrivals(deliveries: &[Delivery]) -> Vec<(HostIndex, Duration)> {
        let arrivals = deliveries.iter();
        arrivals
            .map(|delivery| (delivery.to, delivery.after))
            .collect()
    }

    fn fabric() -> Fabric {
        let links = vec![
            link("eu", "45.83.0.1"),
            link("us", "45.83.0.2"),
            link("us", "194.0.28.53"),
            link("eu", "194.0.28.53"),
        ];
        Fabric::new(links, 1)
    }

    #[test]
    fn anycast_leads_to_the_own_region() {
        let mut fabric = fabric();
        let delay = Duration::from_millis(6);
        let near = |fabric: &mut Fabric, from| arrivals(&fabric.forward(from, &udp("194.0.28.53")));
        assert_eq!(near(&mut fabric, 0), [(3, delay)]);
        assert_eq!(near(&mut fabric, 1), [(2, delay)]);
        assert_eq!(fabric.forward(1, &udp("203.1.2.3")), [], "nobody's address");
        assert_eq!(fabric.counts(1).to_nobody().len(), 1);
    }

    #[test]
    fn a_repeated_syn_is_one_connection() {
        let mut fabric = fabric();
        let syn = |sequence| Packet {
            source: "45.83.0.1".parse().expect("address"),
            destination: "194.0.28.53".parse().expect("address"),
            payload: Payload::Tcp {
                from: 9,
                to: 53,
                opens: Some(sequence),
            },
        };
        for packet in [syn(1), syn(1), syn(2)] {
            fabric.count(0, &packet);
        }
        assert_eq!(fabric.counts(0).packets(), 2);
    }

    #[test]
    fn a_forger_answers_before_the_server() {
        let mut fabric = fabric();
        let forger = Forger::new(|seen| Forged {
            sent: vec![(Duration::ZERO, seen.answer(vec![2]))],
            passes: true,
        });
        fabric.rules.push(Rule {
            action: Action::Forge(forger),
            ..Rule::default()
        });
        let deliveries = fabric.forward(0, &udp("194.0.28.53"));
        let delay = Duration::from_millis(6);
        assert_eq!(arrivals(&deliveries), [(0, Duration::ZERO), (3, delay)]);
        let forged = Datagram::read(&deliveries[0].packet).expect("a datagram");
        assert_eq!(forged.source.to_string(), "194.0.28.53:53");
    }

    #[test]
    fn rules_name_what_they_hit() {
        let to = Some("194.0.28.53".parse().expect("address"));
        let here = Rule {
            to,
            ..Rule::default()
        };
        let cases = [
            (here.clone(), true, "the address"),
            (
                Rule {
                    from: Some(1),
                    ..here.clone()
                },
                false,
                "another sender",
            ),
            (
                Rule {
                    transport: Some(Transport::Tcp),
                    ..here.clone()
                },
                false,
                "another transport",
            ),
            (
                Rule {
                    family: Some(Family::V6),
                    ..here.clone()
                },
                false,
                "another family",
            ),
            (
                Rule {
                    port: Some(53),
                    ..here
                },
                true,
                "the port",
            ),
        ];
        for (rule, drops, why) in cases {
            let mut fabric = fabric();
            fabric.rules.push(rule);
            assert_eq!(
                fabric.forward(0, &udp("194.0.28.53")).is_empty(),
                drops,
                "{why}"
            );
        }
    }

    #[test]
    fn the_busiest_window_is_found() {
        let sent = |milliseconds| Sent {
            at: Duration::from_millis(milliseconds),
            transport: Transport::Udp,
            destination: "194.0.28.53:53".parse().expect("address"),
            owned: true,
        };
        let counts = Counts {
            sent: [0, 10, 900, 1000, 1005, 1009, 3000].map(sent).to_vec(),
            ..Counts::default()
        };
        assert_eq!(counts.most_within(Duration::from_secs(1)), 5);
    }
}
