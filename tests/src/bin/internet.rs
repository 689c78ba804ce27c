//! Brings up the standard Internet of namespaces, to try things in it.
//!
//! With a command, runs that command at the vantage point and ends with its exit
//! code. Without one, prints what there is and waits for the end of standard
//! input or Ctrl-C.

use std::io::Read;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bailiwick_tests::internet::standard::{self, Size};
use bailiwick_tests::internet::{Internet, Options, available};
use clap::Parser;
use nix::sys::signal::{SigSet, Signal};

/// An Internet of network namespaces with real DNS servers. Needs root.
#[derive(Debug, Parser)]
#[command(after_help = "Example: internet --delay 20ms -- dig +norecurse @198.41.0.4 com NS")]
struct Arguments {
    /// Delay of each host's link in either direction, such as 20ms; a round trip
    /// passes four links.
    #[arg(long, default_value = "0ms", value_parser = duration)]
    delay: Duration,
    /// Share of packets that each link loses, 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    loss: f64,
    /// Seed for what is lost.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only the root, .com, two healthy domains and one resolver.
    #[arg(long)]
    minimal: bool,
    /// The host to run the command on.
    #[arg(long, default_value = "vantage-eu")]
    at: String,
    /// The command.
    #[arg(last = true)]
    command: Vec<String>,
}

fn duration(text: &str) -> Result<Duration> {
    let (number, unit) = text.split_at(text.trim_end_matches(char::is_alphabetic).len());
    let number: u64 = number.parse().context("not a number of ms or s")?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        _ => bail!("the unit is ms or s"),
    }
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Err(reason) = available() {
        bail!("no Internet of namespaces here: {reason}");
    }
    // Blocked before any thread starts, so that only the wait below sees them.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block()?;

    let started = Instant::now();
    let options = Options {
        delay: arguments.delay,
        loss: arguments.loss,
        seed: arguments.seed,
    };
    let size = if arguments.minimal {
        Size::Minimal
    } else {
        Size::Full
    };
    let keys = tempfile::tempdir()?;
    let internet = Internet::start(standard::blueprint(keys.path(), size)?, options)?;
    eprintln!("up after {} ms", started.elapsed().as_millis());

    let code = match arguments.command.split_first() {
        Some((program, rest)) => {
            let status = internet.run_attached(&arguments.at, Command::new(program).args(rest))?;
            u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)
        }
        None => {
            describe(&internet)?;
            wait_for_the_end(signals)?;
            0
        }
    };
    let counts = internet.counts(&arguments.at)?;
    eprintln!(
        "{} sent {} packets: {} datagrams, {} connections, {} to nobody",
        arguments.at,
        counts.packets(),
        counts.udp().values().sum::<u64>(),
        counts.tcp().values().sum::<u64>(),
        counts.to_nobody().values().sum::<u64>(),
    );
    Ok(ExitCode::from(code))
}

fn describe(internet: &Internet) -> Result<()> {
    for host in internet.hosts() {
        println!(
            "{:<34} {} addresses, such as {}",
            internet.namespace_name(&host.name)?,
            host.addresses.len(),
            host.addresses.first().context("a host has an address")?
        );
    }
    let vantage = internet.namespace_name("vantage-eu")?;
    println!("try: ip netns exec {vantage} dig @8.8.8.8 www.healthy.com");
    Ok(())
}

/// Waits until standard input ends or a signal asks to stop.
fn wait_for_the_end(signals: SigSet) -> Result<()> {
    let (tell, told) = std::sync::mpsc::channel();
    let from_input = tell.clone();
    thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = from_input.send(());
    });
    thread::spawn(move || {
        let _ = signals.wait();
        let _ = tell.send(());
    });
    told.recv()?;
    Ok(())
}
