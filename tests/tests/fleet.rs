//! Several agents, one coordinator, one verdict: over real TLS, with a real store.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use anyhow::{Context, Result};
use bailiwick_core::report::Report;
use bailiwick_lab::scenario::Scenario;
use bailiwick_rpc::operator;
use bailiwick_tests::fleet::{Fleet, Player, Session, answer, envelope};

const SEED: u64 = 1;

fn scenario(name: &str) -> Scenario {
    let file = format!("{}/scenarios/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    Scenario::parse(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// Agents of as many networks as there are reports.
async fn agents(fleet: &Fleet, reports: &[Report]) -> Result<Vec<(String, Session)>> {
    let mut agents = Vec::new();
    for (number, report) in reports.iter().enumerate() {
        let name = report.vantage.id.0.clone();
        let asn = format!("asn={}", 64_501 + number);
        let rir = ["rir=ripe", "rir=arin", "rir=apnic"][number % 3];
        let player = fleet.join(&name, &[&asn, rir]).await?;
        agents.push((name, player.session().await?));
    }
    Ok(agents)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_agents_give_one_verdict() -> Result<()> {
    let scenario = scenario("w03-one-instance-lags");
    let reports = scenario.run(SEED);
    assert!(reports.len() >= 3, "{} vantage points", reports.len());
    let fleet = Fleet::start().await?;
    let agents = agents(&fleet, &reports).await?;
    let sent: Vec<_> = agents
        .into_iter()
        .zip(reports)
        .map(|((name, mut session), report)| {
            tokio::spawn(async move {
                let (check, round) = session.asked().await?;
                let id = session.report(answer(report, &check, round, &name)).await?;
                session.acknowledged(id).await?;
                anyhow::Ok(session)
            })
        })
        .collect();
    let followed = fleet.check(&scenario.check, "json").await?;
    for sent in sent {
        sent.await??;
    }
    let shown: serde_json::Value = serde_json::from_str(&followed.ended.shown)?;
    assert_eq!(shown["state"], "PUBLISHING", "{}", shown["headline"]);
    assert_eq!(followed.ended.exit_code, 11);
    let reported = i32::from(operator::VantageState::Reported);
    assert!(followed.rows.values().all(|row| row.state == reported));

    let mut operator = fleet.operator().await?.operator();
    let listed = operator
        .list_checks(operator::ListChecksRequest::default())
        .await?;
    let listed = listed.into_inner().checks;
    assert_eq!((listed.len(), listed[0].state.as_str()), (1, "PUBLISHING"));
    let asked = u32::try_from(shown["vantages"].as_array().context("vantages")?.len())?;
    assert_eq!((listed[0].asked, listed[0].reported), (asked, asked));

    // Judged again from what is stored: the same octets.
    let wanted = operator::GetEvidenceRequest {
        check: listed[0].check.clone(),
    };
    let mut parts = operator.get_evidence(wanted).await?.into_inner();
    let mut evidence = Vec::new();
    while let Some(part) = parts.message().await? {
        evidence.push(part);
    }
    let saved = bailiwick_wire::evidence::read(&evidence)?;
    assert_eq!(saved.reports.len(), saved.places.len());
    assert_eq!(saved.verdict.as_ref(), followed.ended.shown.as_bytes());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_silent_is_named_and_a_late_report_revises() -> Result<()> {
    let scenario = scenario("w03-one-instance-lags");
    let reports = scenario.run(SEED);
    let fleet = Fleet::start().await?;
    let mut agents = agents(&fleet, &reports).await?;
    let (late_name, mut late) = agents.pop().context("an agent")?;
    let late_report = reports.last().context("a report")?.clone();
    let sent: Vec<_> = agents
        .into_iter()
        .zip(reports)
        .map(|((name, mut session), report)| {
            tokio::spawn(async move {
                let (check, round) = session.asked().await?;
                session.report(answer(report, &check, round, &name)).await?;
                anyhow::Ok(session)
            })
        })
        .collect();
    let mut check = scenario.check.clone();
    check.timeout = std::time::Duration::from_millis(100);
    let followed = fleet.check(&check, "json").await?;
    for sent in sent {
        sent.await??;
    }
    let missing = i32::from(operator::VantageState::Missing);
    assert_eq!(followed.rows[&late_name].state, missing);
    assert!(
        followed
            .ended
            .shown
            .contains(&format!("no report came from {late_name}"))
    );

    let (check, round) = late.asked().await?;
    let id = late
        .report(answer(late_report, &check, round, &late_name))
        .await?;
    late.acknowledged(id).await?;
    let mut operator = fleet.operator().await?.operator();
    for _ in 0..100 {
        let listed = operator
            .list_checks(operator::ListChecksRequest::default())
            .await?;
        if listed.into_inner().checks[0].revised {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    anyhow::bail!("the verdict was not revised")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ban_ends_the_stream_and_closes_the_door() -> Result<()> {
    let fleet = Fleet::start().await?;
    let mut player = fleet.join("fra-1", &[]).await?;
    let mut session = player.session().await?;
    let mut operator = fleet.operator().await?.operator();
    let ban = operator::BanAgentRequest {
        name: "fra-1".to_owned(),
        reason: "test".to_owned(),
    };
    let began = std::time::Instant::now();
    assert_eq!(operator.ban_agent(ban).await?.into_inner().state, "banned");
    while session.next().await.is_ok() {}
    assert!(began.elapsed() < std::time::Duration::from_secs(5));
    assert!(player.session().await.is_err());
    assert!(player.renew().await.is_err(), "the key is worth nothing");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_works_once_and_only_where_it_can_work() -> Result<()> {
    let fleet = Fleet::start().await?;
    let mut operator = fleet.operator().await?.operator();
    let invite = operator::InviteAgentRequest {
        name: "fra-1".to_owned(),
        ..operator::InviteAgentRequest::default()
    };
    let invited = operator.invite_agent(invite.clone()).await?.into_inner();
    Player::join(&invited.join).await?;
    let error = Player::join(&invited.join).await.unwrap_err();
    assert!(error.to_string().contains("it was used"), "{error:#}");

    let to_nowhere = operator::InviteOperatorRequest {
        name: "alice".to_owned(),
        role: "viewer".to_owned(),
        ..operator::InviteOperatorRequest::default()
    };
    let error = operator.invite_operator(to_nowhere).await.unwrap_err();
    assert!(error.message().contains("operators ="), "{error}");

    let everywhere = Fleet::start_as(|config| config.agents = ([0; 4], 0).into()).await?;
    let mut operator = everywhere.operator().await?.operator();
    let error = operator.invite_agent(invite).await.unwrap_err();
    assert!(error.message().contains("public ="), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_asked_for_is_not_kept_and_not_sent_again() -> Result<()> {
    let scenario = scenario("w03-one-instance-lags");
    let fleet = Fleet::start().await?;
    let player = fleet.join("fra-1", &[]).await?;
    let mut session = player.session().await?;
    let report = scenario.run(SEED).remove(0);
    let id = session.report(report.clone()).await?;
    session.acknowledged(id).await?;
    let agent = fleet
        .store
        .agent(&bailiwick_core::vantage::VantageId("fra-1".to_owned()))
        .await?;
    assert_eq!(agent.context("the agent")?.reports, 0);
    // Nor what was damaged on its way.
    let mut damaged = envelope(bailiwick_core::report::ReportId { seq: 2, ..id }, &report);
    damaged.body_hash = vec![0; 32].into();
    session.send(vec![damaged]).await?;
    session
        .acknowledged(bailiwick_core::report::ReportId { seq: 2, ..id })
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_check_is_not_disturbed_by_another_of_its_identity() -> Result<()> {
    let scenario = scenario("w03-one-instance-lags");
    let fleet = Fleet::start().await?;
    let player = fleet.join("fra-1", &[]).await?;
    let mut session = player.session().await?;
    let report = scenario.run(SEED).remove(0);
    let playing = async {
        let (check, round) = session.asked().await?;
        let again = fleet.check(&scenario.check, "json").await;
        assert!(again.is_err(), "it is open");
        session
            .report(answer(report, &check, round, "fra-1"))
            .await?;
        anyhow::Ok(())
    };
    let (followed, played) = tokio::join!(fleet.check(&scenario.check, "json"), playing);
    played?;
    let reported = i32::from(operator::VantageState::Reported);
    assert_eq!(followed?.rows["fra-1"].state, reported);
    Ok(())
}
