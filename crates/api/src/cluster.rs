//! The header by which a caller says which cluster it means.
//!
//! Addresses are reused: where one cluster was, another may be founded. A caller that acts over some time learns the
//! cluster's number once and sends it with every call; a node of another cluster then refuses the call
//! ([`crate::code::Code::OtherCluster`]), whatever it asks for. Every answer names the cluster of the node that gave it.

use std::sync::{Arc, OnceLock};

use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use uuid::Uuid;

/// Header over HTTP, metadata over gRPC: the cluster's number, a UUID as `rialto bank init` prints it.
pub const CLUSTER_HEADER: &str = "rialto-cluster";

/// Which cluster the calls of a client are meant for: one that is named, or that of the first node that answers. From then
/// on every call says so. A clone is the same pin.
#[derive(Debug, Clone, Default)]
pub struct ClusterPin(Arc<OnceLock<u128>>);

impl ClusterPin {
    /// Of that number, whoever answers.
    pub fn to(cluster: u128) -> ClusterPin {
        ClusterPin(Arc::new(OnceLock::from(cluster)))
    }

    /// The number, once it is known.
    pub fn cluster(&self) -> Option<u128> {
        self.0.get().copied()
    }

    /// What a call names.
    pub(crate) fn header(&self) -> Option<MetadataValue<Ascii>> {
        self.cluster().and_then(|cluster| Uuid::from_u128(cluster).to_string().parse().ok())
    }

    /// The first cluster that answers counts, whatever answers later.
    pub(crate) fn learn(&self, answer: &MetadataMap) {
        let named = answer.get(CLUSTER_HEADER).and_then(|value| value.to_str().ok());
        if let Some(cluster) = named.and_then(|text| Uuid::parse_str(text).ok()) {
            let _ = self.0.set(cluster.as_u128());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> MetadataMap {
        let mut answer = MetadataMap::new();
        answer.insert(CLUSTER_HEADER, text.parse().expect("plain"));
        answer
    }

    #[test]
    fn the_first_cluster_that_answers_is_meant_unless_one_was_named() {
        let (first, second) = ("00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002");
        let pin = ClusterPin::default();
        pin.learn(&MetadataMap::new());
        pin.learn(&answer("no number"));
        assert!(pin.header().is_none());
        pin.clone().learn(&answer(first));
        pin.learn(&answer(second));
        assert_eq!((pin.cluster(), pin.header()), (Some(1), Some(first.parse().expect("plain"))));
        let named = ClusterPin::to(2);
        named.learn(&answer(first));
        assert_eq!(named.cluster(), Some(2));
    }
}
