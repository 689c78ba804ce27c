//! An Internet of network namespaces with real DNS servers.
//!
//! ```text
//!  vantage-eu   vantage-us      root    gtld    nl-eu  …   namespaces, one TUN device each
//!      │            │            │       │        │
//!      └────────────┴──── switch ┴───────┴────────┘         one thread of this process
//! ```
//!
//! A [`Blueprint`] says which hosts and servers there are; [`Internet::start`]
//! brings them up; [`standard`] is the blueprint that the acceptance tests use.
//! Addresses are the true ones (root servers, `.com`, public resolvers), but no
//! packet leaves: the only way out of a namespace is the switch, and it knows
//! only namespaces.
//!
//! It needs Linux and root, the programs in `packages.txt`, and nothing else;
//! [`available`] says what is missing.

mod ask;
mod namespace;
mod packet;
pub mod server;
pub mod standard;
pub mod switch;
mod tun;
pub mod zone;

use std::fs;
use std::io::Read;
use std::net::IpAddr;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use namespace::{Namespace, temporary_folder};
use server::{Server, ServerPlan, Service};
use switch::{Counts, HostIndex, Link, Rule, Switch};
use zone::Zone;

/// A host to make.
#[derive(Clone, Debug)]
pub struct HostPlan {
    /// A short name, unique in the world.
    pub name: String,
    /// Where it stands; decides which instance of an anycast address it sees.
    pub region: String,
    /// Its addresses. It sends from the first of each family.
    pub addresses: Vec<IpAddr>,
}

/// A rule of the network, by the names of hosts.
#[derive(Clone, Debug, Default)]
pub struct RulePlan {
    /// The host that it applies to, or all.
    pub from: Option<String>,
    /// The rule; its `from` is filled in.
    pub rule: Rule,
}

/// A world to make.
#[derive(Clone, Debug, Default)]
pub struct Blueprint {
    /// The hosts.
    pub hosts: Vec<HostPlan>,
    /// The servers on them. Resolvers are started last.
    pub servers: Vec<ServerPlan>,
    /// What the network does to packets besides carrying them.
    pub rules: Vec<RulePlan>,
}

impl Blueprint {
    /// Adds a host.
    pub fn host(&mut self, name: &str, region: &str, addresses: &[IpAddr]) -> &mut Self {
        self.hosts.push(HostPlan {
            name: name.to_owned(),
            region: region.to_owned(),
            addresses: addresses.to_vec(),
        });
        self
    }
}

/// How the network of a world behaves.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Delay of each host's link in either direction. A round trip between two
    /// hosts passes four links.
    pub delay: Duration,
    /// Share of packets that each host's link loses in either direction.
    pub loss: f64,
    /// Seed for what is lost.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            loss: 0.0,
            seed: 1,
        }
    }
}

/// Says why a world cannot be made here, if so.
///
/// # Errors
///
/// Returns the first thing that is missing.
pub fn available() -> Result<(), String> {
    if !nix::unistd::geteuid().is_root() {
        return Err("not root: namespaces and TUN devices need it".to_owned());
    }
    if fs::metadata("/dev/net/tun").is_err() {
        return Err("no /dev/net/tun".to_owned());
    }
    let programs = [
        "ip",
        "nsd",
        "knotd",
        "named",
        "unbound",
        "kresd",
        "pdns_recursor",
        "ldns-keygen",
        "ldns-signzone",
        "ldns-key2ds",
    ];
    for program in programs {
        if server::find_program(program).is_none() {
            return Err(format!("program {program} is missing"));
        }
    }
    Ok(())
}

/// Says whether a test that needs a world can run, and prints why if not. On CI
/// (`CI=true`) nothing may be missing.
///
/// # Panics
///
/// Panics on CI if something is missing.
pub fn can_run(test: &str) -> bool {
    let Err(reason) = available() else {
        return true;
    };
    let on_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!on_ci, "{test} must run on CI: {reason}");
    eprintln!("skipped: {test}: {reason}");
    false
}

/// A running world; everything in it ends when it is dropped.
#[derive(Debug)]
pub struct Internet {
    // In the order in which they must end.
    servers: Vec<Server>,
    switch: Switch,
    namespaces: Vec<Namespace>,
    hosts: Vec<HostPlan>,
    folder: TempDir,
}

