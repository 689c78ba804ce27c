//! Every call as everybody: who gets through, and what the others are told.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod toy;

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use bailiwick_rpc::{
    Authority, Coordinator, Credentials, DESCRIPTORS, Kind, Link, TrustDomain,
    access::{RULES, Role, Standing},
};
use prost::Message;
use prost_types::{FileDescriptorSet, MethodDescriptorProto};
use tonic::{Code, Request, transport::Channel};
use tonic_prost::ProstCodec;

use toy::{Toy, credentials};

/// Methods with who gets through, as `reliability` says it, in words of [`Callers`].
const EXPECTED: &[(&str, &str)] = &[
    ("/bailiwick.agent.v1.EnrolmentService/Enroll", "nobody"),
    ("/bailiwick.agent.v1.EnrolmentService/Renew", "nobody agent"),
    ("/bailiwick.agent.v1.AgentService/Session", "agent"),
    (
        "/bailiwick.operator.v1.OperatorService/CreateCheck",
        "operator admin local",
    ),
    (
        "/bailiwick.operator.v1.OperatorService/ListChecks",
        "viewer operator admin local",
    ),
    (
        "/bailiwick.operator.v1.OperatorService/GetEvidence",
        "viewer operator admin local",
    ),
    (
        "/bailiwick.operator.v1.OperatorService/ListAgents",
        "viewer operator admin local",
    ),
    (
        "/bailiwick.operator.v1.OperatorService/GetAgent",
        "viewer operator admin local",
    ),
    (
        "/bailiwick.operator.v1.OperatorService/InviteAgent",
        "admin local",
    ),
    (
        "/bailiwick.operator.v1.OperatorService/ApproveAgent",
        "admin local",
    ),
    (
        "/bailiwick.operator.v1.OperatorService/BanAgent",
        "admin local",
    ),
    (
        "/bailiwick.operator.v1.OperatorService/InviteOperator",
        "admin local",
    ),
    (
        "/bailiwick.operator.v1.OperatorService/GetStatus",
        "viewer operator admin local",
    ),
    (
        "/grpc.health.v1.Health/Check",
        "nobody agent banned-agent unknown-agent viewer operator admin banned-operator \
         unknown-operator local",
    ),
    (
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "viewer operator admin local",
    ),
    // Served by nobody: it would be a stream for everybody.
    ("/grpc.health.v1.Health/Watch", ""),
    ("/grpc.health.v1.Health/List", ""),
];

/// Who are told that they are not known.
const UNKNOWN: [&str; 3] = ["nobody", "unknown-agent", "unknown-operator"];

fn methods(descriptors: &[u8]) -> Vec<(String, MethodDescriptorProto)> {
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

fn all_methods() -> Vec<(String, MethodDescriptorProto)> {
    let mut all = methods(DESCRIPTORS);
    all.extend(methods(tonic_health::pb::FILE_DESCRIPTOR_SET));
    all.extend(methods(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET));
    assert!(all.len() >= 15);
    all
}

#[test]
fn each_call_of_ours_has_one_row_and_no_row_is_left_over() {
    let mut rows: Vec<&str> = RULES.iter().map(|rule| rule.path).collect();
    rows.sort_unstable();
    let mut once = rows.clone();
    once.dedup();
    assert_eq!(rows, once);
    let all = all_methods();
    for row in &rows {
        assert!(
            all.iter().any(|(path, _)| path == row),
            "{row} is not served"
        );
    }
    for (path, _) in methods(DESCRIPTORS) {
        assert!(
            rows.contains(&path.as_str()),
            "{path} has no row in access.rs"
        );
    }
}

#[test]
fn roles_are_as_the_description_says() {
    let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let mut compared = 0;
    for file in &set.file {
        let package = file.package.as_ref().unwrap();
        for location in &file.source_code_info.as_ref().unwrap().location {
            let [6, service, 2, method] = location.path[..] else {
                continue;
            };
            let service = &file.service[usize::try_from(service).unwrap()];
            let method = &service.method[usize::try_from(method).unwrap()];
            let path = format!("/{package}.{}/{}", service.name(), method.name());
            let comment = location.leading_comments();
            let Some(role) = comment.split("Role: ").nth(1) else {
                assert!(!path.contains(".operator."), "{path} says no role");
                continue;
            };
            let role = match role.trim().trim_end_matches('.') {
                "viewer" => Role::Viewer,
                "operator" => Role::Operator,
                "admin" => Role::Admin,
                other => panic!("{path}: {other}"),
            };
            let rule = RULES.iter().find(|rule| rule.path == path).unwrap();
            let wanted = bailiwick_rpc::access::Who::Operator(role);
            assert_eq!(rule.who, wanted, "{path}");
            compared += 1;
        }
    }
    assert!(compared >= 10, "{compared}");
}

#[tokio::test]
async fn every_call_as_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("sock");
    let authority = Authority::create(TrustDomain::default(), SystemTime::now()).unwrap();
    let toy = Toy::start_with(authority, Some(&socket)).await;
    let links = callers(&toy, &socket).await;
    assert_eq!(links.len(), 10);
    let expected: BTreeMap<&str, &str> = EXPECTED.iter().copied().collect();
    let mut asked = 0;
    for (path, method) in all_methods() {
        let through = expected
            .get(path.as_str())
            .unwrap_or_else(|| panic!("{path}: say in this test who may call it"));
        for (who, link) in &links {
            let wanted = if through.split(' ').any(|word| word == *who) {
                None
            } else if UNKNOWN.contains(who) {
                Some(Code::Unauthenticated)
            } else {
                Some(Code::PermissionDenied)
            };
            let refusal = refusal(link.channel(), &path, &method).await;
            assert_eq!(refusal, wanted, "{who} calls {path}");
            asked += 1;
        }
    }
    assert_eq!(asked, 10 * all_methods().len());
    toy.stop().await;
}

