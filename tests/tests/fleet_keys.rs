//! Who is who: authorities that are exchanged, keys that two machines use, recordings that are
//! played again, agents that lie about where they stand or send two reports as one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::{
    collections::BTreeSet,
    net::TcpListener,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, ensure};
use bailiwick_coordinator::Config;
use bailiwick_core::{
    check::{Check, CheckId},
    report::{Lane, Report, ReportId},
    server::{Family, Server},
};
use bailiwick_rpc::{Authority, Link, TrustDomain, operator};
use bailiwick_store::Location;
use bailiwick_tests::{
    fleet::{
        Fleet, Player, answer, envelope, folder, follow,
        players::scenario,
        programs::{AgentProgram, CoordinatorProgram},
        spooling::Spooling,
    },
    programs::{FLEET, built},
};

fn check() -> Check {
    Check {
        id: CheckId(rand::random()),
        nonce: rand::random(),
        timeout: Duration::from_secs(5),
        ..scenario().check
    }
}

/// What the one sees that is behind all others, and what these see.
fn behind_and_others() -> (Report, Vec<Report>) {
    let mut reports = scenario().run(1);
    let behind = reports.iter().position(|r| r.vantage.id.0 == "nrt");
    (reports.remove(behind.unwrap()), reports)
}

/// Honest players in so many networks of their own.
async fn honest(fleet: &Fleet, reports: &[Report]) -> Result<Vec<Spooling>> {
    let mut players = Vec::new();
    for (number, report) in reports.iter().enumerate() {
        let asn = format!("asn={}", 64_501 + number);
        let rir = ["rir=ripe", "rir=arin", "rir=apnic"][number % 3];
        let player = fleet
            .join(&format!("honest-{number}"), &[&asn, rir])
            .await?;
        players.push(Spooling::start(player, report.clone(), Duration::ZERO));
    }
    connected(fleet, players.len()).await?;
    Ok(players)
}

