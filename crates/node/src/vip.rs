//! The "VIP" port: two below the node's, served by the same door (Java: `fastRemotingServer`).

use std::{
    net::SocketAddr,
    sync::{Arc, Weak},
    time::Duration,
};

use rocketwire_remoting::{BindError, Server};
use tokio::{net::TcpListener, task::JoinHandle};

/// After a failed accept.
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) struct Vip(JoinHandle<()>);

impl Vip {
    /// Listens beside `server`, which gets the connections.
    pub(crate) async fn start(server: &Arc<Server>) -> Result<Vip, BindError> {
        let mut addr = server.local_addr();
        addr.set_port(addr.port().saturating_sub(2));
        let listener = TcpListener::bind(addr).await;
        let listener = listener.map_err(|source| BindError { addr: addr.to_string(), source })?;
        Ok(Vip(tokio::spawn(accept(listener, Arc::downgrade(server)))))
    }

    pub(crate) async fn stop(mut self) {
        self.0.abort();
        let _ = (&mut self.0).await;
    }
}

impl Drop for Vip {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn accept(listener: TcpListener, server: Weak<Server>) {
    loop {
        let accepted = listener.accept().await;
        let Some(server) = server.upgrade() else { return };
        match accepted.and_then(|(stream, remote)| Ok((stream.local_addr()?, stream, remote))) {
            Ok((local, stream, remote)) => {
                let _ = stream.set_nodelay(true);
                let remote: SocketAddr = remote;
                server.adopt(stream, remote, local);
            }
            Err(error) => {
                tracing::warn!("cannot accept connections on the VIP port for now: {error}");
                drop(server);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
