//! What the two roles tell each other in one process: topics go to the name server, closed connections to both.

use std::sync::Arc;

use rocketwire_broker::{Broker, TopicListener};
use rocketwire_nameserver::NameServer;
use rocketwire_protocol::body::TopicConfig;
use rocketwire_remoting::{ConnectionEvent, ConnectionListener, Lane, Router};

/// The broker's topics, as they change.
pub(crate) struct Topics {
    pub(crate) name_server: NameServer,
    pub(crate) broker_name: String,
}

impl TopicListener for Topics {
    fn topic_changed(&self, topic: &TopicConfig) {
        self.name_server.update_local_topic(&self.broker_name, topic);
    }

    fn topic_removed(&self, topic: &str) {
        self.name_server.remove_local_topic(&self.broker_name, topic);
    }
}

/// Connections that close, after the user's own listener was told.
pub(crate) struct Closes {
    pub(crate) name_server: NameServer,
    pub(crate) broker: Broker,
    pub(crate) next: Option<Arc<dyn ConnectionListener>>,
}

impl ConnectionListener for Closes {
    fn on_event(&self, event: ConnectionEvent) {
        if let ConnectionEvent::Closed(connection, _) = &event {
            self.name_server.connection_closed(connection.id());
            self.broker.connection_closed(connection.id());
        }
        if let Some(next) = &self.next {
            next.on_event(event);
        }
    }
}

/// Both roles behind one door. Nothing of either blocks, so that all of it runs on the connections' tasks.
pub(crate) fn router(name_server: &NameServer, broker: &Broker) -> Router {
    let lane = Lane::inline();
    let roles = name_server.processors().into_iter().chain(broker.processors());
    roles.fold(Router::new(), |router, (code, processor)| router.route(code, processor, lane.clone()))
}