async fn connected(fleet: &Fleet, wanted: usize) -> Result<()> {
    for _ in 0..500 {
        if fleet.status().await?.connected == wanted as u64 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("not all are connected: {:?}", fleet.status().await?)
}

async fn agent(fleet: &Fleet, name: &str) -> Result<operator::Agent> {
    let mut asked = fleet.operator().await?.operator();
    let request = operator::GetAgentRequest {
        name: name.to_owned(),
    };
    Ok(asked.get_agent(request).await?.into_inner())
}

fn without_vote(agent: operator::Agent) -> Vec<String> {
    agent.place.unwrap_or_default().without_vote
}

async fn kept(fleet: &Fleet, check: CheckId) -> Result<BTreeSet<(String, u64, u64)>> {
    let rows = fleet.store.evidence(check, None, 100_000).await?;
    let ids = rows.into_iter().map(|row| {
        let id = row.id.report;
        (row.id.agent.0, id.epoch, id.seq)
    });
    Ok(ids.collect())
}

fn said(shown: &str) -> Result<serde_json::Value> {
    Ok(serde_json::from_str(shown)?)
}

/// Findings of a kind, each in its words.
fn findings(said: &serde_json::Value, id: &str) -> Vec<String> {
    let all = said["findings"].as_array().into_iter().flatten();
    let these = all.filter(|finding| finding["id"] == id);
    these.map(|finding| finding["detail"].to_string()).collect()
}

/// F22: twenty times a coordinator starts with another issuing authority and another certificate
/// of its own, while agents work. None of them is refused, and none of their certificates is worth
/// less than before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authorities_are_exchanged_and_nobody_is_refused() -> Result<()> {
    let test = "authorities_are_exchanged_and_nobody_is_refused";
    let Some(programs) = built(test, &["bailiwick-coordinator"])? else {
        return Ok(());
    };
    let folder = folder()?;
    let own = folder.path().join("coordinator");
    let program = programs.join("bailiwick-coordinator");
    let mut coordinator = CoordinatorProgram::init(&program, &own)?;
    coordinator.start().await?;
    let mut players = Vec::new();
    for (number, report) in scenario().run(1).into_iter().enumerate() {
        let link = Link::local(&coordinator.socket()).await?;
        let request = operator::InviteAgentRequest {
            name: format!("player-{number}"),
            ..operator::InviteAgentRequest::default()
        };
        let invited = link.operator().invite_agent(request).await?.into_inner();
        let player = Player::join(&invited.join).await?;
        players.push(Spooling::start(player, report, Duration::ZERO));
    }
    for sessions in 1..=20 {
        // All are in a session with the certificate of their first day.
        let all = || players.iter().all(|p| p.account().sessions >= sessions);
        while !all() {
            let account = players[0].account().clone();
            ensure!(account.trouble.values().sum::<u64>() < 2000, "{account:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let link = Link::local(&coordinator.socket()).await?;
        let followed = follow(&link, &check(), "json").await?;
        assert_eq!(
            followed.rows.len(),
            players.len(),
            "{:?}",
            followed.left_out
        );
        coordinator.stop().await?;
        let authority = own.join("authority");
        let mut renewed = Authority::load(&authority)?;
        renewed.renew_issuing(SystemTime::now())?;
        renewed.save(&authority)?;
        coordinator.start().await?;
    }
    only_absent(&players)
}

/// What went wrong is that nobody was there for a moment, and nothing else.
fn only_absent(players: &[Spooling]) -> Result<()> {
    let troubles: BTreeSet<_> = players
        .iter()
        .flat_map(|player| player.account().trouble.clone().into_keys())
        .collect();
    let absent = [
        "cannot connect",
        "the coordinator stops",
        "has ended",
        "transport",
        "error reading a body from connection",
        "it closed the connection",
    ];
    for why in &troubles {
        ensure!(
            absent.iter().any(|words| why.contains(words)),
            "{troubles:#?}"
        );
    }
    Ok(())
}

/// F22: the root itself is exchanged again and again while agents work: another one is believed, it
/// signs, the one before is believed no more. No agent and no operator is refused.
///
/// Twice by default; `BAILIWICK_ROOTS=20` for all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roots_are_exchanged_and_nobody_is_refused() -> Result<()> {
    let times = std::env::var("BAILIWICK_ROOTS").map_or(2, |text| text.parse().unwrap());
    let test = "roots_are_exchanged_and_nobody_is_refused";
    let Some(programs) = built(test, &FLEET)? else {
        return Ok(());
    };
    let folder = folder()?;
    let own = folder.path().join("coordinator");
    let [cli, program, agent] = FLEET.map(|name| programs.join(name));
    let mut coordinator = CoordinatorProgram::init(&program, &own)?;
    let operators = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let settings = own.join("coordinator.toml");
    let listening = std::fs::read_to_string(&settings)?;
    std::fs::write(&settings, format!("operators = {operators:?}\n{listening}"))?;
    coordinator.start().await?;
    let link = Link::local(&coordinator.socket()).await?;
    let mut players = Vec::new();
    for (number, report) in scenario().run(1).into_iter().enumerate() {
        let player = Player::join(&invited(&link, &format!("player-{number}")).await?).await?;
        players.push(Spooling::start(player, report, Duration::ZERO));
    }
    // Nobody listens there, so its checks end soon.
    let join = invited(&link, "real").await?;
    let mut real = AgentProgram::join(&agent, &folder.path().join("real"), &join, 9).await?;
    real.start()?;
    let alice = Operator {
        cli,
        home: folder.path().join("alice"),
        at: operators,
    };
    let request = operator::InviteOperatorRequest {
        name: "alice".to_owned(),
        role: "admin".to_owned(),
        ..operator::InviteOperatorRequest::default()
    };
    let join = link.operator().invite_operator(request).await?;
    alice
        .run(&["operator", "join", &join.into_inner().join])
        .await?;
    let refused = "does not accept our certificate";
    let mut sessions = 1;
    let mut pins = BTreeSet::new();
    for _ in 0..times {
        for step in [&["add"][..], &["switch"], &["drop", "--anyway"]] {
            let known = real.log().matches(refused).count();
            let (done, said) = root(&coordinator, step)?;
            ensure!(done, "{step:?}: {said}");
            let (early, said) = root(&coordinator, &["switch"])?;
            ensure!(!early, "{step:?}, nobody was told, and it signs: {said}");
            coordinator.stop().await?;
            coordinator.start().await?;
            sessions += 1;
            while !players.iter().all(|p| p.account().sessions >= sessions) {
                let account = players[0].account().clone();
                ensure!(account.trouble.values().sum::<u64>() < 2000, "{account:?}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            // It is patient after an end that came soon, so it begins anew.
            real.stop().await?;
            real.start()?;
            let link = Link::local(&coordinator.socket()).await?;
            while status(&link).await?.connected < players.len() as u64 + 1 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            // Its certificate is of this day, and who does not wait for its end sees that it gets
            // another one.
            let now = real.log().matches(refused).count();
            ensure!(now == known || step[0] == "drop", "{}", real.log());
            alice.renews_next()?;
            alice
                .run(&["agents", "list", "--coordinator", &alice.at])
                .await?;
            let followed = follow(&link, &of_nobody(), "json").await?;
            let rows = followed.rows.len();
            ensure!(rows == players.len() + 1, "{:?}", followed.left_out);
        }
        pins.insert(root(&coordinator, &["show"])?.1);
    }
    ensure!(pins.len() == times, "others each time: {pins:?}");
    only_absent(&players)?;
    real.stop().await?;
    coordinator.stop().await
}

/// A step that came too soon would cost members, so it is refused, and who is missing is named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_root_signs_when_all_know_it_and_goes_when_none_needs_it() -> Result<()> {
    let test = "a_root_signs_when_all_know_it_and_goes_when_none_needs_it";
    let Some(programs) = built(test, &["bailiwick-coordinator"])? else {
        return Ok(());
    };
    let folder = folder()?;
    let program = programs.join("bailiwick-coordinator");
    let mut coordinator = CoordinatorProgram::init(&program, &folder.path().join("c"))?;
    coordinator.start().await?;
    let link = Link::local(&coordinator.socket()).await?;
    let mut here = Player::join(&invited(&link, "here").await?).await?;
    let mut away = Player::join(&invited(&link, "away").await?).await?;
    let (before, after) = (here.session().await?, away.session().await?);
    drop((before, after));
    let not = |step: &[&str], words: &str| {
        let (done, said) = root(&coordinator, step)?;
        ensure!(!done && said.contains(words), "{step:?}: {said}");
        Ok(())
    };
    not(&["switch"], "add one first")?;
    not(&["drop"], "add one first")?;
    ensure!(root(&coordinator, &["add"])?.0);
    not(&["add"], "already")?;
    not(&["switch"], "nobody was told")?;
    coordinator.stop().await?;
    coordinator.start().await?;
    ensure!(here.believe(&here.session().await?), "it is told of both");
    let not = |step: &[&str], words: &str| {
        let (done, said) = root(&coordinator, step)?;
        ensure!(!done && said.contains(words), "{step:?}: {said}");
        Ok(said)
    };
    let said = not(&["switch"], "lost if it signs now: away;")?;
    ensure!(!said.contains("here"), "{said}");
    ensure!(away.believe(&away.session().await?), "it is told of both");
    let (done, said) = root(&coordinator, &["switch"])?;
    ensure!(done, "{said}");
    coordinator.stop().await?;
    coordinator.start().await?;
    let (done, said) = root(&coordinator, &["drop"])?;
    ensure!(!done && said.contains("may be in use until"), "{said}");
    // The certificates of the first day are good still.
    here.session().await?;
    away.session().await?;
    coordinator.stop().await
}

/// Takes a step of an exchange. Returns whether it was taken, and what was said.
fn root(coordinator: &CoordinatorProgram, step: &[&str]) -> Result<(bool, String)> {
    let output = coordinator.command("root").args(step).output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    ))
}

