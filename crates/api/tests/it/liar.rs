//! What a client makes of a node that answers what no gRPC server would.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};
use std::time::Duration;

use api::client::Secret;
use api::client::gateway::{GatewayClient, GatewayError, GatewayOptions};
use http_body_util::{BodyExt, Empty};
use tonic::body::Body;
use tonic::codegen::Bytes;
use tonic::codegen::http::{HeaderMap, HeaderValue, Request, Response};
use tonic::server::NamedService;
use tonic::transport::server::TcpIncoming;
use tower_service::Service;

/// Where the status stands.
#[derive(Debug, Clone, Copy)]
enum Place {
    Head,
    Trailers,
}

/// Ends every call with a status whose details are no Base64.
#[derive(Debug, Clone)]
struct Liar(Place);

impl NamedService for Liar {
    const NAME: &'static str = "rialto.v1.Gateway";
}

impl Service<Request<Body>> for Liar {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        let status = HeaderMap::from_iter([
            ("grpc-status".parse().expect("a name"), HeaderValue::from_static("14")),
            ("grpc-status-details-bin".parse().expect("a name"), HeaderValue::from_static("CAgSA!5v")),
        ]);
        let mut response = Response::new(Body::empty());
        match self.0 {
            Place::Head => response.headers_mut().extend(status),
            Place::Trailers => {
                let body = Empty::<Bytes>::new().with_trailers(ready(Some(Ok(status))));
                response = Response::new(Body::new(body));
            }
        }
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        ready(Ok(response))
    }
}

#[tokio::test]
async fn a_status_that_cannot_be_read_ends_the_call_and_not_the_caller() {
    for place in [Place::Head, Place::Trailers] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound").to_string();
        let server = tonic::transport::Server::builder().add_service(Liar(place));
        let serving = tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        let limits = GatewayOptions { deadline: Duration::from_secs(2), ..GatewayOptions::default() };
        let gateway = GatewayClient::connect([address]).expect("an address").with_options(limits);
        let party = "alice@alpha".parse().expect("well formed");
        let refused = gateway.login(&party, &Secret::new("x")).await.expect_err("there is no gateway");
        assert!(matches!(refused, GatewayError::Unreachable { .. }), "{place:?}: {refused:?}");
        serving.abort();
    }
}
