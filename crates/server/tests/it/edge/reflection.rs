//! What tools are told about a node's calls.

use server::edge::permits;
use tonic::transport::Endpoint;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest as Asked;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse as Answered;
use tonic_reflection::pb::{v1, v1alpha};

use super::served::Served;

fn questions() -> Vec<Asked> {
    vec![
        Asked::FileContainingSymbol("rialto.v1.Nothing".to_owned()),
        Asked::FileByFilename("nothing.proto".to_owned()),
        Asked::ListServices(String::new()),
        Asked::FileContainingSymbol("rialto.v1.Bank.Transfer".to_owned()),
        Asked::FileContainingSymbol("rialto.v1.Gateway".to_owned()),
        Asked::FileContainingSymbol("grpc.health.v1.Health".to_owned()),
    ]
}

fn check(answers: &[Answered]) {
    let [unknown, no_file, list, transfer, gateway, health] = answers else { panic!("{answers:?}") };
    for missing in [unknown, no_file, gateway] {
        assert!(matches!(missing, Answered::ErrorResponse(error) if error.error_code == 5), "{missing:?}");
    }
    let Answered::ListServicesResponse(list) = list else { panic!("{list:?}") };
    let listed: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
    let served = ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"];
    assert_eq!(listed, [&served[..], &["grpc.reflection.v1alpha.ServerReflection", "rialto.v1.Bank"]].concat());
    for service in listed {
        assert!(permits::GRPC.iter().any(|(path, _)| path.starts_with(&format!("/{service}/"))), "{service}");
    }
    assert!(matches!(transfer, Answered::FileDescriptorResponse(_)), "{transfer:?}");
    assert!(matches!(health, Answered::FileDescriptorResponse(_)), "{health:?}");
}

#[tokio::test]
async fn both_versions_list_what_is_served_and_something_unknown_ends_no_stream() {
    let served = Served::start().await;
    let channel = Endpoint::from_shared(format!("http://{}", served.grpc)).expect("a URI").connect().await;
    let channel = channel.expect("listening");
    let asked =
        |message_request| v1::ServerReflectionRequest { host: String::new(), message_request: Some(message_request) };
    let asked: Vec<v1::ServerReflectionRequest> = questions().into_iter().map(asked).collect();
    let mut client = ServerReflectionClient::new(channel.clone());
    let mut stream =
        client.server_reflection_info(futures_util::stream::iter(asked.clone())).await.expect("answered").into_inner();
    let mut answers = Vec::new();
    while let Some(answer) = stream.message().await.expect("the stream goes on") {
        answers.push(answer.message_response.expect("an answer"));
    }
    check(&answers);

    // The older version is the same on the wire.
    use prost::Message;
    let older = |asked: v1::ServerReflectionRequest| {
        v1alpha::ServerReflectionRequest::decode(asked.encode_to_vec().as_slice()).expect("the same messages")
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let asked: Vec<v1alpha::ServerReflectionRequest> = asked.into_iter().map(older).collect();
    let mut stream =
        client.server_reflection_info(futures_util::stream::iter(asked)).await.expect("answered").into_inner();
    let mut answers = Vec::new();
    while let Some(answer) = stream.message().await.expect("the stream goes on") {
        let answer = v1::ServerReflectionResponse::decode(answer.encode_to_vec().as_slice()).expect("the same");
        answers.push(answer.message_response.expect("an answer"));
    }
    check(&answers);
}
