//! What the two roles tell each other in one process: topics go to the name server, closed connections to both.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use rocketwire_broker::{Broker, TopicListener};
use rocketwire_nameserver::{KvDone, KvKeeper, KvTable, NameServer, TopicMaker};
use rocketwire_protocol::body::TopicConfig;
use rocketwire_remoting::{ConnectionEvent, ConnectionListener, Lane, Router};
use rocketwire_store::Table;
use tokio::runtime::Handle;

use crate::register::Changes;

/// The broker's topics, as they change.
pub(crate) struct Topics {
    pub(crate) name_server: NameServer,
    pub(crate) broker_name: String,
    /// Name servers elsewhere.
    pub(crate) changes: Changes,
}

impl TopicListener for Topics {
    fn topic_changed(&self, topic: &TopicConfig) {
        self.name_server.update_local_topic(&self.broker_name, topic);
        self.tell();
    }

    fn topic_removed(&self, topic: &str) {
        self.name_server.remove_local_topic(&self.broker_name, topic);
        self.tell();
    }
}

impl Topics {
    fn tell(&self) {
        for change in &self.changes {
            change.notify_one();
        }
    }
}

/// Topics that clients ask for, made by the broker from the template of automatic creation. The broker knows the name
/// server, which knows this: it must not keep the broker alive.
pub(crate) struct Maker(pub(crate) Weak<Broker>);

impl TopicMaker for Maker {
    fn make(&self, topic: &str, done: Box<dyn FnOnce() + Send>) {
        let Some(broker) = self.0.upgrade() else { return done() };
        let topic = topic.to_owned();
        let make = move || {
            if let Err(error) = broker.create_from_template(&topic) {
                tracing::debug!(%error, topic, "a topic that was asked for was not created");
            }
            done();
        };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(make)),
            Err(_) => make(),
        }
    }
}

/// The name server's KV configuration, in a table beside the broker's.
pub(crate) struct Kv(pub(crate) Arc<Mutex<Table>>);

impl KvKeeper for Kv {
    fn keep(&self, table: KvTable, done: KvDone) {
        let file = Arc::clone(&self.0);
        let save = move || {
            let file = file.lock().unwrap_or_else(PoisonError::into_inner);
            done(file.save(&table()).map_err(|error| error.to_string()));
        };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(save)),
            Err(_) => save(),
        }
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

/// The roles behind one door. Nothing of either blocks, so that all of it runs on the connections' tasks.
pub(crate) fn router(name_server: Option<&NameServer>, broker: &Broker) -> Router {
    let lane = Lane::inline();
    let names = name_server.map(NameServer::processors).unwrap_or_default().into_iter();
    let router =
        names.fold(Router::new(), |router, (code, processor)| router.route(code, processor, lane.clone()));
    broker.route(router)
}