impl Internet {
    /// Brings up the standard world.
    ///
    /// # Errors
    ///
    /// As [`Internet::start`].
    pub fn standard(options: Options) -> Result<Self> {
        let folder = temporary_folder()?;
        let blueprint = standard::blueprint(folder.path(), standard::Size::Full)?;
        Self::start_in(blueprint, options, folder)
    }

    /// Brings up a world and waits until all its servers answer.
    ///
    /// # Errors
    ///
    /// Fails without root, if a program is missing, or with the log of a server
    /// that does not come up.
    pub fn start(blueprint: Blueprint, options: Options) -> Result<Self> {
        Self::start_in(blueprint, options, temporary_folder()?)
    }

    fn start_in(blueprint: Blueprint, options: Options, folder: TempDir) -> Result<Self> {
        namespace::remove_stale();
        static WORLDS: AtomicUsize = AtomicUsize::new(0);
        let world = WORLDS.fetch_add(1, Ordering::Relaxed);
        fs::write(folder.path().join("resolv.conf"), "nameserver 8.8.8.8\n")?;
        let mut namespaces = Vec::new();
        let mut links = Vec::new();
        for host in &blueprint.hosts {
            let namespace = Namespace::create(world, &host.name)?;
            let device = namespace
                .connect(&host.addresses)
                .with_context(|| host.name.clone())?;
            namespaces.push(namespace);
            let link = Link {
                addresses: host.addresses.clone(),
                region: host.region.clone(),
                delay: Duration::ZERO,
                loss: 0.0,
            };
            links.push((device, link));
        }
        let mut internet = Self {
            servers: Vec::new(),
            switch: Switch::start(links, options.seed),
            namespaces,
            hosts: blueprint.hosts,
            folder,
        };
        // Servers come up on a perfect network, resolvers when there is
        // something to resolve.
        let (resolvers, authoritative): (Vec<_>, Vec<_>) = blueprint
            .servers
            .into_iter()
            .partition(|plan| matches!(plan.service, Service::Resolver { .. }));
        internet.start_servers(authoritative)?;
        internet.start_servers(resolvers)?;
        for plan in blueprint.rules {
            internet.add_rule(plan)?;
        }
        internet.set_network(options.delay, options.loss);
        internet.reset_counts();
        Ok(internet)
    }

    fn start_servers(&mut self, plans: Vec<ServerPlan>) -> Result<()> {
        let first = self.servers.len();
        for plan in plans {
            let namespace = self.namespace(&plan.host)?;
            let server = Server::start(plan, namespace, self.folder.path())?;
            self.servers.push(server);
        }
        for server in &mut self.servers[first..] {
            let host = position(&self.hosts, &server.plan().host)?;
            server.wait_until_ready(&self.namespaces[host])?;
        }
        Ok(())
    }

    /// Sets the delay and loss of every host's link.
    pub fn set_network(&self, delay: Duration, loss: f64) {
        for link in &mut self.switch.fabric().links {
            link.delay = delay;
            link.loss = loss;
        }
    }

    /// Sets the delay and loss of one host's link.
    ///
    /// # Errors
    ///
    /// Fails if there is no such host.
    pub fn set_link(&self, host: &str, delay: Duration, loss: f64) -> Result<()> {
        let host = self.index(host)?;
        let link = &mut self.switch.fabric().links[host];
        link.delay = delay;
        link.loss = loss;
        Ok(())
    }

    /// Adds a rule of the network.
    ///
    /// # Errors
    ///
    /// Fails if there is no such host.
    pub fn add_rule(&self, plan: RulePlan) -> Result<()> {
        let mut rule = plan.rule;
        if let Some(host) = plan.from {
            rule.from = Some(self.index(&host)?);
        }
        self.switch.fabric().rules.push(rule);
        Ok(())
    }

    /// Removes all rules of the network.
    pub fn clear_rules(&self) {
        self.switch.fabric().rules.clear();
    }

    /// Returns what a host sent since the start or the last reset.
    ///
    /// # Errors
    ///
    /// Fails if there is no such host.
    pub fn counts(&self, host: &str) -> Result<Counts> {
        let host = self.index(host)?;
        Ok(self.switch.fabric().counts(host))
    }

    /// Forgets what one host sent.
    ///
    /// # Errors
    ///
    /// Fails if there is no such host.
    pub fn reset_counts_of(&self, host: &str) -> Result<()> {
        let host = self.index(host)?;
        self.switch.fabric().reset_counts_of(host);
        Ok(())
    }

    /// Forgets what all hosts sent.
    pub fn reset_counts(&self) {
        self.switch.fabric().reset_counts();
    }

