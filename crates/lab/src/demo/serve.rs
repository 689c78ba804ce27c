//! The simulated internet alone, for whoever wants to try commands on it.

use std::{fs, path::Path};

use super::DemoError;
use crate::{loopback::Loopback, scenario::Scenario};

const INTERNET: &str = include_str!("internet.txt");

/// What there is to check, and what is the matter with it.
const ZONES: [(&str, &str); 7] = [
    ("example.test", "in order"),
    (
        "elsewhere.test",
        "in order, with name servers below another registry",
    ),
    ("dead.test", "nobody answers at one of two addresses"),
    ("lame.test", "one of two servers refuses"),
    ("missing.test", "the registry has no glue"),
    ("stale.test", "the glue of one server is its old address"),
    (
        "moving.test",
        "one of two registry servers has the new glue",
    ),
];

/// A running internet. It ends when this is dropped.
#[derive(Debug)]
pub struct Serving {
    servers: Loopback,
    hints: String,
}

/// Starts the internet and writes its root hints into a file.
///
/// Without a port, one is chosen.
///
/// # Errors
///
/// Returns [`DemoError`] if a server cannot be started or the file cannot be written.
pub async fn serve(port: Option<u16>, hints: &Path) -> Result<Serving, DemoError> {
    let world = Scenario::parse(INTERNET)?.world;
    fs::write(hints, world.hints_text())?;
    Ok(Serving {
        servers: Loopback::start(world, port).await?,
        hints: hints.display().to_string(),
    })
}

impl Serving {
    /// Returns the port of all servers.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.servers.port()
    }

    /// Returns what to tell the user: hints, port, zones, and commands to try.
    #[must_use]
    pub fn instructions(&self) -> String {
        let port = self.port();
        let options = format!(
            "--root-hints {} --port {port} --allow-special-use \
             --resolver one=127.53.0.81 --resolver two=127.53.0.82",
            self.hints
        );
        let mut text = format!(
            "A simulated internet is running on 127.53.0.0/24.\n\n\
             hints file  {}\n\
             port        {port}\n\
             resolvers   127.53.0.81, 127.53.0.82\n\
             zones\n",
            self.hints
        );
        for (zone, about) in ZONES {
            text.push_str(&format!("  {zone:<16}{about}\n"));
        }
        text.push_str(&format!(
            "\nTry:\n  \
             bailiwick check example.test {options}\n  \
             bailiwick check moving.test {options} --expect ns1.moving.test=127.53.0.31\n  \
             bailiwick trace www.example.test A --root-hints {} --port {port} --allow-special-use\n  \
             dig @127.53.0.11 -p {port} +norecurse missing.test NS\n",
            self.hints
        ));
        text
    }

    /// Ends the servers and waits until their sockets are closed.
    pub async fn stop(self) {
        self.servers.stop().await;
    }
}
