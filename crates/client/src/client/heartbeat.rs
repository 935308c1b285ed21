//! Heartbeats and good-byes (spec client G.3, broker B.8).

use std::sync::{Arc, Weak, atomic::Ordering};

use bytestring::ByteString;
use rocketwire_protocol::{
    Command, RequestCode,
    body::{self, ConsumerData, HeartbeatData, ProducerData},
};
use rocketwire_remoting::{ClientOptions, ConnectionEvent, ConnectionListener};
use tokio::{task::JoinSet, time::Instant};

use super::{BrokerCalls, Inner};
use crate::error::success;

/// A broker knows a client by its connection: on a new one it has to be told again.
struct Announce {
    client: Weak<Inner>,
    user: Option<Arc<dyn ConnectionListener>>,
}

impl ConnectionListener for Announce {
    fn on_event(&self, event: ConnectionEvent) {
        if let (ConnectionEvent::Active(_), Some(client)) = (&event, self.client.upgrade()) {
            client.want_heartbeat();
        }
        if let Some(user) = &self.user {
            user.on_event(event);
        }
    }
}

/// The options with a listener in front of the user's.
pub(super) fn announcing(client: &Weak<Inner>, mut options: ClientOptions) -> ClientOptions {
    let user = options.listener.take();
    options.listener = Some(Arc::new(Announce { client: client.clone(), user }));
    options
}

/// What a heartbeat says. `None` if there is nobody to tell about.
fn heartbeat(
    client_id: &ByteString,
    producers: Vec<String>,
    consumers: Vec<ConsumerData>,
) -> Option<HeartbeatData> {
    if producers.is_empty() && consumers.is_empty() {
        return None;
    }
    let producer = |group: String| ProducerData { group_name: group.into() };
    Some(HeartbeatData {
        client_id: client_id.clone(),
        producer_data_set: producers.into_iter().map(producer).collect(),
        consumer_data_set: consumers,
        ..HeartbeatData::default()
    })
}

impl Inner {
    /// Tells every broker who lives here, and waits for their answers. Failures are only logged: the next
    /// heartbeat comes soon.
    pub(crate) async fn heartbeat_all(self: &Arc<Self>) {
        let news = self.news.load(Ordering::Acquire);
        self.routes_mut().prune();
        // One that is leaving would be a member again, which gets queues and does nothing with them.
        let members = self.groups.consumers().into_iter().filter(|core| !core.handling.is_stopped());
        let consumers: Vec<ConsumerData> = members.map(|core| core.heartbeat()).collect();
        let masters_only = consumers.is_empty();
        let Some(data) = heartbeat(&self.client_id, self.groups.producer_groups(), consumers) else { return };
        let body = body::encode(&data);
        let mut running = JoinSet::new();
        let addresses = self.routes().heartbeat_addresses(masters_only);
        for address in addresses {
            let (this, body) = (self.clone(), body.clone());
            running.spawn(async move {
                let request = Command::request(RequestCode::HEART_BEAT).with_body(body);
                let answer = this.remoting.invoke(&address, request, this.options.api_timeout).await;
                if let Err(error) = success("HEART_BEAT", &address, answer) {
                    tracing::warn!(%error, "heartbeat failed");
                }
            });
        }
        while running.join_next().await.is_some() {}
        self.told.fetch_max(news, Ordering::AcqRel);
    }

    /// Says good-bye for all producers.
    pub(crate) async fn unregister_producers(&self, deadline: Instant) {
        for group in self.groups.producer_groups() {
            self.unregister_producer(&group, deadline).await;
        }
    }

    pub(crate) async fn unregister_producer(&self, group: &str, deadline: Instant) {
        self.unregister(Some(group), None, deadline).await;
    }

    /// Says good-bye for a consumer.
    pub(crate) async fn unregister_consumer(&self, group: &str, deadline: Instant) {
        self.unregister(None, Some(group), deadline).await;
    }

    async fn unregister(&self, producer: Option<&str>, consumer: Option<&str>, deadline: Instant) {
        let addresses = self.routes().heartbeat_addresses(false);
        for address in addresses {
            let left = deadline.saturating_duration_since(Instant::now()).min(self.options.api_timeout);
            let calls = BrokerCalls { remoting: &self.remoting, address: &address };
            if let Err(error) = calls.unregister(&self.client_id, producer, consumer, left).await {
                tracing::debug!(%error, "the broker will notice by itself that the client is gone");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rocketwire_protocol::body::{ConsumeFromWhere, ConsumeType, MessageModel};

    use super::*;

    #[test]
    fn nobody_is_not_announced() {
        assert_eq!(heartbeat(&"id".into(), vec![], vec![]), None);
    }

    #[test]
    fn the_body_is_what_brokers_read() {
        let consumer = ConsumerData {
            group_name: "CG".into(),
            consume_type: ConsumeType::Passively,
            message_model: MessageModel::Clustering,
            consume_from_where: ConsumeFromWhere::LastOffset,
            ..ConsumerData::default()
        };
        let data = heartbeat(&"10.0.0.9@1".into(), vec!["PG".into()], vec![consumer]).expect("somebody");
        let text = String::from_utf8(body::encode(&data).to_vec()).expect("JSON is UTF-8");
        assert_eq!(
            text,
            concat!(
                r#"{"clientID":"10.0.0.9@1","consumerDataSet":[{"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","#,
                r#""consumeType":"CONSUME_PASSIVELY","groupName":"CG","messageModel":"CLUSTERING","#,
                r#""subscriptionDataSet":[],"unitMode":false}],"heartbeatFingerprint":0,"#,
                r#""producerDataSet":[{"groupName":"PG"}],"withoutSub":false}"#
            )
        );
    }
}
