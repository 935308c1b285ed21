//! RocketMQ broker: topics, groups, sends, pulls, delays over a durable store.
