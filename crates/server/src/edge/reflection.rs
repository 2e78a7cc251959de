//! Which calls there are, for tools: `grpc.reflection.v1`, and `v1alpha` for those that know no newer
//! (<https://github.com/grpc/grpc/blob/master/doc/server-reflection.md>).
//!
//! A node lists the services that it serves and knows the files behind them. Each question has an answer of its own: one about
//! something unknown says so, and the stream goes on.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use prost::Message;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet};
use tonic::{Code as Grpc, Request, Response, Status, Streaming};
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest as Asked;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse as Answered;
use tonic_reflection::pb::{v1, v1alpha};
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};
use tonic_reflection::server::v1alpha as alpha;

use super::bounds::LOOK_MESSAGE_BYTES_MAX;
use super::connection::{self, StreamPlace};

/// Services that every node has besides its own.
const OF_NODES: [&str; 3] =
    ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];

/// What can be asked about. A clone is another handle of the same.
#[derive(Debug, Clone)]
pub struct Reflection(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    services: Vec<String>,
    /// Files as they are sent, by their names.
    files: BTreeMap<String, Vec<u8>>,
    /// Names of files by what is declared in them.
    symbols: BTreeMap<String, String>,
}

/// Both versions of the service, for a node that serves `service` of `rialto.v1`.
pub fn services(service: &str) -> (ServerReflectionServer<Reflection>, alpha::ServerReflectionServer<Reflection>) {
    let reflection = Reflection::of(service);
    (
        ServerReflectionServer::new(reflection.clone()).max_decoding_message_size(LOOK_MESSAGE_BYTES_MAX),
        alpha::ServerReflectionServer::new(reflection).max_decoding_message_size(LOOK_MESSAGE_BYTES_MAX),
    )
}

impl Reflection {
    #[expect(clippy::expect_used, reason = "the descriptors were compiled with this program")]
    fn of(service: &str) -> Reflection {
        let mut known = Known { services: OF_NODES.map(str::to_owned).to_vec(), ..Known::default() };
        known.services.push(service.to_owned());
        known.services.sort_unstable();
        let sets = [
            api::proto::DESCRIPTORS,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            v1::FILE_DESCRIPTOR_SET,
            v1alpha::FILE_DESCRIPTOR_SET,
        ];
        for set in sets {
            let set = FileDescriptorSet::decode(set).expect("the descriptors were compiled with this program");
            set.file.iter().for_each(|file| known.add(file));
        }
        Reflection(Arc::new(known))
    }

    fn answer(&self, request: v1::ServerReflectionRequest) -> v1::ServerReflectionResponse {
        let known = &self.0;
        let found = match request.message_request.as_ref() {
            Some(Asked::ListServices(_)) => Ok(known.list()),
            Some(Asked::FileByFilename(name)) => known.file(name).ok_or_else(|| format!("there is no file {name:?}")),
            Some(Asked::FileContainingSymbol(symbol)) => {
                let file = known.symbols.get(symbol.trim_start_matches('.')).and_then(|name| known.file(name));
                file.ok_or_else(|| format!("nothing here is called {symbol:?}"))
            }
            Some(Asked::AllExtensionNumbersOfType(name)) if known.symbols.contains_key(name) => {
                let numbers =
                    v1::ExtensionNumberResponse { base_type_name: name.clone(), extension_number: Vec::new() };
                Ok(Answered::AllExtensionNumbersResponse(numbers))
            }
            Some(Asked::AllExtensionNumbersOfType(name)) => Err(format!("nothing here is called {name:?}")),
            Some(Asked::FileContainingExtension(_)) => Err("nothing here has extensions".to_owned()),
            None => Err("the question is none of those that reflection knows".to_owned()),
        };
        let answered = found.unwrap_or_else(|error_message| {
            let error_code = Grpc::NotFound as i32;
            Answered::ErrorResponse(v1::ErrorResponse { error_code, error_message })
        });
        v1::ServerReflectionResponse {
            valid_host: request.host.clone(),
            original_request: Some(request),
            message_response: Some(answered),
        }
    }
}

