//! What `bailiwick demo` shows: a glue change, seen by real checks over real sockets.
//!
//! The world is that of `story.txt`. Acts replace it by the next one: first the registry has the
//! old address, then one of its servers the new one, then the next, instance by instance. A
//! coordinator lets its agents, one for each vantage point, check the zone every few seconds, and
//! what they see together is judged as always. Nothing leaves the loopback.
//!
//! [`serve`] only runs the world of `internet.txt`, to try commands on it.

use std::{
    io::{self, Write},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bailiwick_core::check::{Check, CheckId};
use tokio::time::{Instant, sleep_until};

use crate::{
    loopback::{Loopback, LoopbackError},
    scenario::{Scenario, ScenarioError},
    world::Vantage,
};

mod fleet;
mod screen;
mod serve;

pub use serve::{Serving, serve};

use fleet::Fleet;
use screen::Screen;

/// How the demo is shown.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Whether the output is a terminal on which lines can be replaced.
    pub in_place: bool,
    /// Whether to use colours.
    pub color: bool,
    /// The most columns of a line.
    pub width: usize,
    /// How long an act takes. There are four of them.
    pub act: Duration,
    /// How long from one check to the next.
    pub interval: Duration,
}

impl Default for Settings {
    /// Plain lines, half a minute.
    fn default() -> Self {
        Self {
            in_place: false,
            color: false,
            width: 80,
            act: Duration::from_secs(8),
            // As often as an agent's limits for one network allow (B12): it is a small Internet.
            interval: Duration::from_secs(4),
        }
    }
}

