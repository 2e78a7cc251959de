//! The network of one directory: which banks it holds, where their nodes listen, and what is running.
//!
//! ```text
//! DIR/lock           held by the `rialto up` that runs
//! DIR/layout.json    what was made here: banks, number of nodes, cluster numbers, ports   (layout)
//! DIR/network.json   what runs at this moment: processes and addresses                    (network_file)
//! DIR/tls/           certificates of all nodes, of the operator and of clients     (certificates)
//! DIR/<bank>/<n>/    one node's own directory
//! ```

pub(crate) mod atomic_file;
pub(crate) mod certificates;
pub(crate) mod cluster;
pub(crate) mod layout;
pub(crate) mod name;
pub(crate) mod network_file;
pub(crate) mod ports;
