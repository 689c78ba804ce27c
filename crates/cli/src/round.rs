//! `bailiwick check --coordinator`: one round of a fleet, followed to its verdict.

use std::time::{Duration, Instant};

use anyhow::{Error, anyhow};
use bailiwick_core::check::CheckId;
use bailiwick_host::{FAILURE, Usage};
use bailiwick_render::fleet::{
    live::{Board, line},
    short,
};
use bailiwick_rpc::operator::{self as pb, check_event::Kind};
use bailiwick_transport::PORT;
use bailiwick_wire::{evidence, report};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tonic::Streaming;

use crate::{
    args::{Arguments, Check},
    check::{Shown, format, page, questions},
    emit,
    fleet::{Client, ask, in_time, refused, talk, told},
    live::Screen,
    replay,
    setup::Setup,
};

/// How long a coordinator may need beyond the end of a round.
const GRACE: Duration = Duration::from_secs(30);
/// How often the terminal is drawn at most.
const FRAME: Duration = Duration::from_millis(100);

pub(crate) fn run(arguments: &Arguments, wanted: &Check) -> Result<u8, Error> {
    let shown = Shown::of(wanted);
    let format = format(arguments, shown)?;
    if !wanted.common.bind.is_empty() {
        let way = "--bind is for checks from this machine: agents have their own settings";
        return Err(Usage(way.to_owned()).into());
    }
    let setup = Setup::new(wanted.zone.clone(), &wanted.common)?;
    let style = arguments.style();
    let request = pb::CreateCheckRequest {
        check: Some(report::to_check(&setup.check)),
        labels: wanted.who.from.clone(),
        agents: wanted.who.agents.unwrap_or(0),
        view: Some(pb::View {
            format: format.to_owned(),
            color: style.color,
            full: shown.full,
            raw: shown.raw,
            width: u32::try_from(style.width).unwrap_or(0),
        }),
    };
    let port = wanted.common.port.unwrap_or(PORT);
    let mut follower = Follower::new(arguments.verbose);
    let ended = talk(arguments, async |mut client| {
        let events = ask(client.create_check(request)).await?;
        let ended = follower.follow(events).await?;
        let mut text = ended.shown.clone();
        if shown.dig {
            text.push_str(&lines_of_dig(&mut client, follower.check, port).await?);
        }
        Ok((ended, text))
    });
    // Whatever goes wrong, also an interrupt, what was seen is told.
    let (ended, text) = ended.map_err(|error| follower.broken_off(error))?;
    follower.screen.clear();
    emit(&text)?;
    Ok(u8::try_from(ended.exit_code).unwrap_or(FAILURE))
}

/// The lines that repeat each question, from the evidence.
async fn lines_of_dig(
    client: &mut Client,
    check: Option<CheckId>,
    port: u16,
) -> Result<String, Error> {
    let Some(check) = check else {
        return Ok(String::new());
    };
    let request = pb::GetEvidenceRequest {
        check: check.0.to_be_bytes().to_vec().into(),
    };
    let mut stream = ask(client.get_evidence(request)).await?;
    let mut parts = Vec::new();
    while let Some(part) = in_time(stream.message()).await? {
        parts.push(part);
        if parts.len() > evidence::MAX_REPORTS + 1 {
            break;
        }
    }
    let saved = evidence::read(&parts)?;
    if saved.reports.is_empty() {
        return Ok(String::new());
    }
    let (verdict, reports) = replay::judged(&saved)?;
    Ok(questions(&page(&verdict, &reports, port)))
}

/// Follows a check, for whoever sits before the terminal.
struct Follower {
    board: Board,
    screen: Screen,
    /// Lines for a log.
    verbose: bool,
    check: Option<CheckId>,
}

impl Follower {
    fn new(verbose: u8) -> Self {
        Self {
            board: Board::default(),
            screen: Screen::of_terminal(verbose),
            verbose: verbose > 0,
            check: None,
        }
    }

    async fn follow(
        &mut self,
        mut events: Streaming<pb::CheckEvent>,
    ) -> Result<pb::CheckEnded, Error> {
        let mut frames = interval(FRAME);
        frames.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut until = Instant::now() + GRACE;
        let mut changed = false;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let event = tokio::select! {
                event = timeout(left, events.message()) => event,
                _ = frames.tick(), if changed => {
                    self.screen.draw(&self.board);
                    changed = false;
                    continue;
                }
            };
            let event = event
                .map_err(|_| anyhow!("the coordinator says nothing, and the round is over"))?
                .map_err(|status| refused(&status))?
                .ok_or_else(|| anyhow!("the coordinator went away before its verdict"))?;
            match event.kind {
                Some(Kind::Started(started)) => {
                    let open = u64::try_from(started.deadline_ns).unwrap_or(0);
                    until = Instant::now() + Duration::from_nanos(open) + GRACE;
                    self.begin(started)?;
                }
                Some(Kind::Vantage(row)) => self.learn(row),
                Some(Kind::Ended(ended)) => return Ok(ended),
                // Of a later version.
                None => {}
            }
            changed = true;
        }
    }

    fn begin(&mut self, started: pb::CheckStarted) -> Result<(), Error> {
        let check = told::check_id(&started.check).map_err(told::not_understood)?;
        self.check = Some(check);
        if self.verbose {
            eprintln!(
                "check {} of {} vantage points",
                short(check),
                started.vantages.len()
            );
            for line in &started.left_out {
                eprintln!("left out: {}", bailiwick_render::names::clean(line));
            }
        }
        let rows = started.vantages.into_iter().map(told::row);
        self.board.begin(rows, started.left_out);
        Ok(())
    }

    fn learn(&mut self, row: pb::VantageRow) {
        let row = told::row(row);
        if self.verbose {
            eprintln!("{}", line(&row));
        }
        self.board.learn(row);
    }

    /// Leaves on standard error what was seen, and says how to go on.
    fn broken_off(&mut self, error: Error) -> Error {
        self.screen.clear();
        let Some(check) = self.check else {
            return error;
        };
        for line in self.board.all(80) {
            eprintln!("{line}");
        }
        error.context(format!(
            "check {} was not followed to its end; if the coordinator lives it goes on there: \
             bailiwick history",
            short(check)
        ))
    }
}
