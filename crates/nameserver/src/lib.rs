//! RocketMQ name server: which broker has which topic, and which brokers live.
//!
//! [`RouteTable`] is the table itself, without a runtime or a clock. [`NameServer`] puts it behind processors
//! for request codes; a broker in the same process registers through [`NameServer::register_local`], others by
//! request 103.
//!
//! ```
//! use rocketwire_nameserver::{NameServer, NameServerOptions};
//! use rocketwire_remoting::{Lane, Router};
//!
//! let name_server = NameServer::new(NameServerOptions::default());
//! let router = name_server
//!     .processors()
//!     .into_iter()
//!     .fold(Router::new(), |router, (code, processor)| router.route(code, processor, Lane::inline()));
//! # let _ = router;
//! ```

mod kv;
mod options;
mod processor;
mod routes;
mod server;

pub use kv::{KvDone, KvKeeper, KvTable};
pub use options::NameServerOptions;
pub use routes::{LocalBroker, RegisterError, Registration, RouteTable, TooMany};
pub use server::{NameServer, TopicMaker};
