//! Every call with everybody who may make it, and how a coordinator is held against that.
//!
//! Two tests share these rows: `access.rs` beside this folder, with services that answer nothing,
//! and `access.rs` of the whole-system tests, with the coordinator itself. A call without a row
//! fails both.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test uses a part, and one that cannot go on fails here"
)]

use std::time::{Duration, SystemTime};

use bailiwick_rpc::{Authority, Coordinator, Credentials, DESCRIPTORS, Kind, TrustDomain};
use prost::Message as _;
use prost_types::{FileDescriptorSet, MethodDescriptorProto};
use tonic::{Code, Request, Status, transport::Channel};
use tonic_prost::ProstCodec;

use super::credentials;

/// A call.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub path: &'static str,
    /// Who gets through, as the table "who may call what" of the design says it, in [`WORDS`].
    pub through: &'static str,
    /// What the coordinator says to an empty message of one who gets through.
    pub empty: Code,
}

/// Everybody there is.
pub const WORDS: [&str; 10] = [
    "nobody",
    "agent",
    "banned-agent",
    "unknown-agent",
    "viewer",
    "operator",
    "admin",
    "banned-operator",
    "unknown-operator",
    "local",
];

/// Who are told that they are not known.
pub const UNKNOWN: [&str; 3] = ["nobody", "unknown-agent", "unknown-operator"];

const EVERYBODY: &str = "nobody agent banned-agent unknown-agent viewer operator admin \
                         banned-operator unknown-operator local";
const VIEWERS: &str = "viewer operator admin local";
const OPERATORS: &str = "operator admin local";
const ADMINS: &str = "admin local";

const fn row(path: &'static str, through: &'static str, empty: Code) -> Row {
    Row {
        path,
        through,
        empty,
    }
}

pub const ROWS: &[Row] = &[
    row(
        "/bailiwick.agent.v1.EnrolmentService/Enroll",
        "nobody",
        Code::PermissionDenied,
    ),
    row(
        "/bailiwick.agent.v1.EnrolmentService/Renew",
        "nobody agent",
        Code::PermissionDenied,
    ),
    row(
        "/bailiwick.agent.v1.AgentService/Session",
        "agent",
        Code::InvalidArgument,
    ),
    row(
        "/bailiwick.operator.v1.OperatorService/CreateCheck",
        OPERATORS,
        Code::InvalidArgument,
    ),
    row(
        "/bailiwick.operator.v1.OperatorService/ListChecks",
        VIEWERS,
        Code::Ok,
    ),
    row(
        "/bailiwick.operator.v1.OperatorService/GetEvidence",
        VIEWERS,
        Code::InvalidArgument,
    ),
    row(
        "/bailiwick.operator.v1.OperatorService/CreateWatch",
        OPERATORS,
        Code::InvalidArgument,
    ),
    row(
        "/bailiwick.operator.v1.OperatorService/ListWatches",
        VIEWERS,
        Code::Ok,
    ),
    row(
        "/bailiwick.operator.v1.OperatorService/RemoveWatch",
        OPERATORS,
        Code::InvalidArgument,
    ),
    row(
        "/bailiwick.operator.v1.OperatorService/ListAgents",
        VIEWERS,
        Code::Ok,
    ),
    row(
        "/bailiwick.operator.v1.OperatorService/GetAgent",
        VIEWERS,
        Code::NotFound,
    ),
    row(
        "/bailiwick.operator.v1.OperatorService/InviteAgent",
        ADMINS,
        Code::InvalidArgument,
    ),
    row(
        "/bailiwick.operator.v1.OperatorService/ApproveAgent",
        ADMINS,
        Code::NotFound,
    ),
    row(
        "/bailiwick.operator.v1.OperatorService/BanAgent",
        ADMINS,
        Code::NotFound,
    ),
    row(
        "/bailiwick.operator.v1.OperatorService/InviteOperator",
        ADMINS,
        Code::InvalidArgument,
    ),
    row(
        "/bailiwick.operator.v1.OperatorService/GetStatus",
        VIEWERS,
        Code::Ok,
    ),
    row("/grpc.health.v1.Health/Check", EVERYBODY, Code::Ok),
    row(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        VIEWERS,
        Code::InvalidArgument,
    ),
    // Served by nobody: it would be a stream for everybody.
    row("/grpc.health.v1.Health/Watch", "", Code::Unimplemented),
    row("/grpc.health.v1.Health/List", "", Code::Unimplemented),
];

impl Row {
    /// Why this one is refused; `None` if it gets through.
    pub fn refusal(&self, who: &str) -> Option<Code> {
        assert!(WORDS.contains(&who), "{who}");
        if self.through.split(' ').any(|word| word == who) {
            None
        } else if UNKNOWN.contains(&who) {
            Some(Code::Unauthenticated)
        } else {
            Some(Code::PermissionDenied)
        }
    }

