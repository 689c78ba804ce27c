//! Every call as everybody, against the coordinator itself: what it answers, exactly.
//!
//! The rows are those that `crates/rpc` holds its own rules against. Here the standing of each
//! caller is made as operators make it: invited, approved, banned, removed, given another role.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

#[path = "../../crates/rpc/tests/toy/credentials.rs"]
mod certificates;
#[path = "../../crates/rpc/tests/matrix/mod.rs"]
mod matrix;

use std::{
    collections::BTreeSet,
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};
use bailiwick_core::{time::Timestamp, vantage::VantageId};
use bailiwick_rpc::{
    Coordinator as Remote, Credentials, Invitation, Key, Kind, Link, Trust, operator,
};
use bailiwick_store::{Audit, Certificate, Role, Serial};
use bailiwick_tests::fleet::Fleet;
use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use certificates::credentials;
use matrix::{all, call, is_refusal};

/// Who calls, what that is in the words of the rows, and with what.
type Member = (&'static str, &'static str, Credentials);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_as_everybody_gives_exactly_one_answer() -> Result<()> {
    let fleet = Fleet::start_as(|config| config.operators = "127.0.0.1:0".parse().ok()).await?;
    let doors = Doors::of(&fleet)?;
    let agents = agents(&fleet).await?;
    let operators = operators(&fleet).await?;

    // Changes through the store are seen when the roster is looked at: this does it.
    fleet
        .operator()
        .await?
        .operator()
        .list_agents(operator::ListAgentsRequest {})
        .await?;

    let mut asked = 0;
    for (who, word, own) in &agents {
        asked += hold(who, word, true, &doors.agents.connect(Some(own)).await?).await?;
    }
    for (who, word, own) in &operators {
        asked += hold(who, word, false, &doors.operators.connect(Some(own)).await?).await?;
    }
    asked += hold("nobody", "nobody", true, &doors.agents.connect(None).await?).await?;
    asked += hold("the owner", "local", false, &fleet.operator().await?).await?;
    let words = agents.iter().chain(&operators).map(|(_, word, _)| *word);
    let words: BTreeSet<_> = words.chain(["nobody", "local"]).collect();
    // The coordinator removes operators, it does not ban them.
    for word in matrix::WORDS
        .iter()
        .filter(|word| **word != "banned-operator")
    {
        ensure!(words.contains(word), "nobody calls as {word}");
    }
    ensure!(asked == 16 * all().len(), "{asked} calls");
    fleet.coordinator.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_does_not_fit_gets_no_further_than_the_handshake() -> Result<()> {
    let fleet = Fleet::start_as(|config| config.operators = "127.0.0.1:0".parse().ok()).await?;
    let doors = Doors::of(&fleet)?;
    matrix::certificates_that_do_not_fit(&doors.agents, &doors.operators, &fleet.authority).await;
    Ok(())
}

/// A certificate that ends takes its connection with it: none of the calls gets through any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_outlives_its_certificate() -> Result<()> {
    let fleet = Fleet::start_as(|config| config.operators = "127.0.0.1:0".parse().ok()).await?;
    let doors = Doors::of(&fleet)?;
    let (key, _) = join(&invite_agent(&fleet, "fra-1", false).await?).await?;
    let life = Duration::from_secs(24 * 3600);
    let ending = SystemTime::now() + Duration::from_secs(3);
    let name = "fra-1".parse()?;
    let issued = fleet
        .authority
        .issue(Kind::Agent, &name, &key.public(), ending - life)?;
    let until = Timestamp::default().after(ending.duration_since(SystemTime::UNIX_EPOCH)?);
    let serial = Serial(issued.serial.0);
    let name = VantageId("fra-1".to_owned());
    fleet
        .store
        .certificate_issued(&name, &Certificate { serial, until })
        .await?;
    let agent = Credentials::new(issued.chain, &key);

    let (key, _) = join(&invite_operator(&fleet, "alice", "admin").await?).await?;
    let name = "alice".parse()?;
    let issued = fleet
        .authority
        .issue(Kind::Operator, &name, &key.public(), ending - life / 2)?;
    let admin = Credentials::new(issued.chain, &key);
    fleet
        .operator()
        .await?
        .operator()
        .list_agents(operator::ListAgentsRequest {})
        .await?;

    let links = [
        ("agent", doors.agents.connect(Some(&agent)).await?),
        ("admin", doors.operators.connect(Some(&admin)).await?),
    ];
    for (word, link) in &links {
        hold(word, word, *word == "agent", link).await?;
    }
    let left = ending.duration_since(SystemTime::now()).unwrap_or_default();
    tokio::time::sleep(left + Duration::from_secs(1)).await;
    for (word, link) in &links {
        for (row, method) in all() {
            let answer = call(link.channel(), row, &method).await;
            let code = answer.err().map(|status| status.code());
            let cut = [
                Code::Unavailable,
                Code::Unknown,
                Code::Cancelled,
                Code::Unauthenticated,
            ];
            ensure!(
                code.is_some_and(|code| cut.contains(&code)),
                "{word} calls {}: {code:?}",
                row.path
            );
        }
    }
    for (door, own) in [(&doors.agents, &agent), (&doors.operators, &admin)] {
        let error = door.connect(Some(own)).await.unwrap_err().to_string();
        ensure!(error.contains("not valid at this time"), "{error}");
    }
    Ok(())
}