/// A check that real agents are done with at once: nobody listens at the only root.
fn of_nobody() -> Check {
    Check {
        roots: vec![Server {
            name: "root.test.".parse().unwrap(),
            address: [127, 53, 9, 1].into(),
        }],
        resolvers: Vec::new(),
        families: [Family::V4].into(),
        timeout: Duration::from_millis(500),
        lab: true,
        ..check()
    }
}

async fn invited(link: &Link, name: &str) -> Result<String> {
    let request = operator::InviteAgentRequest {
        name: name.to_owned(),
        ..operator::InviteAgentRequest::default()
    };
    let invited = link.operator().invite_agent(request).await?;
    Ok(invited.into_inner().join)
}

async fn status(link: &Link) -> Result<operator::Status> {
    let asked = operator::GetStatusRequest::default();
    Ok(link.operator().get_status(asked).await?.into_inner())
}

/// Somebody elsewhere with the command line.
struct Operator {
    cli: PathBuf,
    home: PathBuf,
    at: String,
}

impl Operator {
    async fn run(&self, arguments: &[&str]) -> Result<()> {
        let mut command = std::process::Command::new(&self.cli);
        command.args(arguments).env("BAILIWICK_STATE", &self.home);
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{arguments:?}: {errors}");
        Ok(())
    }