impl Known {
    fn add(&mut self, file: &FileDescriptorProto) {
        let (name, package) = (file.name().to_owned(), file.package());
        let mut declared = Vec::new();
        file.message_type.iter().for_each(|message| of_message(package, message, &mut declared));
        file.enum_type.iter().for_each(|message| of_enum(package, message, &mut declared));
        for service in &file.service {
            let service_name = format!("{package}.{}", service.name());
            if self.services.contains(&service_name) {
                declared.extend(service.method.iter().map(|method| format!("{service_name}.{}", method.name())));
                declared.push(service_name);
            }
        }
        self.symbols.extend(declared.into_iter().map(|symbol| (symbol, name.clone())));
        self.files.insert(name, file.encode_to_vec());
    }

    fn list(&self) -> Answered {
        let service = |name: &String| v1::ServiceResponse { name: name.clone() };
        Answered::ListServicesResponse(v1::ListServiceResponse { service: self.services.iter().map(service).collect() })
    }

    fn file(&self, name: &str) -> Option<Answered> {
        let file = self.files.get(name)?.clone();
        Some(Answered::FileDescriptorResponse(v1::FileDescriptorResponse { file_descriptor_proto: vec![file] }))
    }
}

fn of_message(parent: &str, message: &DescriptorProto, declared: &mut Vec<String>) {
    let name = format!("{parent}.{}", message.name());
    declared.extend(message.field.iter().map(|field| format!("{name}.{}", field.name())));
    message.nested_type.iter().for_each(|nested| of_message(&name, nested, declared));
    message.enum_type.iter().for_each(|nested| of_enum(&name, nested, declared));
    declared.push(name);
}

fn of_enum(parent: &str, it: &EnumDescriptorProto, declared: &mut Vec<String>) {
    let name = format!("{parent}.{}", it.name());
    declared.extend(it.value.iter().map(|value| format!("{name}.{}", value.name())));
    declared.push(name);
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl ServerReflection for Reflection {
    type ServerReflectionInfoStream = Answers<v1::ServerReflectionResponse>;

    async fn server_reflection_info(
        &self,
        request: Request<Streaming<v1::ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        let (reflection, place) = (self.clone(), connection::open_stream(&request)?);
        let answers = request.into_inner().map(move |asked| {
            let _: &Option<StreamPlace> = &place;
            asked.map(|asked| reflection.answer(asked))
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

/// The messages of both versions are the same on the wire.
#[tonic::async_trait]
impl alpha::ServerReflection for Reflection {
    type ServerReflectionInfoStream = Answers<v1alpha::ServerReflectionResponse>;

    async fn server_reflection_info(
        &self,
        request: Request<Streaming<v1alpha::ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        let (reflection, place) = (self.clone(), connection::open_stream(&request)?);
        let answers = request.into_inner().map(move |asked| {
            let _: &Option<StreamPlace> = &place;
            let undecodable = |error: prost::DecodeError| Status::internal(error.to_string());
            let asked = v1::ServerReflectionRequest::decode(asked?.encode_to_vec().as_slice()).map_err(undecodable)?;
            let answer = reflection.answer(asked).encode_to_vec();
            v1alpha::ServerReflectionResponse::decode(answer.as_slice()).map_err(undecodable)
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_lists_its_own_services_and_knows_nothing_of_the_banks() {
        let reflection = Reflection::of("rialto.v1.Gateway");
        let own = ["grpc.health.v1.Health", "rialto.v1.Gateway"];
        assert!(own.iter().all(|service| reflection.0.services.iter().any(|known| known == service)));
        assert!(!reflection.0.services.iter().any(|service| service == "rialto.v1.Bank"));
        let known = |symbol: &str| reflection.0.symbols.contains_key(symbol);
        assert!(known("rialto.v1.Gateway.TransferMoney") && known("rialto.v1.TransferMoneyRequest.payments"));
        assert!(!known("rialto.v1.Bank") && !known("rialto.v1.Bank.Transfer"));
    }
}
