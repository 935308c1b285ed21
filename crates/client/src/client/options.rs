//! Options of a client, and its builder.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use rocketwire_remoting::{ClientOptions as RemotingOptions, RpcHook};

use super::{Client, Inner};
use crate::{Credentials, RequestError};

/// Options of a [`Client`].
#[derive(Clone)]
#[non_exhaustive]
pub struct ClientOptions {
    /// `host:port` of each name server.
    pub name_servers: Vec<String>,
    /// The client's address in its id. Default: that of the interface that faces the name servers.
    pub client_ip: Option<IpAddr>,
    /// The part of the client id behind the address. Default: `pid#random`, which no other client has. Two
    /// clients of a consumer group with one id are taken for one, and some queues have no consumer.
    pub instance_name: Option<String>,
    /// The unit in the client id.
    pub unit_name: Option<String>,
    /// Signs every request.
    pub credentials: Option<Credentials>,
    /// The namespace that every request names in its fields `ns` and `nsd`, for brokers that keep tenants apart
    /// by it (Java: `namespaceV2`). Topics and groups keep their names.
    pub namespace: Option<String>,
    /// How often routes are looked up anew. Default 30 s (Java: `pollNameServerInterval`).
    pub route_interval: Duration,
    /// How often brokers get a heartbeat. Default 30 s (Java: `heartbeatBrokerInterval`); they forget a client
    /// after 120 s.
    pub heartbeat_interval: Duration,
    /// How often offsets are stored. Default 5 s (Java: `persistConsumerOffsetInterval`); longer means more
    /// messages again after a crash.
    pub offset_interval: Duration,
    /// The deadline of routes, heartbeats and consumer lists. Default 3 s (Java: `mqClientApiTimeout`).
    pub api_timeout: Duration,
    /// Whether requests that producers send go to the broker's port − 2. Default false
    /// (Java: `sendMessageWithVIPChannel`).
    pub vip_channel: bool,
    /// The largest body after decompression. Default 64 MiB; a larger one is a failed message, not memory.
    pub max_decompressed: usize,
    /// Options of the connections.
    pub remoting: RemotingOptions,
    pub(crate) hooks: Vec<Arc<dyn RpcHook>>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            name_servers: Vec::new(),
            client_ip: None,
            instance_name: None,
            unit_name: None,
            credentials: None,
            namespace: None,
            route_interval: Duration::from_secs(30),
            heartbeat_interval: Duration::from_secs(30),
            offset_interval: Duration::from_secs(5),
            api_timeout: Duration::from_secs(3),
            vip_channel: false,
            max_decompressed: 64 << 20,
            remoting: RemotingOptions::default(),
            hooks: Vec::new(),
        }
    }
}

impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOptions")
            .field("name_servers", &self.name_servers)
            .field("instance_name", &self.instance_name)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

/// Builds a [`Client`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ClientBuilder {
    options: ClientOptions,
}

impl ClientBuilder {
    pub(crate) fn new() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// The name servers, separated by `;` or `,`: `10.0.0.1:9876;10.0.0.2:9876`.
    pub fn name_servers(mut self, list: &str) -> ClientBuilder {
        self.options.name_servers = split_addresses(list);
        self
    }

    /// Signs every request with these credentials.
    pub fn credentials(mut self, credentials: Credentials) -> ClientBuilder {
        self.options.credentials = Some(credentials);
        self
    }

    /// The part of the client id behind the address; must be unique among the clients of a group.
    pub fn instance_name(mut self, name: impl Into<String>) -> ClientBuilder {
        self.options.instance_name = Some(name.into());
        self
    }

    /// Sees every request and response; before the signature is made.
    pub fn hook(mut self, hook: Arc<dyn RpcHook>) -> ClientBuilder {
        self.options.hooks.push(hook);
        self
    }

    /// Changes any other option.
    pub fn options(mut self, change: impl FnOnce(&mut ClientOptions)) -> ClientBuilder {
        change(&mut self.options);
        self
    }

    /// The client. Nothing is connected before the first request.
    ///
    /// # Errors
    /// [`RequestError`] if this is not called inside a tokio runtime.
    pub fn build(self) -> Result<Client, RequestError> {
        Inner::start(self.options)
    }
}

/// `a:9876;b:9876`, `a:9876,b:9876`, with spaces and an `http://` in front if someone pasted one.
pub(crate) fn split_addresses(list: &str) -> Vec<String> {
    let addresses = list.split([';', ',']).map(str::trim).filter(|address| !address.is_empty());
    addresses.map(|address| address.strip_prefix("http://").unwrap_or(address).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_be_separated_either_way() {
        assert_eq!(split_addresses("a:9876;b:9876"), ["a:9876", "b:9876"]);
        assert_eq!(split_addresses(" a:9876 , b:9876;"), ["a:9876", "b:9876"]);
        assert_eq!(split_addresses(""), Vec::<String>::new());
    }

    #[test]
    fn debug_shows_no_secret() {
        let builder = Client::builder().credentials(Credentials::new("key", "hunter2"));
        assert!(!format!("{builder:?}").contains("hunter2"));
    }
}
