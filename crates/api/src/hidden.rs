//! Messages that hold a secret print themselves without it, so that no log can.

use std::fmt;

use crate::proto;

impl fmt::Debug for proto::LoginRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proto::LoginRequest { username, bank_name, password: _ } = self;
        f.debug_struct("LoginRequest").field("username", username).field("bank_name", bank_name).finish_non_exhaustive()
    }
}

impl fmt::Debug for proto::LoginResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proto::LoginResponse { token: _, expires_ms, live_sessions } = self;
        let mut shown = f.debug_struct("LoginResponse");
        shown.field("expires_ms", expires_ms).field("live_sessions", live_sessions).finish_non_exhaustive()
    }
}

impl fmt::Debug for proto::AuthenticateRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proto::AuthenticateRequest { username, password: _, source: _, earlier: _ } = self;
        f.debug_struct("AuthenticateRequest").field("username", username).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_printed() {
        let (username, bank_name, password) = ("alice".to_owned(), "alpha".to_owned(), "p4ss".to_owned());
        let asked = proto::AuthenticateRequest {
            username: username.clone(),
            password: password.clone(),
            source: 7,
            earlier: None,
        };
        let login = proto::LoginRequest { username, bank_name, password };
        let answer = proto::LoginResponse { token: "t0ken".to_owned(), ..proto::LoginResponse::default() };
        let text = format!("{asked:?} {login:?} {answer:?}");
        assert!(text.contains("alice") && !text.contains("p4ss") && !text.contains("t0ken"), "{text}");
    }
}
