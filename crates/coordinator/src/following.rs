//! Somebody who follows a round: what each vantage point does, and in the end the verdict.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bailiwick_core::{place::Place, vantage::VantageId};
use bailiwick_rpc::operator::{self, check_event};
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::{
    Shared,
    choosing::Chosen,
    rounds::{Ended, Event, GRACE, Round},
};

/// Events that wait for a watcher.
const WAITING: usize = 64;
/// Octets of what a vantage point says that it does.
const LINE: usize = 1024;

type Out = Pin<Box<dyn tokio_stream::Stream<Item = Result<operator::CheckEvent, Status>> + Send>>;

impl Shared {
    /// Tells a watcher everything until the verdict.
    pub(crate) fn follow(
        self: &Arc<Self>,
        round: &Arc<Round>,
        events: broadcast::Receiver<Event>,
        chosen: Chosen,
        view: operator::View,
    ) -> Out {
        let (to, from) = mpsc::channel(WAITING);
        let mut watcher = Watcher {
            events,
            rows: rows(&chosen),
            began: Instant::now(),
            view,
        };
        let started = operator::CheckStarted {
            check: round.check.id.0.to_be_bytes().to_vec().into(),
            vantages: watcher.rows.values().cloned().collect(),
            left_out: chosen.left_out,
            deadline_ns: nanoseconds(round.check.timeout + GRACE),
        };
        tokio::spawn(async move {
            if to
                .send(Ok(event(check_event::Kind::Started(started))))
                .await
                .is_ok()
            {
                watcher.tell(&to).await;
            }
        });
        Box::pin(ReceiverStream::new(from))
    }
}

fn rows(chosen: &Chosen) -> BTreeMap<VantageId, operator::VantageRow> {
    let row = |(name, place): (&VantageId, &Place)| {
        let row = operator::VantageRow {
            name: name.0.clone(),
            place: place.to_string(),
            state: operator::VantageState::Waiting.into(),
            ..operator::VantageRow::default()
        };
        (name.clone(), row)
    };
    chosen.agents.iter().map(row).collect()
}

/// Somebody who follows a round.
struct Watcher {
    events: broadcast::Receiver<Event>,
    rows: BTreeMap<VantageId, operator::VantageRow>,
    began: Instant,
    view: operator::View,
}

impl Watcher {
    async fn tell(&mut self, to: &mpsc::Sender<Result<operator::CheckEvent, Status>>) {
        loop {
            let events = match self.events.recv().await {
                Ok(happened) => self.events(happened),
                // Progress was missed, and more will come.
                Err(broadcast::error::RecvError::Lagged(_)) => continue,
                Err(broadcast::error::RecvError::Closed) => return,
            };
            for (event, last) in events {
                if to.send(event).await.is_err() || last {
                    return;
                }
            }
        }
    }

    fn events(&mut self, happened: Event) -> Vec<(Result<operator::CheckEvent, Status>, bool)> {
        let elapsed = nanoseconds(self.began.elapsed());
        let mut changed = Vec::new();
        match happened {
            Event::Progress(vantage, progress) => {
                if let Some(row) = self.rows.get_mut(&vantage)
                    && row.state != i32::from(operator::VantageState::Reported)
                {
                    row.state = operator::VantageState::Measuring.into();
                    (row.asked, row.answered) = (progress.asked, progress.answered);
                    row.line = progress.line.chars().take(LINE).collect();
                    row.elapsed_ns = elapsed;
                    changed.push(row.clone());
                }
            }
            Event::Reported(report) => {
                if let Some(row) = self.rows.get_mut(&report.vantage.id) {
                    row.state = operator::VantageState::Reported.into();
                    row.asked = number(report.observations.len() as u64);
                    let answered = report.observations.values().filter(|o| o.reply().is_some());
                    row.answered = number(answered.count() as u64);
                    row.line.clear();
                    row.elapsed_ns = elapsed;
                    changed.push(row.clone());
                }
            }
            Event::Ended(ended) => {
                for vantage in &ended.missing {
                    if let Some(row) = self.rows.get_mut(vantage) {
                        row.state = operator::VantageState::Missing.into();
                        row.elapsed_ns = elapsed;
                        changed.push(row.clone());
                    }
                }
                let mut events = vantages(changed);
                events.push((Ok(self.end(&ended)), true));
                return events;
            }
        }
        vantages(changed)
    }

    fn end(&self, ended: &Ended) -> operator::CheckEvent {
        let (state, exit_code, shown) = match &ended.judged {
            Ok(judged) => {
                let state = judged.verdict.state;
                let code = match self.view.format.as_str() {
                    "nagios" => judged.verdict.nagios_code(),
                    _ => state.exit_code(),
                };
                let shown = judged.show(&self.view).unwrap_or_default();
                (state.to_string(), code, shown)
            }
            Err(why) => {
                let (state, code) = why.state();
                let shown = match self.view.format.as_str() {
                    "json" => bailiwick_render::json::error(code, &why.to_string()),
                    _ => format!("{why}\n"),
                };
                let code = if self.view.format == "nagios" {
                    3
                } else {
                    code
                };
                (state.to_owned(), code, shown)
            }
        };
        event(check_event::Kind::Ended(operator::CheckEnded {
            state,
            exit_code: exit_code.into(),
            shown,
            judged_ns: nanoseconds(ended.judging),
            elapsed_ns: nanoseconds(ended.elapsed),
        }))
    }
}

fn vantages(rows: Vec<operator::VantageRow>) -> Vec<(Result<operator::CheckEvent, Status>, bool)> {
    let told = |row| (Ok(event(check_event::Kind::Vantage(row))), false);
    rows.into_iter().map(told).collect()
}

fn event(kind: check_event::Kind) -> operator::CheckEvent {
    operator::CheckEvent { kind: Some(kind) }
}

fn number(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