/// What `grpcurl` does: asks whether the coordinator is alive, which services it has, and for the
/// description of each. All that may be called can be found so, and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_that_knows_nothing_finds_out_all_calls_of_operators() -> Result<()> {
    let fleet = Fleet::start().await?;
    let link = fleet.operator().await?;
    let asked = HealthCheckRequest::default();
    let alive = HealthClient::new(link.channel()).check(asked).await?;
    ensure!(alive.into_inner().status == 1, "SERVING");

    let MessageResponse::ListServicesResponse(listed) =
        describe(&link, MessageRequest::ListServices(String::new())).await?
    else {
        bail!("no list of services");
    };
    let mut found = BTreeSet::new();
    for service in listed.service {
        let symbol = MessageRequest::FileContainingSymbol(service.name.clone());
        let MessageResponse::FileDescriptorResponse(files) = describe(&link, symbol).await? else {
            bail!("no description of {}", service.name);
        };
        for file in &files.file_descriptor_proto {
            let file = FileDescriptorProto::decode(&file[..])?;
            let set = FileDescriptorSet { file: vec![file] };
            found.extend(
                matrix::methods(&set.encode_to_vec())
                    .into_iter()
                    .map(|(path, _)| path),
            );
        }
    }
    for row in matrix::ROWS
        .iter()
        .filter(|row| row.refusal("admin").is_none())
    {
        let here = row.answer("admin", false) != Code::Unimplemented;
        ensure!(
            found.contains(row.path) || !here,
            "{} is not described: {found:?}",
            row.path
        );
    }
    for path in &found {
        ensure!(
            matrix::ROWS.iter().any(|row| row.path == path),
            "{path} has no row"
        );
    }
    Ok(())
}

async fn describe(link: &Link, wanted: MessageRequest) -> Result<MessageResponse> {
    let question = tokio_stream::once(ServerReflectionRequest {
        host: String::new(),
        message_request: Some(wanted),
    });
    let mut reflection = ServerReflectionClient::new(link.channel());
    let mut answers = reflection
        .server_reflection_info(question)
        .await?
        .into_inner();
    let answer = answers.message().await?.context("no answer")?;
    answer.message_response.context("an empty answer")
}

/// Holds all rows against one caller. Returns how many there were.
async fn hold(who: &str, word: &str, at_agents: bool, link: &Link) -> Result<usize> {
    for (row, method) in all() {
        let status = call(link.channel(), row, &method).await.err();
        let code = status.as_ref().map_or(Code::Ok, tonic::Status::code);
        let wanted = row.answer(word, at_agents);
        ensure!(
            code == wanted,
            "{who} calls {}: {code:?}, not {wanted:?}: {status:?}",
            row.path
        );
        let refused = status.as_ref().is_some_and(is_refusal);
        let wanted = row.refusal(word).is_some();
        ensure!(refused == wanted, "{who} calls {}: {status:?}", row.path);
    }
    Ok(all().len())
}