    /// Lets the certificate be seven hours old, by what is written down of it.
    fn renews_next(&self) -> Result<()> {
        let file = find(&self.home, "identity").context("no identity")?;
        let text = std::fs::read_to_string(&file)?;
        let lines = text
            .lines()
            .map(|line| match line.strip_prefix("issued-us ") {
                Some(at) => format!(
                    "issued-us {}",
                    at.parse::<u64>().unwrap() - 7 * 3_600_000_000
                ),
                None => line.to_owned(),
            });
        let lines: Vec<_> = lines.collect();
        Ok(std::fs::write(&file, lines.join("\n") + "\n")?)
    }
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => match find(&path, name) {
                Some(found) => return Some(found),
                None => continue,
            },
            false if path.ends_with(name) => return Some(path),
            false => {}
        }
    }
    None
}

/// An authority of which half of the life is over is renewed when the coordinator starts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_authority_is_renewed_in_time() -> Result<()> {
    const DAY: Duration = Duration::from_hours(24);
    let test = "an_old_authority_is_renewed_in_time";
    let Some(programs) = built(test, &["bailiwick-coordinator"])? else {
        return Ok(());
    };
    let folder = folder()?;
    let own = folder.path().join("coordinator");
    let program = programs.join("bailiwick-coordinator");
    let mut coordinator = CoordinatorProgram::init(&program, &own)?;
    let authority = own.join("authority");
    let now = SystemTime::now();
    for (age, renewed) in [(100, false), (300, true), (400, true)] {
        std::fs::remove_dir_all(&authority)?;
        let old = Authority::create(TrustDomain::default(), now - DAY * age)?;
        old.save(&authority)?;
        coordinator.start().await?;
        coordinator.stop().await?;
        let ends = Authority::load(&authority)?.issuing_ends();
        assert_eq!(ends > now + DAY * 300, renewed, "{age} days old");
        assert_eq!(
            Authority::load(&authority)?.pin(),
            old.pin(),
            "the same root"
        );
    }
    // Without the key of the root nothing can be done, and that is said.
    std::fs::remove_dir_all(&authority)?;
    Authority::create(TrustDomain::default(), now - DAY * 320)?.save(&authority)?;
    std::fs::remove_file(authority.join("root.key"))?;
    coordinator.start().await?;
    let link = Link::local(&coordinator.socket()).await?;
    let asked = operator::GetStatusRequest::default();
    let status = link.operator().get_status(asked).await?.into_inner();
    let notes = status.notes.join("; ");
    ensure!(notes.contains("the issuing authority ends"), "{notes}");
    Ok(())
}

