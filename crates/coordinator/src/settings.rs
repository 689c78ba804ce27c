//! The settings file of a coordinator.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use bailiwick_host::Usage;
use bailiwick_rpc::HostPort;
use bailiwick_store::Location;
use serde::Deserialize;

use crate::{Config, Habits, KEEP, LocalRights, SHORTEST, args::Init};

/// The file in the coordinator's folder.
pub const FILE: &str = "coordinator.toml";
/// The version of the file that this program reads and writes.
const VERSION: u32 = 1;

const DAY: Duration = Duration::from_hours(24);

/// What is in the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    agents: SocketAddr,
    operators: Option<SocketAddr>,
    socket: Option<PathBuf>,
    group: Option<String>,
    #[serde(default)]
    public: Vec<String>,
    store: Option<String>,
    networks: Option<PathBuf>,
    #[serde(default)]
    lab: bool,
    keep_days: Option<u32>,
}

/// Settings as they are used.
#[derive(Debug)]
pub struct Settings {
    /// Where to listen, and what to go by.
    pub config: Config,
    /// Where the store is.
    pub store: Location,
    /// How long reports are kept, and by what they are judged.
    pub habits: Habits,
}

/// Reads the settings of a folder.
///
/// # Errors
///
/// Names the file, the place and the way out.
pub fn load(folder: &Path) -> Result<Settings, anyhow::Error> {
    let path = folder.join(FILE);
    let text = fs::read_to_string(&path).map_err(|error| {
        Usage(format!(
            "cannot read {}: {error}; `bailiwick-coordinator init` makes it",
            path.display()
        ))
    })?;
    let about = |why: String| Usage(format!("{}: {why}", path.display()));
    let file: File = toml::from_str(&text).map_err(|error| about(error.to_string()))?;
    if file.version != VERSION {
        let why = format!("version {} is not known, only {VERSION}", file.version);
        return Err(about(why).into());
    }
    let public = file.public.iter().map(|host| host.parse::<HostPort>());
    let public: Result<_, _> = public.collect();
    let networks = match &file.networks {
        None => crate::Networks::default(),
        Some(path) => {
            let path = folder.join(path);
            let text = fs::read_to_string(&path);
            let text = text.map_err(|error| Usage(format!("{}: {error}", path.display())))?;
            text.parse()
                .map_err(|error| Usage(format!("{}: {error}", path.display())))?
        }
    };
    let keep = file.keep_days.map_or(KEEP, |days| DAY * days);
    if keep < SHORTEST {
        let least = SHORTEST.as_secs() / DAY.as_secs();
        let why = format!("keep_days: reports are kept for at least {least} days");
        return Err(about(why).into());
    }
    let socket = file.socket.unwrap_or_else(bailiwick_host::paths::socket);
    Ok(Settings {
        config: Config {
            agents: file.agents,
            operators: file.operators,
            socket: Some(folder.join(socket)),
            local: LocalRights {
                group: file.group.as_deref().map(group).transpose()?,
                ..LocalRights::of_this_user()
            },
            public: public.map_err(|error| about(error.to_string()))?,
            networks,
            lab: file.lab,
        },
        store: match file.store {
            None => Location::Sqlite(folder.join("store.db")),
            Some(text) => match text.parse().map_err(|e| about(format!("store: {e}")))? {
                Location::Sqlite(path) => Location::Sqlite(folder.join(path)),
                Location::Memory => Location::Memory,
            },
        },
        habits: Habits {
            keep,
            ..Habits::default()
        },
    })
}

fn group(name: &str) -> Result<u32, anyhow::Error> {
    let group = nix::unistd::Group::from_name(name).context("cannot look up groups")?;
    let group = group.ok_or_else(|| Usage(format!("there is no group {name:?}")))?;
    Ok(group.gid.as_raw())
}