    /// Returns the place of a host, for [`Rule`].
    ///
    /// # Errors
    ///
    /// Fails if there is no such host.
    pub fn index(&self, host: &str) -> Result<HostIndex> {
        position(&self.hosts, host)
    }

    /// Returns the hosts.
    pub fn hosts(&self) -> &[HostPlan] {
        &self.hosts
    }

    /// Returns the name of a host's namespace, as `ip netns` knows it.
    ///
    /// # Errors
    ///
    /// Fails if there is no such host.
    pub fn namespace_name(&self, host: &str) -> Result<&str> {
        Ok(self.namespace(host)?.name())
    }

    /// Returns a folder that lives as long as the world.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    fn namespace(&self, host: &str) -> Result<&Namespace> {
        Ok(&self.namespaces[self.index(host)?])
    }

    /// Runs `work` on a thread inside a host and waits for it.
    ///
    /// # Errors
    ///
    /// Fails if there is no such host or `work` panics.
    pub fn enter<T: Send>(&self, host: &str, work: impl FnOnce() -> T + Send) -> Result<T> {
        self.namespace(host)?.enter(work)
    }

    /// Starts a thread inside a host, for servers written in Rust: each socket
    /// that the thread opens is there. Threads that it starts are there, too.
    ///
    /// # Errors
    ///
    /// Fails if there is no such host.
    pub fn spawn_in<T: Send + 'static>(
        &self,
        host: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<Result<T>>> {
        self.namespace(host)?.spawn(work)
    }

    /// Runs a program inside a host, for at most two minutes, and returns what
    /// it printed.
    ///
    /// # Errors
    ///
    /// Fails if the program cannot be started or takes longer.
    pub fn run(&self, host: &str, command: &mut Command) -> Result<Output> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = self.start_program(host, command)?;
        output_within(child, Duration::from_secs(120))
            .with_context(|| command.get_program().to_string_lossy().into_owned())
    }

    /// Runs a program inside a host with this process's terminal.
    ///
    /// # Errors
    ///
    /// Fails if the program cannot be started.
    pub fn run_attached(&self, host: &str, command: &mut Command) -> Result<ExitStatus> {
        Ok(self.start_program(host, command)?.wait()?)
    }

    /// Starts a program inside a host. The caller waits for it.
    ///
    /// # Errors
    ///
    /// Fails if the program cannot be started.
    pub fn start_program(&self, host: &str, command: &mut Command) -> Result<Child> {
        let resolver = self.folder.path().join("resolv.conf");
        self.namespace(host)?.start_program(command, &resolver)
    }

    /// Loads a new version of a zone at a server.
    ///
    /// # Errors
    ///
    /// Fails if there is no such server or it has ended.
    pub fn reload(&self, server: &str, zone: &Zone) -> Result<()> {
        self.server(server)?.reload(zone)
    }

    /// Ends a server for good; its addresses then refuse (ICMP, RST).
    ///
    /// # Errors
    ///
    /// Fails if there is no such server.
    pub fn stop_server(&mut self, server: &str) -> Result<()> {
        let place = self
            .servers
            .iter()
            .position(|running| running.plan().name == server)
            .with_context(|| format!("no server {server}"))?;
        self.servers.remove(place).stop()
    }

    /// Returns a running server.
    ///
    /// # Errors
    ///
    /// Fails if there is none of that name.
    pub fn server(&self, name: &str) -> Result<&Server> {
        self.servers
            .iter()
            .find(|server| server.plan().name == name)
            .with_context(|| format!("no server {name}"))
    }
}

fn position(hosts: &[HostPlan], name: &str) -> Result<HostIndex> {
    hosts
        .iter()
        .position(|host| host.name == name)
        .with_context(|| format!("no host {name}"))
}

/// Collects what a program prints until it ends; kills it after `limit`.
fn output_within(mut child: Child, limit: Duration) -> Result<Output> {
    let reader = |stream: Option<Box<dyn Read + Send>>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut stream) = stream {
                // What could be read until an error is still worth showing.
                let _ = stream.read_to_end(&mut bytes);
            }
            bytes
        })
    };
    let stdout = reader(child.stdout.take().map(|stream| Box::new(stream) as _));
    let stderr = reader(child.stderr.take().map(|stream| Box::new(stream) as _));
    let deadline = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            bail!("no end after {} s", limit.as_secs());
        }
        thread::sleep(Duration::from_millis(2));
    };
    Ok(Output {
        status,
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
    })
}
