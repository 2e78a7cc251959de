//! Whether Consul answers, for the screen: nodes say in their logs when it does not, and nobody looks there unasked.

use std::time::Duration;

use server::consul::{self, Consul, ConsulError};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::network::layout::ConsulLayout;

const LOOK_EVERY: Duration = Duration::from_secs(3);
/// One lost answer is no news.
const VAIN_LOOKS: u32 = 2;

/// Looks as long as the tasks live; none without Consul. What it holds is why Consul cannot be asked, in a sentence.
pub(super) fn start(consul: Option<ConsulLayout>, tasks: &mut JoinSet<()>) -> Option<watch::Receiver<Option<String>>> {
    let ConsulLayout { url, token_file, ca } = consul?;
    let (config, _) = crate::consul::config(url.clone(), token_file.as_deref(), ca).ok()?;
    let consul = Consul::new(&config).ok()?;
    let (trouble, seen) = watch::channel(None);
    tasks.spawn(async move { look(&consul, &url, &trouble).await });
    Some(seen)
}

async fn look(consul: &Consul, url: &str, trouble: &watch::Sender<Option<String>>) {
    let mut vain = 0;
    loop {
        let why = consul::gateways(consul, None).await.err();
        vain = if why.is_some() { vain + 1 } else { 0 };
        let text = why.filter(|_| vain >= VAIN_LOOKS).map(|why| sentence(url, &why));
        if vain == 0 || text.is_some() {
            trouble.send_if_modified(|told| {
                // The reason may be another one each time: what counts is whether it answers.
                let is_news = told.is_some() != text.is_some();
                if is_news {
                    *told = text;
                }
                is_news
            });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn sentence(url: &str, why: &ConsulError) -> String {
    let what = match why {
        ConsulError::Away { why, .. } => format!("Consul at {url} cannot be reached: {why}"),
        ConsulError::Config(_) | ConsulError::Refused { .. } => format!("Consul at {url} cannot be asked: {why}"),
    };
    format!("{what}; who is known stays known, and nobody new is found")
}