/// Where members come in, for whoever trusts the root.
struct Doors {
    agents: Remote,
    operators: Remote,
}

impl Doors {
    fn of(fleet: &Fleet) -> Result<Self> {
        let at = |address: std::net::SocketAddr| -> Result<Remote> {
            Ok(Remote {
                trust_domain: fleet.authority.trust_domain().clone(),
                hosts: vec![address.to_string().parse()?],
                trust: Trust::Roots(vec![fleet.authority.root().clone()]),
            })
        };
        Ok(Self {
            agents: at(fleet.coordinator.agents())?,
            operators: at(fleet
                .coordinator
                .operators()
                .context("no door for operators")?)?,
        })
    }
}

async fn invite_agent(fleet: &Fleet, name: &str, approve: bool) -> Result<Invitation> {
    let request = operator::InviteAgentRequest {
        name: name.to_owned(),
        approve,
        ..operator::InviteAgentRequest::default()
    };
    let invited = fleet
        .operator()
        .await?
        .operator()
        .invite_agent(request)
        .await?;
    Ok(invited.into_inner().join.parse()?)
}

async fn invite_operator(fleet: &Fleet, name: &str, role: &str) -> Result<Invitation> {
    let request = operator::InviteOperatorRequest {
        name: name.to_owned(),
        role: role.to_owned(),
        ..operator::InviteOperatorRequest::default()
    };
    let invited = fleet
        .operator()
        .await?
        .operator()
        .invite_operator(request)
        .await?;
    Ok(invited.into_inner().join.parse()?)
}

/// Redeems an invitation.
async fn join(invitation: &Invitation) -> Result<(Key, Credentials)> {
    let key = Key::generate()?;
    let link = Remote::of_invitation(invitation).connect(None).await?;
    let own = Credentials::of_identity(&link.enroll(invitation, &key).await?, &key)?;
    Ok((key, own))
}

/// Gives a key another certificate.
async fn renewed(invitation: &Invitation, key: &Key) -> Result<Credentials> {
    let link = Remote::of_invitation(invitation).connect(None).await?;
    Ok(Credentials::of_identity(&link.renew(key).await?, key)?)
}

async fn agents(fleet: &Fleet) -> Result<Vec<Member>> {
    let mut agents: Vec<Member> = Vec::new();
    let (_, own) = join(&invite_agent(fleet, "fra-1", false).await?).await?;
    agents.push(("an agent", "agent", own));
    let (_, own) = join(&invite_agent(fleet, "fra-2", true).await?).await?;
    agents.push(("one that waits to be approved", "agent", own));

    let (_, own) = join(&invite_agent(fleet, "fra-3", false).await?).await?;
    let ban = operator::BanAgentRequest {
        name: "fra-3".to_owned(),
        reason: "sold".to_owned(),
    };
    fleet.operator().await?.operator().ban_agent(ban).await?;
    agents.push(("one that is banned", "banned-agent", own));

    let own = credentials(&fleet.authority, Kind::Agent, "fra-9", SystemTime::now());
    agents.push(("one that never joined", "unknown-agent", own));
    let own = credentials(&fleet.authority, Kind::Agent, "fra-1", SystemTime::now());
    agents.push(("one with another's name", "unknown-agent", own));

    let invitation = invite_agent(fleet, "fra-4", false).await?;
    let (key, first) = join(&invitation).await?;
    let name = VantageId("fra-4".to_owned());
    let second = renewed(&invitation, &key).await?;
    let known = fleet.store.agent(&name).await?.context("no agent")?;
    let serial = known.next.context("no second certificate")?.serial;
    ensure!(fleet.store.certificate_used(&name, serial).await?);
    agents.push(("one with a new certificate", "agent", second));
    agents.push(("one with the certificate before", "unknown-agent", first));
    Ok(agents)
}

