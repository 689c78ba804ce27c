//! Real DNS servers from Debian: their settings, their start and their end.
//!
//! Each runs in the foreground with settings written for it alone, in a folder
//! of its own; nothing is read from `/etc`. To add a kind of server, add a
//! [`Software`] and its `settings` function.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::ask;
use super::namespace::Namespace;
use super::zone::Zone;

/// How long a server may take until it answers.
const START: Duration = Duration::from_secs(20);

/// The program that serves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Software {
    /// NSD, authoritative.
    Nsd,
    /// Knot DNS, authoritative.
    Knot,
    /// BIND, authoritative or resolver.
    Bind,
    /// Unbound, resolver.
    Unbound,
    /// Knot Resolver.
    KnotResolver,
    /// PowerDNS Recursor.
    Recursor,
}

impl Software {
    /// The program's file name.
    pub fn program(self) -> &'static str {
        match self {
            Self::Nsd => "nsd",
            Self::Knot => "knotd",
            Self::Bind => "named",
            Self::Unbound => "unbound",
            Self::KnotResolver => "kresd",
            Self::Recursor => "pdns_recursor",
        }
    }
}

/// What a server serves.
#[derive(Clone, Debug)]
pub enum Service {
    /// These zones, with authority.
    Zones(Vec<Zone>),
    /// Recursion for everybody, validated.
    Resolver {
        /// The root hints, as a zone file.
        hints: String,
        /// The DS record of the root's key.
        trust_anchor: String,
    },
}

/// A server to start.
#[derive(Clone, Debug)]
pub struct ServerPlan {
    /// The host it runs on.
    pub host: String,
    /// A name for it, unique in the world; also its NSID and `id.server`.
    pub name: String,
    /// The program.
    pub software: Software,
    /// The addresses it listens on, all owned by the host.
    pub addresses: Vec<IpAddr>,
    /// What it serves.
    pub service: Service,
}

/// A running server, killed when dropped.
#[derive(Debug)]
pub struct Server {
    plan: ServerPlan,
    folder: PathBuf,
    child: Child,
}

impl Server {
    /// Starts a server in its namespace, without waiting until it answers.
    ///
    /// # Errors
    ///
    /// Fails if the settings cannot be written or the program not started.
    pub fn start(plan: ServerPlan, namespace: &Namespace, folder: &Path) -> Result<Self> {
        let folder = folder.join(&plan.name);
        fs::create_dir_all(&folder)?;
        if let Service::Zones(zones) = &plan.service {
            for zone in zones {
                fs::write(zone_file(&folder, &zone.name), &zone.text)?;
            }
        }
        let program = unconfined(plan.software.program(), &folder)?;
        let arguments = settings(&plan, &folder)?;
        let log = File::create(folder.join("log"))?;
        let errors = log.try_clone()?;
        let child = namespace.enter(|| {
            Command::new(&program)
                .args(&arguments)
                .current_dir(&folder)
                .stdin(Stdio::null())
                .stdout(log)
                .stderr(errors)
                .spawn()
        })?;
        let child = child.with_context(|| program.display().to_string())?;
        Ok(Self {
            plan,
            folder,
            child,
        })
    }