/// Writes the settings of a new coordinator.
#[must_use]
pub fn text(init: &Init) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let optional = |key: &str, value: Option<String>| match value {
        Some(value) => format!("{key} = {}\n", quoted(&value)),
        None => String::new(),
    };
    let public: Vec<_> = init.public.iter().map(|h| quoted(&h.to_string())).collect();
    [
        "# Settings of bailiwick-coordinator; `serve --check-config` says whether they are right.\n"
            .to_owned(),
        format!("version = {VERSION}\n"),
        "\n# Where it listens for agents, and where these find it.\n".to_owned(),
        format!("agents = {}\n", quoted(&init.agents.to_string())),
        format!("public = [{}]\n", public.join(", ")),
        "\n# For operators: those of this machine, and those from elsewhere.\n".to_owned(),
        optional("socket", init.socket.as_ref().map(|p| p.display().to_string())),
        optional("group", init.group.clone()),
        optional("operators", init.operators.map(|address| address.to_string())),
        "\n# Whether the agents look at a laboratory, and not at the Internet.\n".to_owned(),
        format!("lab = {}\n", init.lab),
        "\n# store = \"sqlite:store.db\"\n".to_owned(),
        "# How long reports are kept, in days. Verdicts are kept for ever.\n".to_owned(),
        format!("# keep_days = {}\n\n", KEEP.as_secs() / DAY.as_secs()),
        "# Which network an address belongs to: lines such as `192.0.2.0/24 64500 ripe`.\n"
            .to_owned(),
        "# networks = \"networks.txt\"\n".to_owned(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Arguments, Command};

    fn init(words: &[&str]) -> Init {
        let line = ["bailiwick-coordinator", "init"];
        let arguments = Arguments::try_parse_from(line.iter().chain(words)).unwrap();
        let Command::Init(init) = arguments.command else {
            panic!("another command");
        };
        init
    }

    #[test]
    fn what_init_writes_is_what_serve_reads() {
        let folder = tempfile::tempdir().unwrap();
        let words = [
            "--public",
            "coordinator.example.org:8443",
            "--public",
            "[2001:db8::1]:8443",
            "--agents",
            "127.0.0.1:0",
            "--operators",
            "127.0.0.1:8444",
            "--socket",
            "/tmp/a \"b\".sock",
            "--lab",
        ];
        fs::write(folder.path().join(FILE), text(&init(&words))).unwrap();
        let read = load(folder.path()).unwrap();
        assert_eq!(read.config.public.len(), 2);
        assert_eq!(read.config.agents.port(), 0);
        assert_eq!(read.config.operators.unwrap().port(), 8444);
        assert_eq!(read.config.socket.unwrap(), Path::new("/tmp/a \"b\".sock"));
        assert!(read.config.lab);
        assert_eq!(read.store, Location::Sqlite(folder.path().join("store.db")));
        assert_eq!(read.habits.keep, KEEP);
        let own = text(&init(&[])).replace("# keep_days = 90", "keep_days = 30");
        fs::write(folder.path().join(FILE), own).unwrap();
        assert_eq!(load(folder.path()).unwrap().habits.keep, DAY * 30);
    }

    #[test]
    fn what_is_wrong_in_the_file_is_told_with_the_file() {
        let good = text(&init(&[]));
        let cases = [
            (good.replace("lab", "lob"), "lob"),
            (good.replace("version = 1", "version = 2"), "version 2"),
            (good.replace("[::]:8443", "nowhere"), "agents"),
            (format!("{good}store = \"mysql:x\"\n"), "mysql"),
            (format!("{good}keep_days = 7\n"), "at least 8 days"),
            (
                format!("{good}group = \"no such group\"\n"),
                "no such group",
            ),
        ];
        for (text, expected) in cases {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(FILE), &text).unwrap();
            let error = load(folder.path()).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(bailiwick_host::exit_code(&error), bailiwick_host::USAGE);
        }
        let nothing = tempfile::tempdir().unwrap();
        let error = load(nothing.path()).unwrap_err();
        assert!(error.to_string().contains("init"), "{error}");
    }
}