/// T24: two machines with one key take the session from each other. What both send is kept, and
/// neither is believed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_machines_with_one_key_neither_has_a_vote() -> Result<()> {
    let fleet = Fleet::start().await?;
    let (behind, others) = behind_and_others();
    let _honest = honest(&fleet, &others).await?;
    let one = fleet.join("copied", &["asn=64599", "rir=lacnic"]).await?;
    let other = one.copied();
    let mut sessions = Vec::new();
    for take_over in 0..6 {
        // The first session is taken from nobody, and three that are taken are no fight yet.
        let suspect = take_over == 5;
        let held = without_vote(agent(&fleet, "copied").await?);
        let is_held = held.iter().any(|word| word == "suspect-clone");
        assert_eq!(is_held, suspect, "{take_over}: {held:?}");
        let machine = if take_over % 2 == 0 { &one } else { &other };
        sessions.push(machine.session().await?);
    }
    let held = agent(&fleet, "copied").await?;
    assert_eq!(held.state, "suspect-clone");

    let asked = check();
    let playing = async {
        let mut ids = BTreeSet::new();
        let (check, round) = sessions[5].asked().await?;
        for machine in [&one, &other] {
            let mut session = machine.session().await?;
            let report = answer(behind.clone(), &check, round, "copied");
            let id = session.report(report).await?;
            session.acknowledged(id).await?;
            ids.insert(("copied".to_owned(), id.epoch, id.seq));
        }
        anyhow::Ok(ids)
    };
    let (followed, ids) = tokio::join!(fleet.check(&asked, "json"), playing);
    let (ended, ids) = (followed?.ended, ids?);
    fleet.settled().await?;
    ensure!(
        kept(&fleet, asked.id).await?.is_superset(&ids),
        "both are kept"
    );
    // The others see no delay.
    assert_eq!(ended.state, "CONSISTENT", "{}", ended.shown);
    let told = findings(&said(&ended.shown)?, "vantage-without-vote");
    ensure!(
        told.len() == 1 && told[0].contains("suspect-clone"),
        "{told:?}"
    );
    Ok(())
}

