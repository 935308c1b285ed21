//! Name server and broker in one process: a real RocketMQ endpoint for laptops, CI, tests and the edge.
//!
//! One port serves every role. A route answer tells each client the address by which it reached the node, so that
//! nothing has to be configured for containers, several interfaces or a free port; [`NodeBuilder::advertise`] is
//! for mapped ports. Any number of nodes run in one process.
//!
//! ```
//! use rocketwire_node::Node;
//!
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
//! // In memory, on a free port: what a test wants. Tests with a node each run in parallel.
//! let node = Node::builder().memory().start().await?;
//! let address = node.addr().to_string();
//! // .. let a client send and consume at `address` ..
//! # let _ = address;
//! node.shutdown(std::time::Duration::from_secs(1)).await?;
//! # Ok::<(), rocketwire_node::NodeError>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Who may connect
//! There is no authentication: whoever reaches the port may read, write and delete. A node listens on loopback
//! unless [`NodeBuilder::host`] says otherwise.

mod builder;
pub mod config;
mod error;
mod http;
mod node;
mod options;
mod own;
mod register;
mod runtimes;
mod vip;

pub use builder::NodeBuilder;
pub use error::NodeError;
pub use node::Node;
pub use options::{NodeOptions, Place};
pub use rocketwire_broker::import;
pub use rocketwire_store::Flush;
