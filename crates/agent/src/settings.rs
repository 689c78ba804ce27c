//! What the owner of the machine decides, and no coordinator.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use bailiwick_core::server::Family;
use bailiwick_host::Usage;
use bailiwick_rpc::FileError;
use bailiwick_transport::PORT;
use toml::{Table, Value};

use crate::{backoff::Retry, clock::Clock, folder};

/// The largest settings file that is read, in octets.
const LARGEST: u64 = 64 * 1024;
/// A spool holds a few segments of at least one report each.
const SMALLEST_SPOOL: u64 = 8 << 20;

/// How an agent works.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it keeps what must outlive it.
    pub folder: PathBuf,
    /// Addresses to measure from, one a family; a family without one lets the routes decide.
    pub bind: Vec<IpAddr>,
    /// Whether addresses that are not globally reachable may be asked: a laboratory.
    pub allow_special_use: bool,
    /// The port of all DNS servers: 53, another only in a laboratory.
    pub port: u16,
    /// The families that may be used.
    pub families: BTreeSet<Family>,
    /// How much reports may take that are not acknowledged.
    pub spool: bailiwick_spool::Settings,
    /// How long reports of standing checks may wait for others to go with them.
    pub flush: Duration,
    /// When to call the coordinator again.
    pub retry: Retry,
    /// What this machine says the time is.
    pub clock: Clock,
}

/// Every key of the file, with what it is to be.
const KEYS: [(&str, &str); 7] = [
    ("version", "1"),
    (
        "bind",
        "a list of addresses, such as [\"192.0.2.7\", \"2001:db8::7\"]",
    ),
    ("allow_special_use", "true or false"),
    ("port", "a number from 1 to 65535"),
    ("families", "a list of \"v4\" and \"v6\""),
    ("spool", "a size of at least 8MiB, such as \"256MiB\""),
    ("flush", "a time of at most 1 minute, such as \"1s\""),
];

impl Settings {
    /// The defaults.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            bind: Vec::new(),
            allow_special_use: false,
            port: PORT,
            families: Family::ALL.into(),
            spool: bailiwick_spool::Settings::default(),
            flush: Duration::from_secs(1),
            retry: Retry::default(),
            clock: Clock::default(),
        }
    }

    /// Reads `agent.toml` in the folder; without one, these are the defaults.
    ///
    /// # Errors
    ///
    /// Returns a [`Usage`] that says which key is wrong and what it should be.
    pub fn load(folder: PathBuf) -> Result<Self, anyhow::Error> {
        let path = folder.join(folder::SETTINGS);
        let mut settings = Self::new(folder);
        if let Some(octets) = folder::read(&path, LARGEST)? {
            String::from_utf8(octets)
                .map_err(|_| "not in UTF-8".to_owned())
                .and_then(|text| settings.read(&text))
                .map_err(|why| Usage(format!("{}: {why}", path.display())))?;
        }
        Ok(settings)
    }

    fn read(&mut self, text: &str) -> Result<(), String> {
        let table: Table = text
            .parse()
            .map_err(|error: toml::de::Error| error.to_string())?;
        match table.get("version") {
            Some(Value::Integer(1)) => {}
            Some(other) => {
                return Err(format!(
                    "version = {other}: this program knows version 1; use a newer one"
                ));
            }
            None => return Err("write version = 1 in the first line".to_owned()),
        }
        for (key, value) in &table {
            let Some((_, wanted)) = KEYS.iter().find(|(known, _)| known == key) else {
                return Err(unknown(key));
            };
            self.set(key, value)
                .ok_or_else(|| format!("{key} = {value}: write {wanted}"))?;
        }
        self.consistent()
    }

    fn set(&mut self, key: &str, value: &Value) -> Option<()> {
        match key {
            "bind" => self.bind = list(value, |text| text.parse().ok())?,
            "allow_special_use" => self.allow_special_use = value.as_bool()?,
            "port" => {
                let port = value.as_integer()?.try_into().ok();
                self.port = port.filter(|port| *port != 0)?;
            }
            "families" => {
                let families = list(value, |text| match text {
                    "v4" => Some(Family::V4),
                    "v6" => Some(Family::V6),
                    _ => None,
                })?;
                self.families = families.into_iter().collect();
                (!self.families.is_empty()).then_some(())?;
            }
            "spool" => {
                self.spool.cap = size(value.as_str()?).filter(|size| *size >= SMALLEST_SPOOL)?;
            }
            "flush" => {
                let most = Duration::from_secs(60);
                self.flush = duration(value.as_str()?).filter(|flush| *flush <= most)?;
            }
            _ => {}
        }
        Some(())
    }

    /// What goes together and what does not.
    ///
    /// # Errors
    ///
    /// Returns what is wrong.
    fn consistent(&self) -> Result<(), String> {
        if self.port != PORT && !self.allow_special_use {
            return Err(format!(
                "port = {} is for laboratories only: DNS servers listen on {PORT}; leave it out, or \
                 write allow_special_use = true as well",
                self.port
            ));
        }
        for family in Family::ALL {
            if self
                .bind
                .iter()
                .filter(|a| Family::of(**a) == family)
                .count()
                > 1
            {
                return Err("bind: one address a family is enough".to_owned());
            }
        }
        Ok(())
    }
}

