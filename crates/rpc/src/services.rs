//! The services, as generated from `proto/`, with the messages of `wire`.

use tonic::service::Routes;

use crate::listen::MESSAGE;

/// All messages and services as a `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.binpb"));

/// Between an agent and its coordinator: messages, clients and servers.
pub mod agent {
    #![allow(missing_docs, clippy::pedantic)] // Their documentation is in `proto/`.
    pub use bailiwick_wire::proto::agent::v1::*;
    include!(concat!(env!("OUT_DIR"), "/bailiwick.agent.v1.rs"));
}

/// Between operators and a coordinator: messages, clients and servers.
pub mod operator {
    #![allow(missing_docs, clippy::pedantic)] // Their documentation is in `proto/`.
    pub use bailiwick_wire::proto::operator::v1::*;
    include!(concat!(env!("OUT_DIR"), "/bailiwick.operator.v1.rs"));
}

/// What is served to agents: enrolment, their session, and whether the coordinator is alive.
pub fn agent_routes(
    enrolment: impl agent::enrolment_service_server::EnrolmentService,
    session: impl agent::agent_service_server::AgentService,
) -> Routes {
    let enrolment = agent::enrolment_service_server::EnrolmentServiceServer::new(enrolment)
        .max_decoding_message_size(MESSAGE);
    let session = agent::agent_service_server::AgentServiceServer::new(session)
        .max_decoding_message_size(MESSAGE);
    alive().add_service(enrolment).add_service(session)
}

/// What is served to operators: their service, whether the coordinator is alive, and the
/// description of all services.
pub fn operator_routes(
    operator: impl operator::operator_service_server::OperatorService,
) -> Routes {
    let operator = operator::operator_service_server::OperatorServiceServer::new(operator)
        .max_decoding_message_size(MESSAGE);
    let described = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("descriptors that were compiled into this program are complete");
    alive().add_service(operator).add_service(described)
}

/// The health service of gRPC. It knows one service, the empty name, and that it serves: who asks
/// learns that the process answers, and nothing else.
fn alive() -> Routes {
    let (_, health) = tonic_health::server::health_reporter();
    Routes::new(health)
}