    /// Waits until the server answers for all it serves, in each family.
    ///
    /// # Errors
    ///
    /// Fails with the end of its log if it does not, or has ended.
    pub fn wait_until_ready(&mut self, namespace: &Namespace) -> Result<()> {
        let addresses = self.one_address_per_family();
        let questions: Vec<(IpAddr, String)> = match &self.plan.service {
            Service::Zones(zones) => addresses
                .iter()
                .flat_map(|address| zones.iter().map(|zone| (*address, zone.name.clone())))
                .collect(),
            Service::Resolver { .. } => addresses
                .iter()
                .map(|address| (*address, ".".to_owned()))
                .collect(),
        };
        let resolver = matches!(self.plan.service, Service::Resolver { .. });
        let deadline = Instant::now() + START;
        for (address, name) in questions {
            loop {
                if let Some(status) = self.child.try_wait()? {
                    bail!("{} ended with {status}:\n{}", self.plan.name, self.log());
                }
                let answer = namespace.enter(|| ask::soa(address, &name, resolver))?;
                let ready = answer.as_ref().is_ok_and(|answer| {
                    answer.rcode == 0 && answer.answers > 0 && (resolver || answer.authoritative)
                });
                if ready {
                    break;
                }
                if Instant::now() > deadline {
                    bail!(
                        "{} does not answer for {name} at {address} ({answer:?}):\n{}",
                        self.plan.name,
                        self.log()
                    );
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    /// Returns what the server was started with.
    pub fn plan(&self) -> &ServerPlan {
        &self.plan
    }

    /// Loads a new version of a zone; authoritative servers only.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be written or the server has ended.
    pub fn reload(&self, zone: &Zone) -> Result<()> {
        fs::write(zone_file(&self.folder, &zone.name), &zone.text)?;
        kill(pid(&self.child), Signal::SIGHUP)?;
        Ok(())
    }

    /// Asks the server to end and waits for it.
    ///
    /// # Errors
    ///
    /// Fails if it has ended before.
    pub fn stop(mut self) -> Result<()> {
        kill(pid(&self.child), Signal::SIGTERM)?;
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.child.try_wait()?.is_none() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Returns the last lines that the server logged.
    pub fn log(&self) -> String {
        let log = fs::read(self.folder.join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    fn one_address_per_family(&self) -> Vec<IpAddr> {
        let addresses = &self.plan.addresses;
        let v4 = addresses.iter().find(|address| address.is_ipv4());
        let v6 = addresses.iter().find(|address| address.is_ipv6());
        v4.into_iter().chain(v6).copied().collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The helpers that some servers fork end with their namespace.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// Returns the program to run. Where AppArmor confines servers to the folders
/// of their package, a copy elsewhere is free of it.
fn unconfined(program: &str, folder: &Path) -> Result<PathBuf> {
    let installed = find_program(program).with_context(|| format!("{program} is missing"))?;
    let confined = fs::read_to_string("/sys/module/apparmor/parameters/enabled")
        .is_ok_and(|enabled| enabled.starts_with('Y'));
    if !confined {
        return Ok(installed);
    }
    let copy = folder.join(program);
    fs::copy(installed, &copy)?;
    Ok(copy)
}

/// Returns where a program is installed.
pub fn find_program(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

fn zone_file(folder: &Path, zone: &str) -> PathBuf {
    let name = zone.trim_end_matches('.');
    folder.join(format!(
        "{}.zone",
        if name.is_empty() { "root" } else { name }
    ))
}

/// Writes the settings and returns the arguments.
fn settings(plan: &ServerPlan, folder: &Path) -> Result<Vec<String>> {
    let file = folder.join("settings");
    let path = file.display().to_string();
    let (text, arguments) = match (plan.software, &plan.service) {
        (Software::Nsd, Service::Zones(zones)) => (
            nsd(plan, zones, folder),
            vec!["-d".into(), "-c".into(), path],
        ),
        (Software::Knot, Service::Zones(zones)) => {
            (knot(plan, zones, folder), vec!["-c".into(), path])
        }
        (Software::Bind, service) => (
            bind(plan, service, folder)?,
            vec!["-f".into(), "-c".into(), path, "-n".into(), "1".into()],
        ),
        (
            Software::Unbound,
            Service::Resolver {
                hints,
                trust_anchor,
            },
        ) => (
            unbound(plan, hints, trust_anchor, folder)?,
            vec!["-d".into(), "-c".into(), path],
        ),
        (
            Software::KnotResolver,
            Service::Resolver {
                hints,
                trust_anchor,
            },
        ) => (
            knot_resolver(plan, hints, trust_anchor, folder)?,
            vec!["-n".into(), "-c".into(), path, folder.display().to_string()],
        ),
        (
            Software::Recursor,
            Service::Resolver {
                hints,
                trust_anchor,
            },
        ) => {
            let file = folder.join("recursor.conf");
            fs::write(&file, recursor(plan, hints, trust_anchor, folder)?)?;
            let arguments = vec![format!("--config-dir={}", folder.display())];
            return Ok(arguments);
        }
        (software, _) => bail!("{software:?} cannot serve what {} shall", plan.name),
    };
    fs::write(file, text)?;
    Ok(arguments)
}

fn nsd(plan: &ServerPlan, zones: &[Zone], folder: &Path) -> String {
    let folder = folder.display();
    let mut text = format!(
        "server:\n\
         username: \"\"\nchroot: \"\"\nzonesdir: \"{folder}\"\ndatabase: \"\"\n\
         pidfile: \"{folder}/pid\"\nxfrdfile: \"{folder}/xfrd\"\n\
         zonelistfile: \"{folder}/zonelist\"\nxfrdir: \"{folder}\"\n\
         server-count: 1\nidentity: \"{name}\"\nnsid: \"ascii_{name}\"\n\
         rrl-ratelimit: 0\nrrl-whitelist-ratelimit: 0\nverbosity: 1\n",
        name = plan.name,
    );
    for address in &plan.addresses {
        let _ = writeln!(text, "ip-address: {address}");
    }
    text += "remote-control:\ncontrol-enable: no\n";
    for zone in zones {
        let _ = write!(
            text,
            "zone:\nname: \"{}\"\nzonefile: \"{}\"\n",
            zone.name,
            zone_file(Path::new(""), &zone.name).display()
        );
    }
    text
}

fn knot(plan: &ServerPlan, zones: &[Zone], folder: &Path) -> String {
    let folder = folder.display();
    let mut text = format!(
        "server:\n  rundir: \"{folder}\"\n  identity: \"{name}\"\n  nsid: \"{name}\"\n\
         \x20 udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n",
        name = plan.name,
    );
    for address in &plan.addresses {
        let _ = writeln!(text, "  listen: {address}@53");
    }
    let _ = write!(
        text,
        "log:\n  - target: stderr\n    any: info\n\
         database:\n  storage: \"{folder}/database\"\n\
         template:\n  - id: default\n    storage: \"{folder}\"\n    semantic-checks: off\n\
         \x20   zonefile-sync: -1\n    journal-content: none\n\
         zone:\n"
    );
    for zone in zones {
        let _ = write!(
            text,
            "  - domain: \"{}\"\n    file: \"{}\"\n",
            zone.name,
            zone_file(Path::new(""), &zone.name).display()
        );
    }
    text
}

fn bind(plan: &ServerPlan, service: &Service, folder: &Path) -> Result<String> {
    let listen = |v4: bool| -> String {
        let of_family = plan
            .addresses
            .iter()
            .filter(|address| address.is_ipv4() == v4);
        of_family.map(|address| format!("{address}; ")).collect()
    };
    let mut text = format!(
        "options {{\n\
         directory \"{folder}\"; pid-file \"{folder}/pid\"; session-keyfile none;\n\
         lock-file none; server-id \"{name}\"; notify no; check-integrity no;\n\
         listen-on {{ {v4} }}; listen-on-v6 {{ {v6} }}; allow-transfer {{ none; }};\n",
        folder = folder.display(),
        name = plan.name,
        v4 = listen(true),
        v6 = listen(false),
    );
    match service {
        Service::Zones(zones) => {
            text += "recursion no; dnssec-validation no;\n};\ncontrols { };\n";
            for zone in zones {
                let _ = writeln!(
                    text,
                    "zone \"{}\" {{ type primary; file \"{}\"; check-names ignore; }};",
                    zone.name,
                    zone_file(Path::new(""), &zone.name).display()
                );
            }
        }
        Service::Resolver {
            hints,
            trust_anchor,
        } => {
            fs::write(folder.join("hints"), hints)?;
            let _ = write!(
                text,
                "recursion yes; allow-recursion {{ any; }}; allow-query-cache {{ any; }};\n\
                 dnssec-validation yes; empty-zones-enable no;\n}};\ncontrols {{ }};\n\
                 trust-anchors {{ . static-ds {}; }};\n\
                 zone \".\" {{ type hint; file \"hints\"; }};\n",
                bind_anchor(trust_anchor)?
            );
        }
    }
    Ok(text)
}

/// Returns the fields of a DS record as BIND wants them: the digest quoted.
fn bind_anchor(ds: &str) -> Result<String> {
    let (_, fields) = ds.split_once("DS").context("not a DS record")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let (numbers, digest) = fields.split_at_checked(3).context("not a DS record")?;
    Ok(format!("{} \"{}\"", numbers.join(" "), digest.concat()))
}

fn unbound(plan: &ServerPlan, hints: &str, anchor: &str, folder: &Path) -> Result<String> {
    fs::write(folder.join("hints"), hints)?;
    let folder = folder.display();
    let mut text = format!(
        "server:\n\
         username: \"\"\nchroot: \"\"\ndirectory: \"{folder}\"\npidfile: \"{folder}/pid\"\n\
         use-syslog: no\nlogfile: \"\"\nverbosity: 1\nnum-threads: 1\ndo-daemonize: no\n\
         root-hints: \"{folder}/hints\"\ntrust-anchor: \"{anchor}\"\n\
         access-control: 0.0.0.0/0 allow\naccess-control: ::/0 allow\n\
         identity: \"{name}\"\nnsid: \"ascii_{name}\"\nede: yes\n\
         local-data: 'o-o.myaddr.l.google.com. 60 IN TXT \"{first}\"'\n\
         local-zone: \"invalid.\" nodefault\n",
        name = plan.name,
        first = plan
            .addresses
            .first()
            .context("a resolver without address")?,
    );
    for address in &plan.addresses {
        let _ = writeln!(text, "interface: {address}\noutgoing-interface: {address}");
    }
    text += "remote-control:\ncontrol-enable: no\n";
    Ok(text)
}

fn knot_resolver(plan: &ServerPlan, hints: &str, anchor: &str, folder: &Path) -> Result<String> {
    fs::write(folder.join("hints"), hints)?;
    fs::write(folder.join("anchor"), format!("{anchor}\n"))?;
    let folder = folder.display();
    let mut text = String::new();
    for address in &plan.addresses {
        let _ = writeln!(text, "net.listen('{address}', 53, {{ kind = 'dns' }})");
    }
    let _ = write!(
        text,
        "modules = {{ 'hints > iterate', 'nsid' }}\n\
         nsid.name('{name}')\n\
         hints.root_file('{folder}/hints')\n\
         trust_anchors.add_file('{folder}/anchor', true)\n\
         cache.open(16 * MB, 'lmdb://{folder}/cache')\n",
        name = plan.name,
    );
    Ok(text)
}

fn recursor(plan: &ServerPlan, hints: &str, anchor: &str, folder: &Path) -> Result<String> {
    fs::write(folder.join("hints"), hints)?;
    let (_, ds) = anchor.split_once("DS").context("not a DS record")?;
    fs::write(
        folder.join("anchor.lua"),
        format!("clearTA('.')\naddTA('.', \"{}\")\n", ds.trim()),
    )?;
    let addresses: Vec<String> = plan.addresses.iter().map(ToString::to_string).collect();
    let sources = addresses.join(", ");
    let folder = folder.display();
    Ok(format!(
        "local-address={sources}\nquery-local-address={sources}\n\
         allow-from=0.0.0.0/0, ::/0\ndont-query=\nhint-file={folder}/hints\n\
         lua-config-file={folder}/anchor.lua\ndnssec=validate\nserver-id={name}\n\
         socket-dir={folder}\ndaemon=no\ndisable-syslog=yes\nloglevel=4\nquiet=yes\n\
         setuid=\nsetgid=\nthreads=1\npdns-distributes-queries=no\n\
         security-poll-suffix=\nextended-resolution-errors=yes\n",
        name = plan.name,
    ))
}
