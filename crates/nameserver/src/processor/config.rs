//! Values that operators set, and settings.

use bytes::Bytes;
use rocketwire_protocol::{
    Command, ResponseCode,
    body::{self, KVTable},
    header::*,
};

use super::{NameServerProcessor, Refused, success, with_body};
use crate::kv::KvError;

/// Request 318: nothing is settable from the network.
pub(super) fn update(command: &Command) -> Result<Command, Refused> {
    if command.body.is_empty() {
        return Ok(success());
    }
    let remark = "Can not update config in black list. No setting of this name server can be set remotely";
    Err(Refused(ResponseCode::NO_PERMISSION, remark.into()))
}

impl NameServerProcessor {
    pub(super) fn put_kv(&self, command: &Command) -> Result<Command, Refused> {
        let header: PutKVConfigRequestHeader = command.header()?;
        let put = self.0.kv().put(&header.namespace, &header.key, &header.value);
        put.map(|()| success()).map_err(|error| {
            let remark = match error {
                KvError::TooMany => "the KV configuration is full; delete entries, or raise max_kv_entries",
                KvError::TooLong => "a name or value of the KV configuration is too long; see max_kv_bytes",
            };
            Refused(ResponseCode::SYSTEM_ERROR, remark.into())
        })
    }

    pub(super) fn get_kv(&self, command: &Command) -> Result<Command, Refused> {
        let header: GetKVConfigRequestHeader = command.header()?;
        let Some(value) = self.0.kv().get(&header.namespace, &header.key).cloned() else {
            let remark = format!("No config item, Namespace: {} Key: {}", header.namespace, header.key);
            return Err(Refused(ResponseCode::QUERY_NOT_FOUND, remark));
        };
        let header = GetKVConfigResponseHeader { value: Some(value), ..Default::default() };
        Ok(success().with_header(&header))
    }

    pub(super) fn kv_list(&self, command: &Command) -> Result<Command, Refused> {
        let header: GetKVListByNamespaceRequestHeader = command.header()?;
        match self.kv_table(&header.namespace) {
            Some(table) => Ok(with_body(table)),
            None => {
                let remark = format!("No config item, Namespace: {}", header.namespace);
                Err(Refused(ResponseCode::QUERY_NOT_FOUND, remark))
            }
        }
    }

    pub(super) fn kv_table(&self, namespace: &str) -> Option<Bytes> {
        let table = self.0.kv().namespace(namespace)?.clone();
        Some(body::encode(&KVTable { table }))
    }

    /// Java's settings as far as they mean something here, then what bounds the tables.
    pub(super) fn config(&self, port: u16) -> String {
        let options = &self.0.options;
        format!(
            "listenPort={port}\norderMessageEnable={}\nenableTopicList=true\nenableAllTopicList=true\n\
             returnOrderTopicConfigToBroker=true\ndeleteTopicWithBrokerRegistration=false\n\
             supportActingMaster=false\nnotifyMinBrokerIdChanged=false\nenableControllerInNamesrv=false\n\
             brokerExpiry={}\nmaxTopics={}\nmaxBrokers={}\nmaxInstances={}\n",
            options.order_message_enable,
            options.broker_expiry.as_millis(),
            options.max_topics,
            options.max_brokers,
            options.max_instances,
        )
    }
}
