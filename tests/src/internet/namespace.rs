//! Network namespaces: one for each simulated host.
//!
//! A namespace belongs to the thread that entered it, and to what that thread
//! starts. So no process needs code between fork and exec: [`Namespace::enter`]
//! runs a closure on a thread of its own inside, and a program started there
//! lives there.
//!
//! Names are `bailiwick-<process>-<world>-<host>`. When a process died without its
//! clean-up, the next one recognises the name by the process that is gone, and
//! removes what is left ([`remove_stale`]).

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::tun::Tun;

const FOLDER: &str = "/run/netns";
const PREFIX: &str = "bailiwick-";
const DEVICE: &str = "world";

/// A network namespace, removed with all its processes when dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes the namespace of a host, with no device but `lo`. The number of the
    /// world tells apart those of one process.
    ///
    /// # Errors
    ///
    /// Fails without the rights of root, or if the name is taken.
    pub fn create(world: usize, host: &str) -> Result<Self> {
        let name = format!("{PREFIX}{}-{world}-{host}", std::process::id());
        ip(&["netns", "add", &name], "")?;
        Ok(Self { name })
    }

    /// Returns the name, as `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn path(&self) -> PathBuf {
        Path::new(FOLDER).join(&self.name)
    }

    /// Runs `work` on a thread inside the namespace and waits for it.
    ///
    /// # Errors
    ///
    /// Fails if the namespace cannot be entered or `work` panics.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let namespace = File::open(self.path())?;
        thread::scope(|scope| {
            let inside = scope.spawn(move || {
                setns(&namespace, CloneFlags::CLONE_NEWNET)?;
                Ok(work())
            });
            inside
                .join()
                .unwrap_or_else(|_| bail!("work inside {} panicked", self.name))
        })
    }

    /// Starts a program inside the namespace, for which `resolver` stands in
    /// `/etc/resolv.conf`, if that file exists: a program that asks the system's
    /// resolver shall not depend on this machine's.
    ///
    /// # Errors
    ///
    /// Fails if the program cannot be started.
    pub fn start_program(&self, command: &mut Command, resolver: &Path) -> Result<Child> {
        let program = command.get_program().to_string_lossy().into_owned();
        self.enter(|| -> Result<Child> {
            let settings = Path::new("/etc/resolv.conf");
            if settings.exists() {
                // A mount namespace for this thread and what it starts.
                unshare(CloneFlags::CLONE_NEWNS)?;
                let nothing = None::<&str>;
                let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
                mount(nothing, "/", nothing, private, nothing)?;
                mount(Some(resolver), settings, nothing, MsFlags::MS_BIND, nothing)?;
            }
            Ok(command.spawn()?)
        })?
        .context(program)
    }

    /// Starts a thread inside the namespace: each socket it opens is there.
    ///
    /// # Errors
    ///
    /// Fails if the namespace cannot be opened.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<thread::JoinHandle<Result<T>>> {
        let namespace = File::open(self.path())?;
        Ok(thread::spawn(move || {
            setns(&namespace, CloneFlags::CLONE_NEWNET)?;
            Ok(work())
        }))
    }

    /// Gives the host its addresses and a TUN device that everything goes to.
    ///
    /// # Errors
    ///
    /// Fails if the kernel refuses the device or an address.
    pub fn connect(&self, addresses: &[IpAddr]) -> Result<Tun> {
        let device = self.enter(|| -> Result<Tun> {
            // No duplicate address detection and no router solicitation: they
            // delay the start and are packets that nobody sent on purpose.
            for setting in [
                "accept_dad",
                "accept_ra",
                "router_solicitations",
                "addr_gen_mode",
            ] {
                let value = if setting == "addr_gen_mode" { "1" } else { "0" };
                for scope in ["all", "default"] {
                    let file = format!("/proc/sys/net/ipv6/conf/{scope}/{setting}");
                    fs::write(&file, value).with_context(|| file.clone())?;
                }
            }
            Ok(Tun::create(DEVICE)?)
        })??;
        let mut batch = format!(
            "link set lo up\n\
             link set {DEVICE} txqueuelen 10000\n\
             link set {DEVICE} up\n"
        );
        for address in addresses {
            match address {
                IpAddr::V4(v4) => batch += &format!("addr add {v4}/32 dev {DEVICE}\n"),
                IpAddr::V6(v6) => batch += &format!("addr add {v6}/128 dev {DEVICE} nodad\n"),
            }
        }
        // The first address of each family is the one that programs send from.
        for (everything, first) in [
            (
                "0.0.0.0/0",
                addresses.iter().find(|address| address.is_ipv4()),
            ),
            ("::/0", addresses.iter().find(|address| address.is_ipv6())),
        ] {
            if let Some(source) = first {
                batch += &format!("route add {everything} dev {DEVICE} src {source}\n");
            }
        }
        ip(&["-n", &self.name, "-batch", "-"], &batch)?;
        Ok(device)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Makes a folder for temporary files that [`remove_stale`] knows, too.
///
/// # Errors
///
/// Fails if the folder cannot be made.
pub(super) fn temporary_folder() -> Result<TempDir> {
    let prefix = format!("{PREFIX}{}-", std::process::id());
    Ok(tempfile::Builder::new().prefix(&prefix).tempdir()?)
}

/// Removes the namespaces and folders of processes that are gone.
pub(super) fn remove_stale() {
    for name in stale_in(Path::new(FOLDER)) {
        remove(&name);
    }
    let folders = std::env::temp_dir();
    for name in stale_in(&folders) {
        if let Err(error) = fs::remove_dir_all(folders.join(&name)) {
            eprintln!("folder {name} is left behind: {error}");
        }
    }
}

/// Lists what processes that are gone have left in a folder; nothing if there is
/// no such folder.
fn stale_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return vec![];
    };
    let names = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    let is_stale = |name: &String| {
        let owner = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        owner
            .and_then(|process| process.parse::<u32>().ok())
            .is_some_and(|process| !Path::new(&format!("/proc/{process}")).exists())
    };
    names.filter(is_stale).collect()
}

/// Ends the processes inside a namespace and removes it. Everything inside was
/// started by its owner, so nothing else can be hit.
fn remove(name: &str) {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        let processes = processes_in(&Path::new(FOLDER).join(name));
        if processes.is_empty() || Instant::now() > deadline {
            break;
        }
        for process in processes {
            // A process that ended meanwhile is what is wanted.
            let _ = kill(process, Signal::SIGKILL);
        }
        thread::sleep(Duration::from_millis(10));
    }
    if let Err(error) = ip(&["netns", "del", name], "") {
        eprintln!("namespace {name} is left behind: {error:#}");
    }
}

/// Lists the processes whose main thread is in the namespace, without this one
/// and without those that only wait to be collected by their parent.
fn processes_in(namespace: &Path) -> BTreeSet<Pid> {
    let Ok(inside) = fs::metadata(namespace) else {
        return BTreeSet::new();
    };
    let Ok(entries) = fs::read_dir("/proc") else {
        return BTreeSet::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|process| *process != std::process::id().cast_signed())
        .filter(|process| {
            fs::metadata(format!("/proc/{process}/ns/net"))
                .is_ok_and(|theirs| theirs.ino() == inside.ino() && theirs.dev() == inside.dev())
        })
        .map(Pid::from_raw)
        .collect()
}

/// Runs `ip` with these arguments and this standard input.
fn ip(arguments: &[&str], input: &str) -> Result<()> {
    let mut child = Command::new("ip")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("ip")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!(
            "ip {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
