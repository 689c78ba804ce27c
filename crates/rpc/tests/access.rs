//! Every call as everybody: who gets through, and what the others are told.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod matrix;
mod toy;

use std::time::SystemTime;

use bailiwick_rpc::{
    Authority, DESCRIPTORS, Kind, Link, TrustDomain,
    access::{RULES, Role, Standing},
};
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::Code;

use matrix::{all, is_refusal, methods};
use toy::{Toy, credentials};

#[test]
fn each_call_of_ours_has_one_row_and_no_row_is_left_over() {
    let mut rows: Vec<&str> = RULES.iter().map(|rule| rule.path).collect();
    rows.sort_unstable();
    let mut once = rows.clone();
    once.dedup();
    assert_eq!(rows, once);
    let all = all();
    for path in &rows {
        assert!(
            all.iter().any(|(row, _)| row.path == *path),
            "{path} is not served"
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
    let mut asked = 0;
    for (row, method) in all() {
        for (who, link) in &links {
            // Through to a service, or to where there is none on this listener.
            let refused = matrix::call(link.channel(), row, &method).await.err();
            let refused = refused.filter(is_refusal).map(|status| status.code());
            assert_eq!(refused, row.refusal(who), "{who} calls {}", row.path);
            asked += 1;
        }
    }
    assert_eq!(asked, 10 * all().len());
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
    let (agents, operators) = (toy.for_agents(), toy.for_operators());
    matrix::certificates_that_do_not_fit(&agents, &operators, &toy.kept.authority).await;
    toy.stop().await;
}