async fn operators(fleet: &Fleet) -> Result<Vec<Member>> {
    let mut operators: Vec<Member> = Vec::new();
    for role in ["viewer", "operator", "admin"] {
        let (_, own) = join(&invite_operator(fleet, role, role).await?).await?;
        operators.push((role, role, own));
    }
    let audit = Audit {
        at: Timestamp(1),
        who: "test".to_owned(),
        what: "test".to_owned(),
        request: [0; 32],
        result: "done".to_owned(),
    };
    let (_, own) = join(&invite_operator(fleet, "bob", "admin").await?).await?;
    fleet.store.set_role("bob", Role::Viewer, &audit).await?;
    operators.push(("one who was admin when invited", "viewer", own));
    let (_, own) = join(&invite_operator(fleet, "carol", "admin").await?).await?;
    fleet.store.remove_operator("carol", &audit).await?;
    operators.push(("one who was removed", "unknown-operator", own));
    let own = credentials(&fleet.authority, Kind::Operator, "dave", SystemTime::now());
    operators.push(("one who never joined", "unknown-operator", own));
    let own = credentials(&fleet.authority, Kind::Operator, "admin", SystemTime::now());
    operators.push(("one with an admin's name", "unknown-operator", own));
    Ok(operators)
}

/// Tells a copy of this test, that runs as another user, where the socket is.
const SOCKET: &str = "BAILIWICK_TEST_SOCKET";
const AS: &str = "BAILIWICK_TEST_AS";
/// A user and two groups that own nothing.
const USER: u32 = 64_321;
const GROUP: u32 = 64_322;
const OTHER: u32 = 64_323;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_socket_knows_users_and_their_group() -> Result<()> {
    let test = "the_socket_knows_users_and_their_group";
    if !nix::unistd::geteuid().is_root() {
        let on_ci = std::env::var("CI").is_ok_and(|value| value == "true");
        ensure!(!on_ci, "{test} must run on CI, as root");
        eprintln!("skipped: {test}: only root can become another user");
        return Ok(());
    }
    let fleet = Fleet::start_as(|config| config.local.group = Some(GROUP)).await?;
    open_the_way_to(&fleet.socket)?;
    let cases = [
        (GROUP, "operator", "a member of the group starts checks"),
        (
            OTHER,
            "nobody at all",
            "somebody else does not even come in",
        ),
    ];
    for (group, word, why) in cases {
        let mut copy = Command::new(std::env::current_exe()?);
        copy.args(["another_user", "--exact", "--ignored", "--nocapture"])
            .env(SOCKET, &fleet.socket)
            .env(AS, format!("{group} {word}"));
        let output = tokio::task::spawn_blocking(move || copy.output()).await??;
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success() && said.contains("1 passed"),
            "{why}: {said}"
        );
    }
    Ok(())
}

/// Lets other users get to a file, not read what is beside it.
fn open_the_way_to(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = path.parent().context("a folder")?;
    Ok(std::fs::set_permissions(
        folder,
        std::fs::Permissions::from_mode(0o711),
    )?)
}

#[tokio::test]
#[ignore = "a part of the_socket_knows_users_and_their_group, which runs it as another user"]
async fn another_user() -> Result<()> {
    let (socket, who) = (std::env::var(SOCKET)?, std::env::var(AS)?);
    let (group, word) = who.split_once(' ').context("a group and a word")?;
    let (user, group) = (nix::unistd::Uid::from_raw(USER), group.parse()?);
    nix::unistd::setgroups(&[])?;
    let group = nix::unistd::Gid::from_raw(group);
    nix::unistd::setresgid(group, group, group)?;
    nix::unistd::setresuid(user, user, user)?;
    let link = Link::local(socket.as_ref()).await;
    if word == "operator" {
        hold("a member of the group", word, false, &link?).await?;
    } else {
        let error = link.map(drop).unwrap_err().to_string();
        ensure!(error.contains("ermission denied"), "{error}");
    }
    Ok(())
}