/// T24 with real programs, on two copies of one folder. They are patient with each other, so it
/// takes most of a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_programs_with_one_key_are_found_within_a_minute() -> Result<()> {
    let test = "two_programs_with_one_key_are_found_within_a_minute";
    let Some(programs) = built(test, &["bailiwick-coordinator", "bailiwick-agent"])? else {
        return Ok(());
    };
    let folder = folder()?;
    let program = programs.join("bailiwick-coordinator");
    let mut coordinator = CoordinatorProgram::init(&program, &folder.path().join("c"))?;
    coordinator.start().await?;
    let link = Link::local(&coordinator.socket()).await?;
    let request = operator::InviteAgentRequest {
        name: "copied".to_owned(),
        ..operator::InviteAgentRequest::default()
    };
    let invited = link.operator().invite_agent(request).await?.into_inner();
    let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
    let program = programs.join("bailiwick-agent");
    // Nobody listens there, so its checks end soon.
    let mut first = AgentProgram::join(&program, &one, &invited.join, 9).await?;
    std::fs::create_dir(&other)?;
    std::fs::set_permissions(&other, std::fs::metadata(&one)?.permissions())?;
    for file in std::fs::read_dir(&one)? {
        let file = file?;
        std::fs::copy(file.path(), other.join(file.file_name()))?;
    }
    let mut second = AgentProgram::of(&program, &other);
    first.start()?;
    second.start()?;
    let began = Instant::now();
    let mut shown = String::new();
    loop {
        let asked = operator::GetAgentRequest {
            name: "copied".to_owned(),
        };
        let agent = link.operator().get_agent(asked).await?.into_inner();
        if agent.state == "suspect-clone" {
            break;
        }
        ensure!(began.elapsed() < Duration::from_secs(60), "{agent:?}");
        // Whichever of them is there.
        let asked = of_nobody();
        if let Ok(followed) = follow(&link, &asked, "json").await {
            shown = followed.ended.shown;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    println!("found after {:.0?}", began.elapsed());
    ensure!(!shown.is_empty(), "nothing was judged");
    first.stop().await?;
    second.stop().await?;
    coordinator.stop().await?;
    let store = bailiwick_store::open(&Location::Sqlite(coordinator.store())).await?;
    let mut epochs = BTreeSet::new();
    for check in store.checks(None, 10_000).await? {
        let rows = store.evidence(check.id, None, 1000).await?;
        epochs.extend(rows.into_iter().map(|row| row.id.report.epoch));
    }
    assert_eq!(epochs.len(), 2, "what both sent is kept");
    Ok(())
}

/// T23: two reports as one. The first is kept, and nothing of that agent counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_two_reports_as_one_has_no_vote() -> Result<()> {
    let fleet = Fleet::start().await?;
    let (behind, others) = behind_and_others();
    let _honest = honest(&fleet, &others).await?;
    let player = fleet
        .join("two-faced", &["asn=64599", "rir=lacnic"])
        .await?;
    let mut session = player.session().await?;
    let first = check();
    let playing = async {
        let (check, round) = session.asked().await?;
        let id = ReportId {
            lane: Lane::Change,
            epoch: session.epoch,
            seq: 1,
        };
        for report in [&others[0], &behind] {
            let report = answer(report.clone(), &check, round, "two-faced");
            session.send(vec![envelope(id, &report)]).await?;
            session.acknowledged(id).await?;
        }
        anyhow::Ok(id)
    };
    let (followed, id) = tokio::join!(fleet.check(&first, "json"), playing);
    let id = id?;
    assert_eq!(followed?.ended.state, "CONSISTENT");
    let rows = fleet.store.evidence(first.id, None, 100).await?;
    let row = rows
        .iter()
        .find(|row| row.id.report == id)
        .context("the first")?;
    let round = bailiwick_core::report::RoundId(0);
    let same = envelope(id, &answer(others[0].clone(), &first, round, "two-faced"));
    assert_eq!(row.answers, same.answers, "the first is kept");
    assert_eq!(
        without_vote(agent(&fleet, "two-faced").await?),
        ["equivocated"]
    );

    let second = check();
    let playing = async {
        let (check, round) = session.asked().await?;
        session
            .report_as(2, answer(behind.clone(), &check, round, "two-faced"))
            .await
    };
    let (followed, played) = tokio::join!(fleet.check(&second, "json"), playing);
    played?;
    let ended = followed?.ended;
    assert_eq!(ended.state, "CONSISTENT", "{}", ended.shown);
    Ok(())
}

/// T18: whoever plays batches again, in as many sessions as it likes, changes nothing. (That a
/// recording of the connection itself is worth nothing is shown where TLS is: `rpc/tests/tls.rs`.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_reports_again_change_no_row() -> Result<()> {
    let fleet = Fleet::start().await?;
    let player = fleet.join("fra-1", &[]).await?;
    let report = scenario().run(1).remove(0);
    let asked = check();
    let epoch = 7;
    let mut session = player.session().await?;
    let playing = async {
        let (check, round) = session.asked().await?;
        let id = |seq| ReportId {
            lane: Lane::Change,
            epoch,
            seq,
        };
        let report = answer(report.clone(), &check, round, "fra-1");
        let batch: Vec<_> = (1..=8).map(|seq| envelope(id(seq), &report)).collect();
        session.send(batch.clone()).await?;
        session.acknowledged(id(8)).await?;
        anyhow::Ok((batch, id(8)))
    };
    let (followed, played) = tokio::join!(fleet.check(&asked, "json"), playing);
    followed?;
    let (batch, last) = played?;
    fleet.settled().await?;
    let before = fleet.store.evidence(asked.id, None, 100).await?;
    let verdict = fleet
        .store
        .check(asked.id)
        .await?
        .context("the check")?
        .judgement;
    let mut again = 0;
    while again < 10_000 {
        // A session may send so many at once; more would have to wait.
        let mut session = player.session().await?;
        for _ in 0..32 {
            session.send(batch.clone()).await?;
            again += batch.len();
        }
        session.acknowledged(last).await?;
    }
    fleet.settled().await?;
    assert_eq!(fleet.store.evidence(asked.id, None, 100).await?, before);
    assert_eq!(fleet.status().await?.reports, before.len() as u64);
    let record = fleet.store.check(asked.id).await?.context("the check")?;
    assert_eq!(
        (record.judgement, record.revisions),
        (verdict, record.revisions)
    );
    Ok(())
}

