//! A stub resolver's look-up: what a program on this machine would get.
//!
//! `hickory-resolver` does what stub resolvers do: one datagram, TCP after
//! truncation, or TLS or HTTPS. Its sockets come from here, so each of its
//! packets passes the same filter, pace and limits as our own, and the reply is
//! kept as received. Its cache, its search list and its retries stay out: a
//! look-up is one question to one address, once.

mod sockets;

use std::{
    io::ErrorKind,
    net::IpAddr,
    sync::{Arc, LazyLock},
};

use bailiwick_core::{
    limit::Limits,
    observation::{Observation, Outcome, Rejection, Unreadable},
    query::{Query, Stub},
};
use bailiwick_wire::dns;
use hickory_net::{
    NetError,
    xfer::{DnsHandle, FirstAnswer},
};
use hickory_proto::op::{DnsRequest, DnsRequestOptions, DnsResponse};
use hickory_resolver::{
    ConnectionProvider, PoolContext, TlsConfig,
    config::{ConnectionConfig, ResolverOpts},
};
use rustls::{ClientConfig, RootCertStore};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use crate::{
    Shared, reply, reply::Ending, socket::Service, special::PublicAddr, udp::rejection,
    uplink::Gate,
};
use sockets::{Lookup, Sockets};

/// Looks up the first question of the query; a stub asks no second.
pub(crate) async fn exchange(
    shared: &Arc<Shared>,
    query: &Query,
    stub: Stub,
    address: PublicAddr,
    to: &mpsc::Sender<Observation>,
) {
    let Some(question) = query.questions.first() else {
        return;
    };
    debug_assert_eq!(query.questions.len(), 1, "one look-up, one question");
    let ip = address.address();
    let gate = Gate::Question(ip, question.clone());
    let leave = match shared.turn(gate).await {
        Ok(leave) => leave,
        Err(withheld) => return shared.withhold(query, withheld, to).await,
    };
    if let Err(withheld) = shared.ledger.ask(ip, query.via, question) {
        return shared.withhold(query, withheld, to).await;
    }
    let lookup = Arc::new(Lookup::new(shared, address, question.clone()));
    let observation = observe(&lookup, query, stub, context(stub)).await;
    drop(leave);
    let _ = to.send(observation).await;
}

/// Looks up, as long as patience and time allow.
async fn observe(
    lookup: &Arc<Lookup>,
    query: &Query,
    stub: Stub,
    context: Arc<PoolContext>,
) -> Observation {
    let began = Instant::now();
    let patience = (began + query.patience).min(lookup.shared.deadline());
    let resolver = Resolver {
        sockets: Sockets::new(lookup),
        context,
    };
    let answer = timeout_at(patience, resolver.look_up(stub, request(query))).await;
    resolver.sockets.close();
    let answer = answer.unwrap_or(Err(NetError::Timeout));
    conclude(lookup, query, answer, began)
}

/// Writes the question as we would, and lets the resolver send it.
fn request(query: &Query) -> DnsRequest {
    let octets = dns::encode_query(&query.questions[0], &query.options, rand::random(), 0);
    let message = hickory_proto::op::Message::from_vec(&octets)
        .expect("the codec reads what we write; tests of the wire say so");
    DnsRequest::new(message, DnsRequestOptions::default())
}

/// The resolver of a library, with sockets of ours.
struct Resolver {
    sockets: Sockets,
    context: Arc<PoolContext>,
}

impl Resolver {
    /// Asks; a truncated answer is asked for again over TCP, as every stub does (RFC 7766,
    /// section 5).
    async fn look_up(&self, stub: Stub, request: DnsRequest) -> Result<DnsResponse, NetError> {
        let host = || host_name(self.sockets.address()).into();
        match stub {
            Stub::Plain => {
                let udp = ConnectionConfig::udp();
                let answer = self.ask(udp, Service::Plain, request.clone()).await?;
                if !answer.truncation {
                    return Ok(answer);
                }
                let tcp = ConnectionConfig::tcp();
                self.ask(tcp, Service::Plain, request).await
            }
            Stub::Tls => {
                let tls = ConnectionConfig::tls(host());
                self.ask(tls, Service::Tls, request).await
            }
            Stub::Https => {
                let https = ConnectionConfig::https(host(), None);
                self.ask(https, Service::Https, request).await
            }
        }
    }

    async fn ask(
        &self,
        mut config: ConnectionConfig,
        service: Service,
        request: DnsRequest,
    ) -> Result<DnsResponse, NetError> {
        config.port = self.sockets.port(service);
        let ip = self.sockets.address();
        let connection = self.sockets.new_connection(ip, &config, &self.context)?;
        connection.await?.send(request).first_answer().await
    }
}