/// One connection for each kind of caller.
async fn callers(toy: &Toy, socket: &std::path::Path) -> Vec<(&'static str, Link)> {
    let agents = toy.for_agents();
    let operators = toy.for_operators();
    let role = |role| Standing::Operator(role);
    let members: [(&'static str, Kind, Option<Standing>); 8] = [
        ("agent", Kind::Agent, Some(Standing::Agent)),
        ("banned-agent", Kind::Agent, Some(Standing::Banned)),
        ("unknown-agent", Kind::Agent, None),
        ("viewer", Kind::Operator, Some(role(Role::Viewer))),
        ("operator", Kind::Operator, Some(role(Role::Operator))),
        ("admin", Kind::Operator, Some(role(Role::Admin))),
        ("banned-operator", Kind::Operator, Some(Standing::Banned)),
        ("unknown-operator", Kind::Operator, None),
    ];
    let mut links = vec![
        ("nobody", agents.connect(None).await.unwrap()),
        ("local", Link::local(socket).await.unwrap()),
    ];
    for (who, kind, standing) in members {
        let own = toy.member(kind, who, standing.unwrap_or(Standing::Unknown));
        let door = match kind {
            Kind::Agent => &agents,
            Kind::Operator => &operators,
        };
        links.push((who, door.connect(Some(&own)).await.unwrap()));
    }
    links
}

/// Calls with an empty message. None if the call got through to a service, or to where there is
/// none on this listener; else what access says.
async fn refusal(channel: Channel, path: &str, method: &MethodDescriptorProto) -> Option<Code> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let path = path.parse().unwrap();
    let codec = ProstCodec::<(), ()>::default();
    let status = if method.server_streaming() {
        match grpc.server_streaming(Request::new(()), path, codec).await {
            Ok(answer) => answer.into_inner().message().await.err(),
            Err(status) => Some(status),
        }
    } else {
        grpc.unary(Request::new(()), path, codec).await.err()
    };
    status
        .filter(|status| status.message().starts_with("who calls"))
        .map(|status| status.code())
}

#[tokio::test]
async fn services_are_on_their_own_listener_alone() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("sock");
    let authority = Authority::create(TrustDomain::default(), SystemTime::now()).unwrap();
    let toy = Toy::start_with(authority, Some(&socket)).await;
    // A standing that no certificate of this listener should have: access lets it through, and
    // still nobody is there.
    let own = toy.member(Kind::Agent, "odd", Standing::Operator(Role::Admin));
    let link = toy.for_agents().connect(Some(&own)).await.unwrap();
    let status = link
        .operator()
        .get_status(bailiwick_rpc::operator::GetStatusRequest {})
        .await;
    assert_eq!(status.unwrap_err().code(), Code::Unimplemented);
    let own = toy.member(Kind::Operator, "odd-too", Standing::Agent);
    let link = toy.for_operators().connect(Some(&own)).await.unwrap();
    let session = link.agent().session(tokio_stream::empty()).await;
    assert_eq!(session.unwrap_err().code(), Code::Unimplemented);
    toy.stop().await;
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_gets_no_further_than_the_handshake() {
    let toy = Toy::start().await;
    let now = SystemTime::now();
    let ours = &toy.kept.authority;
    let same_name = Authority::create(TrustDomain::default(), now).unwrap();
    let elsewhere = Authority::create("b.test".parse().unwrap(), now).unwrap();
    let yesterday = now - Duration::from_secs(25 * 3600);
    let tomorrow = now + Duration::from_secs(3600);
    let (agents, operators) = (toy.for_agents(), toy.for_operators());
    let agent = |authority, now| credentials(authority, Kind::Agent, "a", now);
    let operator = |authority, now| credentials(authority, Kind::Operator, "a", now);
    let cases: Vec<(&Coordinator, Option<Credentials>, &str, &str)> = vec![
        (
            &agents,
            Some(operator(ours, now)),
            "access denied",
            "an operator comes to the agents",
        ),
        (
            &operators,
            Some(agent(ours, now)),
            "access denied",
            "an agent comes to the operators",
        ),
        (
            &operators,
            None,
            "join first",
            "nobody comes to the operators",
        ),
        (
            &agents,
            Some(agent(&same_name, now)),
            "bad certificate",
            "another root, same names",
        ),
        (
            &agents,
            Some(agent(&elsewhere, now)),
            "unknown authority",
            "another trust domain",
        ),
        (
            &agents,
            Some(agent(ours, yesterday)),
            "not valid at this time",
            "ended an hour ago",
        ),
        (
            &operators,
            Some(operator(ours, yesterday)),
            "not valid at this time",
            "ended half a day ago",
        ),
        (
            &agents,
            Some(agent(ours, tomorrow)),
            "not valid at this time",
            "begins in 55 minutes",
        ),
        (
            &agents,
            Some(toy.server_credentials()),
            "bad certificate",
            "a server as a client",
        ),
        (
            &operators,
            Some(toy.server_credentials()),
            "bad certificate",
            "a server as a client",
        ),
    ];
    for (door, own, wanted, why) in cases {
        let error = door.connect(own.as_ref()).await.unwrap_err().to_string();
        assert!(error.contains(wanted), "{why}: {error}");
    }
    toy.stop().await;
}