/// What may be said when joining, to be kept in `agent.toml`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Said {
    /// See [`Settings::allow_special_use`].
    pub allow_special_use: bool,
    /// See [`Settings::port`].
    pub port: Option<u16>,
    /// See [`Settings::bind`].
    pub bind: Vec<IpAddr>,
}

impl Said {
    /// Writes `agent.toml`. A file that is there is never changed: it is people's.
    ///
    /// # Errors
    ///
    /// Returns a [`Usage`] if the file is there and says something else, or if this goes not
    /// together.
    pub fn write(&self, folder: &Path) -> Result<(), anyhow::Error> {
        let path = folder.join(folder::SETTINGS);
        if *self == Self::default() {
            return Ok(());
        }
        let text = self.to_file();
        let mut wanted = Settings::new(folder.to_owned());
        wanted.read(&text).map_err(|why| {
            Usage(why.replace("write allow_special_use = true", "say --allow-special-use"))
        })?;
        if !path.exists() {
            return Ok(write(&path, &text)?);
        }
        let there = Settings::load(folder.to_owned())?;
        let same = there.allow_special_use == wanted.allow_special_use
            && there.port == wanted.port
            && there.bind == wanted.bind;
        if same {
            return Ok(());
        }
        Err(Usage(format!(
            "{} is there already and says something else: change it by hand, or leave out \
             --allow-special-use, --port and --bind",
            path.display()
        ))
        .into())
    }

    fn to_file(&self) -> String {
        let mut text = "version = 1\n".to_owned();
        if !self.bind.is_empty() {
            let listed: Vec<_> = self.bind.iter().map(|a| format!("\"{a}\"")).collect();
            text += &format!("bind = [{}]\n", listed.join(", "));
        }
        if self.allow_special_use {
            text += "# A laboratory: addresses that are not globally reachable may be asked.\n";
            text += "allow_special_use = true\n";
        }
        if let Some(port) = self.port {
            text += &format!("port = {port}\n");
        }
        text
    }
}

fn write(path: &Path, text: &str) -> Result<(), FileError> {
    folder::write(path, text.as_bytes())
}

fn unknown(key: &str) -> String {
    let nearest = KEYS
        .iter()
        .map(|(known, _)| (strsim::damerau_levenshtein(key, known), *known))
        .min()
        .filter(|(distance, known)| *distance <= known.len().div_ceil(2));
    match nearest {
        Some((_, known)) => format!("there is no setting {key}; did you mean {known}?"),
        None => {
            let known: Vec<&str> = KEYS.iter().map(|(known, _)| *known).collect();
            format!("there is no setting {key}; there are {}", known.join(", "))
        }
    }
}

fn list<T>(value: &Value, read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    value
        .as_array()?
        .iter()
        .map(|item| item.as_str().and_then(&read))
        .collect()
}

/// Reads a number with its unit.
fn with_unit<T>(text: &str, units: &[(&str, T)]) -> Option<(u64, T)>
where
    T: Copy,
{
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let (_, unit) = units.iter().find(|(known, _)| *known == unit.trim())?;
    Some((number.parse().ok()?, *unit))
}