    /// What the coordinator answers to an empty message of this one, who came in at the agents'
    /// listener or at one of the operators'.
    pub fn answer(&self, who: &str, at_agents: bool) -> Code {
        let here = match self.path.split('.').nth(1) {
            Some("agent") => at_agents,
            Some("operator" | "reflection") => !at_agents,
            Some("health") => true,
            _ => panic!("say in this test which listener serves {}", self.path),
        };
        match self.refusal(who) {
            Some(code) => code,
            None if here => self.empty,
            None => Code::Unimplemented,
        }
    }
}

/// The calls that a description has.
pub fn methods(descriptors: &[u8]) -> Vec<(String, MethodDescriptorProto)> {
    let set = FileDescriptorSet::decode(descriptors).unwrap();
    let mut methods = Vec::new();
    for file in set.file {
        let package = file.package.clone().unwrap();
        for service in file.service {
            let service_name = service.name().to_owned();
            for method in service.method {
                let path = format!("/{package}.{service_name}/{}", method.name());
                methods.push((path, method));
            }
        }
    }
    methods
}

/// Every call that there is, with its row.
pub fn all() -> Vec<(&'static Row, MethodDescriptorProto)> {
    let mut all = methods(DESCRIPTORS);
    all.extend(methods(tonic_health::pb::FILE_DESCRIPTOR_SET));
    all.extend(methods(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET));
    assert!(all.len() >= 15);
    let all = all.into_iter().map(|(path, method)| {
        let row = ROWS.iter().find(|row| row.path == path);
        let row = row.unwrap_or_else(|| panic!("{path}: say in this test who may call it"));
        (row, method)
    });
    all.collect()
}

/// Calls with one empty message, and waits for one answer.
pub async fn call(
    channel: Channel,
    row: &Row,
    method: &MethodDescriptorProto,
) -> Result<(), Status> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready()
        .await
        .map_err(|error| Status::from_error(error.into()))?;
    let path = row.path.parse().unwrap();
    let codec = ProstCodec::<(), ()>::default();
    if method.server_streaming() {
        let answers = grpc.server_streaming(Request::new(()), path, codec).await?;
        answers.into_inner().message().await.map(drop)
    } else {
        grpc.unary(Request::new(()), path, codec).await.map(drop)
    }
}

/// Whether the rules refused a call, and not a service.
pub fn is_refusal(status: &Status) -> bool {
    status.message().starts_with("who calls")
}

/// Comes to both listeners with certificates that do not fit. None gets further than the
/// handshake, so none can make any call.
pub async fn certificates_that_do_not_fit(
    agents: &Coordinator,
    operators: &Coordinator,
    ours: &Authority,
) {
    let now = SystemTime::now();
    let same_name = Authority::create(TrustDomain::default(), now).unwrap();
    let elsewhere = Authority::create("b.test".parse().unwrap(), now).unwrap();
    let yesterday = now - Duration::from_secs(25 * 3600);
    let tomorrow = now + Duration::from_secs(3600);
    let server = ours.server(now).unwrap().credentials().clone();
    let agent = |authority, now| credentials(authority, Kind::Agent, "a", now);
    let operator = |authority, now| credentials(authority, Kind::Operator, "a", now);
    let cases: Vec<(&Coordinator, Option<Credentials>, &str, &str)> = vec![
        (
            agents,
            Some(operator(ours, now)),
            "access denied",
            "an operator comes to the agents",
        ),
        (
            operators,
            Some(agent(ours, now)),
            "access denied",
            "an agent comes to the operators",
        ),
        (
            operators,
            None,
            "join first",
            "nobody comes to the operators",
        ),
        (
            agents,
            Some(agent(&same_name, now)),
            "bad certificate",
            "another root, same names",
        ),
        (
            operators,
            Some(operator(&same_name, now)),
            "bad certificate",
            "an operator of another root, same names",
        ),
        (
            agents,
            Some(agent(&elsewhere, now)),
            "unknown authority",
            "another trust domain",
        ),
        (
            operators,
            Some(operator(&elsewhere, now)),
            "unknown authority",
            "an operator of another trust domain",
        ),
        (
            agents,
            Some(agent(ours, yesterday)),
            "not valid at this time",
            "ended an hour ago",
        ),
        (
            operators,
            Some(operator(ours, yesterday)),
            "not valid at this time",
            "ended half a day ago",
        ),
        (
            agents,
            Some(agent(ours, tomorrow)),
            "not valid at this time",
            "begins in 55 minutes",
        ),
        (
            agents,
            Some(server.clone()),
            "bad certificate",
            "a server as a client",
        ),
        (
            operators,
            Some(server),
            "bad certificate",
            "a server as a client",
        ),
    ];
    for (door, own, wanted, why) in cases {
        let error = door.connect(own.as_ref()).await.unwrap_err().to_string();
        assert!(error.contains(wanted), "{why}: {error}");
    }
}
