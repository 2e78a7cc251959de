//! How a call ended, as the head or the trailers of its answer say.
//!
//! tonic panics where the details of a status are not Base64 (`Status::from_header_map` of tonic 0.14), so whoever answers could
//! end the task that called. Such details say nothing: they are taken off every answer before tonic sees it.

use http_body_util::BodyExt;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Response};
use tonic::metadata::MetadataMap;

const DETAILS: &str = "grpc-status-details-bin";

/// The answer, and nothing in it that tonic cannot read.
pub(super) fn readable(response: Response<Body>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    without_broken_details(&mut head.headers);
    let body = body.map_frame(|mut frame| {
        if let Some(trailers) = frame.trailers_mut() {
            without_broken_details(trailers);
        }
        frame
    });
    Response::from_parts(head, Body::new(body))
}

/// The status of a head or of trailers, if they have one.
pub(crate) fn status_of(head: &HeaderMap) -> Option<Status> {
    if has_broken_details(head) {
        let mut head = head.clone();
        head.remove(DETAILS);
        return Status::from_header_map(&head);
    }
    Status::from_header_map(head)
}

fn without_broken_details(head: &mut HeaderMap) {
    if has_broken_details(head) {
        head.remove(DETAILS);
    }
}

/// Read by tonic's own reader of binary metadata, which returns an error where that of statuses panics.
fn has_broken_details(head: &HeaderMap) -> bool {
    let Some(details) = head.get(DETAILS) else { return false };
    let only = HeaderMap::from_iter([(tonic::codegen::http::HeaderName::from_static(DETAILS), details.clone())]);
    MetadataMap::from_headers(only).get_bin(DETAILS).is_none_or(|details| details.to_bytes().is_err())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Code;
    use crate::problem::Problem;
    use tonic::codegen::http::HeaderValue;

    #[test]
    fn details_that_are_no_base64_are_as_good_as_none() {
        let mut head = HeaderMap::new();
        head.insert("grpc-status", HeaderValue::from_static("14"));
        for broken in ["%", "a", "CAgSA\u{ed}5v", "===="] {
            head.insert(DETAILS, HeaderValue::from_bytes(broken.as_bytes()).expect("a header"));
            let status = status_of(&head).expect("it has one");
            assert_eq!((status.code(), status.details()), (tonic::Code::Unavailable, [].as_slice()), "{broken}");
        }
        let ours = Problem::new(Code::Overloaded, "too much").to_status().into_http::<()>();
        let status = status_of(ours.headers()).expect("it has one");
        assert_eq!(Problem::code_of(&status), Some(Code::Overloaded), "good details stay");
    }
}