/// Returns the name on the certificate of a well-known resolver, else the address.
fn host_name(ip: IpAddr) -> String {
    const HOSTS: [(&str, [&str; 4]); 3] = [
        (
            "dns.google",
            [
                "8.8.8.8",
                "8.8.4.4",
                "2001:4860:4860::8888",
                "2001:4860:4860::8844",
            ],
        ),
        (
            "cloudflare-dns.com",
            [
                "1.1.1.1",
                "1.0.0.1",
                "2606:4700:4700::1111",
                "2606:4700:4700::1001",
            ],
        ),
        (
            "dns.quad9.net",
            ["9.9.9.9", "149.112.112.112", "2620:fe::fe", "2620:fe::9"],
        ),
    ];
    let ip = ip.to_string();
    let host = HOSTS.iter().find(|(_, known)| known.contains(&ip.as_str()));
    host.map_or_else(|| ip.clone(), |(host, _)| (*host).to_owned())
}

/// Returns what all look-ups of a kind share. Only encrypted ones need the authorities of the world.
fn context(stub: Stub) -> Arc<PoolContext> {
    static PLAIN: LazyLock<Arc<PoolContext>> = LazyLock::new(|| {
        let config = tls(RootCertStore::empty());
        Arc::new(PoolContext::new(options(), TlsConfig { config }))
    });
    static ENCRYPTED: LazyLock<Arc<PoolContext>> = LazyLock::new(|| {
        let tls = TlsConfig::new().expect("ring knows the default protocol versions");
        Arc::new(PoolContext::new(options(), tls))
    });
    Arc::clone(match stub {
        Stub::Plain => &PLAIN,
        Stub::Tls | Stub::Https => &ENCRYPTED,
    })
}

/// Returns how to speak TLS with whom these authorities know.
fn tls(roots: RootCertStore) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring knows the default protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn options() -> ResolverOpts {
    let mut options = ResolverOpts::default();
    // Our own patience ends a look-up.
    options.timeout = Limits::FULL_ROUND.wall_time;
    // The kernel chooses ports for `sockets`.
    options.os_port_selection = true;
    options
}

/// Reads what the resolver made of it, and what its sockets saw.
fn conclude(
    lookup: &Lookup,
    query: &Query,
    answer: Result<DnsResponse, NetError>,
    began: Instant,
) -> Observation {
    let seen = lookup.seen();
    let (octets, outcome) = match (answer, seen.reply) {
        (Ok(response), _) => {
            let octets = response.into_buffer();
            let outcome = read(lookup, &octets);
            (octets, outcome)
        }
        // The resolver keeps no octets that it cannot read; its socket does. What is
        // truncated is no last word.
        (Err(_), Some(reply)) if !reply.truncated => {
            let outcome = read(lookup, &reply.octets);
            (reply.octets, outcome)
        }
        (Err(error), _) => (Vec::new(), seen.outcome.unwrap_or_else(|| failure(&error))),
    };
    let sent = seen.sent.unwrap_or(began);
    let ending = Ending {
        outcome,
        elapsed: sent.elapsed(),
        junk: 0,
        case_kept: None,
        octets: &octets,
    };
    lookup.shared.ledger.receive(octets.len());
    ending.observation(
        query,
        0,
        sent.saturating_duration_since(lookup.shared.began()),
    )
}

fn read(lookup: &Lookup, octets: &[u8]) -> Outcome {
    match reply::read(octets, lookup.shared.limits.tcp_message) {
        Ok(message) => Outcome::Reply(message.into()),
        Err(unreadable) => Outcome::Unreadable(unreadable),
    }
}

/// Reads an error of the resolver.
fn failure(error: &NetError) -> Outcome {
    match error {
        NetError::Timeout => Outcome::Silence,
        NetError::Io(error) => rejection(error).unwrap_or_else(|| match error.kind() {
            ErrorKind::TimedOut => Outcome::Silence,
            // The TLS library calls invalid data what it does not believe.
            ErrorKind::InvalidData => malformed(error),
            _ => Outcome::Rejected(Rejection::Closed),
        }),
        error if error.is_connection_closed() => Outcome::Rejected(Rejection::Closed),
        error => malformed(error),
    }
}

fn malformed(error: impl ToString) -> Outcome {
    Outcome::Unreadable(Unreadable::Malformed(error.to_string()))
}

#[cfg(test)]
mod tests;
