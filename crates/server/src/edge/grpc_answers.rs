//! Errors over gRPC are always ours: what the transport and the decoder refuse carries a stable code like everything else.

use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::Response;
use tonic::{Code as Grpc, Status};

use api::code::Code;
use api::problem::Problem;

use super::answer;
use super::bounds::HEAD_BYTES_MAX;
use super::framing::compressed_problem;

/// The layer around all services of a node.
pub(crate) async fn keep(request: Request, next: Next) -> Response {
    match admit(&request) {
        Ok(()) => in_our_words(next.run(request).await, None),
        // Whoever does not speak gRPC could not read a status of it.
        Err(problem) if matches!(problem.code, Code::NotGrpc | Code::MethodNotAllowed) => answer::problem(&problem),
        Err(problem) => problem.to_status().into_http(),
    }
}

/// Looks at the head of a call.
fn admit(request: &Request) -> Result<(), Problem> {
    if request.method() != Method::POST {
        let detail = format!("{} is no call of gRPC: calls are POSTs", request.method());
        return Err(Problem::new(Code::MethodNotAllowed, detail));
    }
    let headers = request.headers();
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let media_type = text(CONTENT_TYPE.as_str()).unwrap_or_default();
    let is_grpc = media_type.strip_prefix("application/grpc").is_some_and(|rest| matches!(rest, "" | "+proto"));
    if !is_grpc {
        let detail = format!("the content is declared as {media_type:?}, and this port speaks gRPC: application/grpc");
        return Err(Problem::new(Code::NotGrpc, detail));
    }
    if let Some(encoding) = text("grpc-encoding").filter(|encoding| *encoding != "identity") {
        return Err(compressed_problem(&format!("the call's encoding is {encoding:?}")));
    }
    let head_bytes = request.uri().path().len() + bytes_of(headers);
    if head_bytes > HEAD_BYTES_MAX {
        let detail = format!("the head of the call has {head_bytes} bytes, and {HEAD_BYTES_MAX} are taken");
        return Err(Problem::new(Code::HeadersTooLarge, detail).with("limit_bytes", HEAD_BYTES_MAX));
    }
    Ok(())
}

/// As HTTP/2 counts them: 32 bytes for each besides its own (RFC 9113, section 6.5.2).
fn bytes_of(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
}

/// An answer with our details: those of `refused`, if reading the call was refused, or else what the status amounts to. An
/// answer that has details keeps them.
pub(super) fn in_our_words(response: Response, refused: Option<&Problem>) -> Response {
    let Some(status) = Status::from_header_map(response.headers()).filter(|status| status.code() != Grpc::Ok) else {
        return response;
    };
    let problem = match refused {
        Some(problem) => problem.clone(),
        None if !status.details().is_empty() => return response,
        None => problem_of(&status),
    };
    problem.to_status().into_http()
}

fn problem_of(status: &Status) -> Problem {
    if let Some(detail) = of_malformed(status.message()) {
        return Problem::new(Code::MalformedMessage, detail);
    }
    let code = match status.code() {
        Grpc::Unimplemented => Code::NoSuchPath,
        Grpc::NotFound => Code::UnknownService,
        Grpc::OutOfRange => Code::BodyTooLarge,
        Grpc::Cancelled | Grpc::Unknown => Code::BrokenRequest,
        _ => Code::Internal,
    };
    let detail = match (status.message(), code) {
        ("", Code::NoSuchPath) => "this node has no such call at this address; reflection lists those that it has",
        ("", _) => code.row().title,
        (message, _) => message,
    };
    Problem::new(code, detail)
}

/// What the decoder says of a message that it cannot read, in our words; `None` where it says something else.
fn of_malformed(message: &str) -> Option<String> {
    if let Some(why) = message.strip_prefix("failed to decode Protobuf message: ") {
        return Some(format!("the message is not as the .proto files describe it: {why}"));
    }
    let words = match message {
        _ if message.starts_with("Missing request message") => "the call came without a message; send one",
        _ if message.starts_with("Unexpected EOF") => "the message is cut off: fewer bytes came than it says",
        _ => return None,
    };
    Some(words.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_answer_is_empty_or_in_the_words_of_a_library() {
        for (status, code, words) in [
            (Status::unimplemented(""), Code::NoSuchPath, "no such call"),
            (Status::internal("Missing request message."), Code::MalformedMessage, "without a message"),
            (Status::internal("Unexpected EOF decoding stream."), Code::MalformedMessage, "cut off"),
            (
                Status::internal("failed to decode Protobuf message: invalid wire type"),
                Code::MalformedMessage,
                "not as the .proto files describe it: invalid wire type",
            ),
            (Status::internal(""), Code::Internal, "A bug"),
            (Status::not_found("no service x"), Code::UnknownService, "no service x"),
        ] {
            let problem = problem_of(&status);
            assert!(problem.code == code && problem.detail.contains(words), "{status:?}: {}", problem.detail);
        }
    }
}
