//! Zones: their text, and their signatures by ldns.
//!
//! A zone is written as a zone file in a Rust string. A [`Key`] signs it with
//! ECDSA P-256, one key for the whole zone, and gives the DS record that belongs
//! into the parent zone; so children come first.

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// A zone as one server loads it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Zone {
    /// The apex, absolute and in lower case.
    pub name: String,
    /// The zone file.
    pub text: String,
}

impl Zone {
    /// Returns a zone with this SOA serial and this text; `$TTL` is one hour
    /// and `$ORIGIN` the apex, unless the text says otherwise. The SOA record
    /// is added.
    pub fn new(name: &str, serial: u32, text: &str) -> Self {
        let apex = if name == "." { "" } else { name };
        Self {
            name: name.to_owned(),
            text: format!(
                "$ORIGIN {name}\n$TTL 3600\n\
                 @ SOA primary.{apex} hostmaster.{apex} {serial} 7200 3600 1209600 900\n\
                 {text}\n"
            ),
        }
    }

    /// Adds lines to the zone file.
    pub fn add(&mut self, lines: &str) {
        self.text.push_str(lines);
        self.text.push('\n');
    }
}

/// Writes the address records of a name.
pub fn address_records(name: &str, addresses: &[IpAddr]) -> String {
    let mut text = String::new();
    for address in addresses {
        let kind = if address.is_ipv4() { "A" } else { "AAAA" };
        let _ = writeln!(text, "{name} {kind} {address}");
    }
    text
}

/// How a signed zone proves that a name does not exist.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Denial {
    /// NSEC.
    Nsec,
    /// NSEC3 with opt-out, as in large TLDs.
    Nsec3OptOut,
}

/// A signing key in a folder.
#[derive(Clone, Debug)]
pub struct Key {
    zone: String,
    folder: PathBuf,
    stem: String,
}

impl Key {
    /// Makes a key for a zone.
    ///
    /// # Errors
    ///
    /// Fails if `ldns-keygen` does.
    pub fn generate(folder: &Path, zone: &str) -> Result<Self> {
        let stem = run(Command::new("ldns-keygen")
            .args(["-a", "ECDSAP256SHA256", "-k", zone])
            .current_dir(folder))?;
        Ok(Self {
            zone: zone.to_owned(),
            folder: folder.to_owned(),
            stem: stem.trim().to_owned(),
        })
    }

    /// Returns the DS record (SHA-256) for the parent zone.
    ///
    /// # Errors
    ///
    /// Fails if `ldns-key2ds` does.
    pub fn ds(&self) -> Result<String> {
        let record = run(Command::new("ldns-key2ds")
            .args(["-n", "-2", &format!("{}.key", self.stem)])
            .current_dir(&self.folder))?;
        Ok(record.trim().to_owned())
    }

    /// Signs a zone for four weeks from now.
    ///
    /// # Errors
    ///
    /// Fails if `ldns-signzone` does, for instance on a text it cannot read.
    pub fn sign(&self, zone: &Zone, denial: Denial) -> Result<Zone> {
        let plain = self.folder.join(format!("{}.plain", self.stem));
        let signed = self.folder.join(format!("{}.signed", self.stem));
        fs::write(&plain, &zone.text)?;
        let mut command = Command::new("ldns-signzone");
        if denial == Denial::Nsec3OptOut {
            command.args(["-n", "-p", "-t", "0"]);
        }
        command
            .args(["-o", &self.zone, "-f"])
            .args([&signed, &plain])
            .arg(&self.stem)
            .current_dir(&self.folder);
        run(&mut command).with_context(|| zone.name.clone())?;
        Ok(Zone {
            name: zone.name.clone(),
            text: fs::read_to_string(signed)?,
        })
    }
}

fn run(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| command.get_program().to_string_lossy().into_owned())?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}
