//! Who is connected.

use std::collections::BTreeMap;

use bytestring::ByteString;
use rocketwire_protocol::{LanguageCode, Version, body::ConsumeType, message::name};

use super::{Family, Kind, boolean};
use crate::shared::Shared;

pub(super) fn connections(shared: &Shared) -> [Family; 2] {
    let mut producers = Family::new(
        "rocketmq_producer_connections",
        Kind::Gauge,
        "Memberships of connections in producer groups",
    );
    let mut consumers =
        Family::new("rocketmq_consumer_connections", Kind::Gauge, "Connections of each consumer group");
    let clients = shared.clients();
    let mut counts: BTreeMap<(LanguageCode, Version), usize> = BTreeMap::new();
    for (_, members) in clients.producer_groups() {
        for member in members {
            *counts.entry((member.language, member.version)).or_default() += 1;
        }
    }
    for ((language, version), count) in counts {
        producers.push(client(language, version), count);
    }
    for (group, consumer) in clients.consumer_groups() {
        let mut counts: BTreeMap<(LanguageCode, Version), usize> = BTreeMap::new();
        for member in consumer.members.values() {
            *counts.entry((member.language, member.version)).or_default() += 1;
        }
        let mode = match consumer.consume_type {
            ConsumeType::Actively => "pull",
            ConsumeType::Passively => "push",
            ConsumeType::Pop => "pop",
        };
        for ((language, version), count) in counts {
            let mut labels = client(language, version);
            labels.push(("consumer_group", group.clone()));
            labels.push(("consume_mode", ByteString::from_static(mode)));
            labels.push(("is_system", boolean(name::is_system_group(group))));
            consumers.push(labels, count);
        }
    }
    [producers, consumers]
}

fn client(language: LanguageCode, version: Version) -> Vec<(&'static str, ByteString)> {
    let lower = |name: Option<&str>, number: String| match name {
        Some(name) => ByteString::from(name.to_ascii_lowercase()),
        None => ByteString::from(number),
    };
    vec![
        ("language", lower(language.name(), language.0.to_string())),
        ("version", lower(version.name(), version.0.to_string())),
        ("protocol_type", ByteString::from_static("remoting")),
    ]
}