/// Why the demo cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The servers cannot be started.
    #[error(transparent)]
    Loopback(#[from] LoopbackError),
    /// The world cannot be read.
    #[error("the world of the demo is broken at {0}")]
    Scenario(#[from] ScenarioError),
    /// The coordinator or an agent cannot work.
    #[error("cannot run the fleet: {0}")]
    Fleet(String),
    /// The output cannot be written.
    #[error("cannot write")]
    Output(#[from] io::Error),
}

const STORY: &str = include_str!("story.txt");
const OLD: &str = "127.53.0.21";
const NEW: &str = "127.53.0.31";

/// What the registry has done so far, and what is told about it.
struct Act {
    /// Which of the registry's three instances publish the new address.
    published: [bool; 3],
    told: &'static str,
}

const ACTS: [Act; 4] = [
    Act {
        published: [false, false, false],
        told: "ns1.example.test. moves from 127.53.0.21 to 127.53.0.31. The zone says so already; \
               the new address was handed in at the registrar a moment ago.",
    },
    Act {
        published: [true, false, false],
        told: "The registry publishes: a.gtld.test. has the new glue.",
    },
    Act {
        published: [true, true, false],
        told: "b.gtld.test. follows in Europe. Its American instance, at the same address, does not yet.",
    },
    Act {
        published: [true, true, true],
        told: "The American instance has it, too.",
    },
];

const ENDED: &str = "\
What you saw: real checks over UDP and TCP from four agents at once, merged by their coordinator, \
of a change that reached the servers of the parent zone one by one. No single server and no single \
vantage point could have told: dig asks one server, and a stale anycast instance answers its own \
region only. The verdict counts what each instance publishes, and is CONSISTENT only when all \
agree with what was expected.";
const NEXT: &str = "\
Next: `bailiwick demo --serve` runs such an internet to try commands on; `bailiwick check ZONE` \
checks a zone of yours; `bailiwick explain glue-differs-from-expected` tells what a finding means.";

/// Plays the demo. Takes about four acts' time, and needs a tokio runtime with I/O and time. What
/// coordinator and agents keep is in the folder, which is the caller's to remove.
///
/// # Errors
///
/// Returns [`DemoError`] if the servers cannot be started or the output cannot be written.
pub async fn demo(
    settings: &Settings,
    folder: &Path,
    out: &mut (dyn Write + Send),
) -> Result<(), DemoError> {
    let began = unix_time();
    let mut screen = Screen::new(settings, out);
    let first = scenario(&ACTS[0], began)?.world;
    let servers = Loopback::start(first.clone(), None).await?;
    screen.tell(&format!(
        "A simulated internet is running on 127.53.0.0/24, port {}.",
        servers.port()
    ))?;
    let fleet = Fleet::start(folder, &first.vantages, servers.port()).await?;
    screen.tell(&format!(
        "A coordinator is running, and {} agents have joined it: {}. They speak gRPC over mutually \
         authenticated TLS.",
        first.vantages.len(),
        names(&first.vantages),
    ))?;
    let start = Instant::now();
    for act in &ACTS {
        screen.tell(act.told)?;
        let scene = scenario(act, began)?;
        servers.replace(scene.world.clone());
        let end = Instant::now() + settings.act;
        loop {
            let next = Instant::now() + settings.interval;
            if let Some(verdict) = fleet.check(&check(&scene)).await? {
                screen.show(start.elapsed(), &verdict)?;
            }
            if next >= end {
                sleep_until(end).await;
                break;
            }
            sleep_until(next).await;
        }
    }
    fleet.stop().await;
    servers.stop().await;
    screen.tell(ENDED)?;
    screen.tell(NEXT)?;
    Ok(())
}

/// Returns the world of an act. Serials are times, as with large registries: an instance that has
/// published carries the moment of its act, one that has not is half an hour behind.
fn scenario(act: &Act, began: u64) -> Result<Scenario, ScenarioError> {
    let mut text = STORY.to_owned();
    for (instance, published) in ["A", "B", "C"].into_iter().zip(act.published) {
        let (address, serial) = if published {
            (NEW, began)
        } else {
            (OLD, began.saturating_sub(1_800))
        };
        text = text
            .replace(&format!("ADDRESS-{instance}"), address)
            .replace(&format!("SERIAL-{instance}"), &format!("serial {serial}"));
    }
    Scenario::parse(&text)
}

fn names(vantages: &[Vantage]) -> String {
    let names: Vec<_> = vantages.iter().map(|v| v.name.as_str()).collect();
    names.join(", ")
}

fn unix_time() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Returns the check of an act, for agents that look at a loopback.
fn check(scene: &Scenario) -> Check {
    Check {
        id: CheckId(rand::random()),
        nonce: rand::random(),
        // Beside a loopback there is no hole: whatever is asked elsewhere would leave it.
        blackholes: Vec::new(),
        lab: true,
        ..scene.check.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn played(settings: &Settings) -> String {
        let mut out = Vec::new();
        let folder = tempfile::tempdir().unwrap();
        demo(settings, folder.path(), &mut out).await.unwrap();
        String::from_utf8(out).unwrap()
    }

    #[tokio::test]
    async fn the_change_goes_from_instance_to_instance() {
        let shown = played(&Settings {
            act: Duration::from_millis(10),
            interval: Duration::from_millis(10),
            ..Settings::default()
        })
        .await;
        let at = |text: &str| {
            shown
                .find(text)
                .unwrap_or_else(|| panic!("{text} is missing in:\n{shown}"))
        };
        let story = [
            at("NOT_PUBLISHED 0/"),
            at("PUBLISHING 1/"),
            at("PUBLISHING 2/"),
            at("CONSISTENT 3/3"),
            at("What you saw"),
        ];
        assert!(story.is_sorted(), "{shown}");
        assert!(!shown.contains('\x1b'), "plain where it is no terminal");
    }

    #[tokio::test]
    async fn a_terminal_shows_the_table_in_place() {
        let shown = played(&Settings {
            in_place: true,
            color: true,
            act: Duration::from_millis(300),
            interval: Duration::from_millis(10),
            ..Settings::default()
        })
        .await;
        assert!(shown.contains("\x1b[11F\x1b[J"), "{shown}");
    }
}