fn duration(text: &str) -> Option<Duration> {
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("min", 60_000)];
    let (number, unit) = with_unit(text, &units)?;
    number.checked_mul(unit).map(Duration::from_millis)
}

fn size(text: &str) -> Option<u64> {
    let (number, unit) = with_unit(
        text,
        &[("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)],
    )?;
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        let mut settings = Settings::new(PathBuf::from("/nowhere"));
        settings.read(text).map(|()| settings)
    }

    #[test]
    fn a_file_is_read_key_by_key() {
        let settings = read(
            "version = 1\nbind = [\"127.0.0.5\", \"::1\"]\nallow_special_use = true\n\
             port = 5300\nfamilies = [\"v4\"]\nspool = \"64 MiB\"\nflush = \"200ms\"\n",
        );
        let settings = settings.unwrap();
        assert_eq!(settings.bind.len(), 2);
        assert!(settings.allow_special_use);
        assert_eq!(settings.port, 5300);
        assert_eq!(settings.families, [Family::V4].into());
        assert_eq!(settings.spool.cap, 64 << 20);
        assert_eq!(settings.flush, Duration::from_millis(200));
        assert_eq!(read("version = 1").unwrap().port, PORT);
    }

    #[test]
    fn the_sample_has_every_key_and_says_what_goes_without_saying() {
        let sample = include_str!("../../../deploy/agent.toml");
        let read = read(sample).unwrap();
        let default = Settings::new(PathBuf::from("/nowhere"));
        assert_eq!(read.bind, default.bind);
        assert_eq!(read.families, default.families);
        assert_eq!(read.spool, default.spool);
        assert_eq!(read.flush, default.flush);
        assert!(!read.allow_special_use);
        for (key, _) in KEYS {
            let there = sample.lines().any(|line| {
                line.trim_start_matches("# ")
                    .starts_with(&format!("{key} ="))
            });
            assert!(there, "{key}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_the_way_out() {
        let cases = [
            ("", "write version = 1"),
            ("version = 2", "use a newer one"),
            ("version = 1\nbnid = []", "did you mean bind?"),
            (
                "version = 1\nallow_special = true",
                "did you mean allow_special_use?",
            ),
            ("version = 1\ncolour = \"red\"", "there are version, bind"),
            ("version = 1\nbind = \"192.0.2.1\"", "a list of addresses"),
            (
                "version = 1\nbind = [\"192.0.2.1\", \"192.0.2.2\"]",
                "one address a family",
            ),
            ("version = 1\nport = 5300", "for laboratories only"),
            ("version = 1\nport = 0", "a number from 1"),
            ("version = 1\nfamilies = []", "\"v4\" and \"v6\""),
            ("version = 1\nflush = 1", "such as \"1s\""),
            ("version = 1\nflush = \"1h\"", "such as \"1s\""),
            ("version = 1\nspool = \"1MiB\"", "at least 8MiB"),
            (
                "version = 1\nspool = \"99999999999999GiB\"",
                "at least 8MiB",
            ),
            ("version = ", "TOML"),
        ];
        for (text, wanted) in cases {
            let error = read(text).unwrap_err();
            assert!(error.contains(wanted), "{text:?}: {error}");
        }
    }

    #[test]
    fn what_was_said_when_joining_is_kept_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let said = Said {
            allow_special_use: true,
            port: Some(5300),
            bind: vec!["127.0.0.5".parse().unwrap()],
        };
        Said::default().write(folder.path()).unwrap();
        assert!(!folder.path().join(folder::SETTINGS).exists());
        said.write(folder.path()).unwrap();
        let read = Settings::load(folder.path().to_owned()).unwrap();
        assert_eq!((read.port, read.bind), (5300, said.bind.clone()));
        said.write(folder.path()).unwrap();
        let other = Said {
            port: Some(5301),
            ..said
        };
        let error = other.write(folder.path()).unwrap_err().to_string();
        assert!(error.contains("change it by hand"), "{error}");
        let alone = Said {
            port: Some(5301),
            ..Said::default()
        };
        let error = alone.write(folder.path()).unwrap_err().to_string();
        assert!(error.contains("say --allow-special-use"), "{error}");
    }
}