/// T25: agents that say they stand where they do not. Where they are is what the coordinator sees;
/// several behind one address are none of that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_lies_about_its_place_has_no_vote() -> Result<()> {
    const TABLE: &str = "127.0.0.0/8 64501 ripe\n::1/128 64502 arin\n";
    /// Labels, and whether the table says something else.
    const V4: [([&str; 2], bool); 12] = [
        (["asn=64501", "rir=ripe"], false),
        (["asn=64501", "x=nat"], false),
        (["asn=64502", "rir=ripe"], true),
        (["asn=64503", "rir=ripe"], true),
        (["asn=64501", "rir=arin"], true),
        (["asn=64501", "rir=apnic"], true),
        (["asn=64502", "rir=arin"], true),
        (["asn=1", "x=1"], true),
        (["asn=4294967295", "x=2"], true),
        (["rir=lacnic", "x=3"], true),
        (["rir=afrinic", "x=4"], true),
        (["asn=64510", "rir=arin"], true),
    ];
    for (address, right) in [("127.0.0.1:0", "asn=64501"), ("[::1]:0", "asn=64502")] {
        let fleet = Fleet::start_as(|config: &mut Config| {
            config.agents = address.parse().unwrap();
            config.networks = TABLE.parse().unwrap();
        })
        .await?;
        let (behind, others) = behind_and_others();
        let swap = |label: &'static str| match (address, label) {
            ("[::1]:0", "asn=64501") => "asn=64502",
            ("[::1]:0", "asn=64502") => "asn=64501",
            ("[::1]:0", "rir=ripe") => "rir=arin",
            ("[::1]:0", "rir=arin") => "rir=ripe",
            _ => label,
        };
        let mut players = Vec::new();
        let mut liars = 0;
        for (number, (labels, lies)) in V4.into_iter().enumerate() {
            let name = format!("agent-{number}");
            let labels = labels.map(swap);
            let player = fleet.join(&name, &labels).await?;
            let report = if lies { &behind } else { &others[0] };
            players.push(Spooling::start(player, report.clone(), Duration::ZERO));
            connected(&fleet, number + 1).await?;
            let held = without_vote(agent(&fleet, &name).await?);
            let expected: &[&str] = if lies { &["mislabelled"] } else { &[] };
            assert_eq!(held, expected, "{labels:?} at {address}");
            let place = agent(&fleet, &name).await?.place.context("a place")?;
            assert_eq!(format!("asn={}", place.asn), right, "the address decides");
            liars += usize::from(lies);
        }
        assert_eq!(liars, 10, "ten of each family");
        let ended = ask_all(&fleet, players.len()).await?;
        assert_eq!(ended.state, "CONSISTENT", "{}", ended.shown);
        let told = findings(&said(&ended.shown)?, "vantage-mislabelled");
        assert_eq!(told.len(), liars, "{told:?}");
    }
    Ok(())
}

/// Starts a check with all agents and waits for its verdict.
async fn ask_all(fleet: &Fleet, agents: usize) -> Result<operator::CheckEnded> {
    let request = operator::CreateCheckRequest {
        check: Some(bailiwick_wire::report::to_check(&check())),
        agents: u32::try_from(agents)?,
        view: Some(operator::View {
            format: "json".to_owned(),
            ..operator::View::default()
        }),
        ..operator::CreateCheckRequest::default()
    };
    let mut asked = fleet.operator().await?.operator();
    let mut events = asked.create_check(request).await?.into_inner();
    while let Some(event) = events.message().await? {
        if let Some(operator::check_event::Kind::Ended(ended)) = event.kind {
            return Ok(ended);
        }
    }
    anyhow::bail!("no verdict")
}
