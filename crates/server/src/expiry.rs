//! Warns before this node's certificate expires: every half day from a month before, until it is replaced.

use certs::Files;
use std::time::{Duration, SystemTime};
use tracing::{error, warn};

const LOOK_PERIOD: Duration = Duration::from_secs(12 * 60 * 60);

/// Runs until it is aborted. Reads the file each time: it may have been replaced.
pub(crate) async fn warn_before(files: Files) {
    let mut looks = tokio::time::interval(LOOK_PERIOD);
    loop {
        looks.tick().await;
        tell(&files, SystemTime::now());
    }
}

fn tell(files: &Files, now: SystemTime) {
    let (subject, todo) = (files.subject(), format!("rialto certs rotate {}", files.subject()));
    match files.facts() {
        Ok(facts) if facts.has_expired(now) => {
            error!(event = "certificate_expired", subject = %subject, effect = "nobody believes this node", todo);
        }
        Ok(facts) if facts.expires_soon(now) => {
            let days_left = facts.days_left(now);
            warn!(event = "certificate_expires_soon", subject = %subject, days_left, todo);
        }
        Ok(_) => {}
        Err(error) => warn!(event = "certificate_unreadable", subject = %subject, why = %error),
    }
}
