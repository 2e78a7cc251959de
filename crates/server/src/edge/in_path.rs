//! A part of a request's path, as text.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use api::code::Code;
use api::problem::Problem;

use super::answer::Refusal;

/// The one part of a path that varies, decoded.
#[derive(Debug)]
pub struct InPath(pub String);

impl<S: Send + Sync> FromRequestParts<S> for InPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<InPath, Refusal> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(text)) => Ok(InPath(text)),
            Err(_) => {
                let detail = format!("the path {:?} is not UTF-8 once its percent signs are decoded", parts.uri.path());
                Err(Problem::new(Code::MalformedPath, detail).into())
            }
        }
    }
}
