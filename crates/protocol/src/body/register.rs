//! What a broker registers at a name server.

use bytes::{Buf, Bytes};
use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use super::{
    BodyError, DataVersion, TopicConfig, TopicConfigSerializeWrapper, TopicFilterType, decode, encode,
};
use crate::{
    Version,
    message::{CompressionType, SysFlag, compress, decompress},
};

/// Body of REGISTER_BROKER 103 (Java: `RegisterBrokerBody`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegisterBrokerBody {
    /// Filter servers, which nobody has any more.
    pub filter_server_list: Vec<ByteString>,
    /// The broker's topics.
    pub topic_config_serialize_wrapper: TopicConfigSerializeWrapper,
}

impl RegisterBrokerBody {
    /// Reads the body: JSON, or for `compressed` the form of [`RegisterBrokerBody::encode_compressed`], which may
    /// decompress to `limit` bytes. An empty body is a broker without topics.
    pub fn decode(body: &[u8], compressed: bool, limit: usize) -> Result<RegisterBrokerBody, BodyError> {
        if body.is_empty() {
            return Ok(RegisterBrokerBody::default());
        }
        if !compressed {
            return decode(body);
        }
        let plain = decompress(SysFlag::COMPRESSED, body, limit).map_err(damaged)?;
        read_pieces(plain.into())
    }

    /// Writes the compressed form, as a broker of `version` does: zlib around pieces with their lengths before
    /// them. From 5.0 on the static topics come last, of which there are none.
    pub fn encode_compressed(&self, version: Version) -> Result<Bytes, BodyError> {
        let wrapper = &self.topic_config_serialize_wrapper;
        let mut out = Vec::new();
        put_piece(&encode(&wrapper.data_version), &mut out)?;
        put_len(wrapper.topic_config_table.len(), &mut out)?;
        for config in wrapper.topic_config_table.values() {
            put_piece(config.line().as_bytes(), &mut out)?;
        }
        put_piece(&encode(&self.filter_server_list), &mut out)?;
        if version.0 >= Version::V5_0_0.0 {
            put_len(0, &mut out)?;
        }
        // Java: Deflater.BEST_COMPRESSION
        let small = compress(CompressionType::Zlib, 9, &out).map_err(damaged)?;
        Ok(small.into())
    }
}

fn damaged(error: impl std::fmt::Display) -> BodyError {
    BodyError::Compressed(error.to_string())
}

fn read_pieces(mut rest: Bytes) -> Result<RegisterBrokerBody, BodyError> {
    let mut body = RegisterBrokerBody::default();
    let wrapper = &mut body.topic_config_serialize_wrapper;
    wrapper.data_version = decode::<DataVersion>(&take_piece(&mut rest)?)?;
    for _ in 0..take_len(&mut rest)? {
        let line = take_piece(&mut rest)?;
        let config = TopicConfig::from_line(&String::from_utf8_lossy(&line))
            .ok_or_else(|| damaged("a topic's line has another form"))?;
        wrapper.topic_config_table.insert(config.topic_name.clone(), config);
    }
    let filter_servers = take_piece(&mut rest)?;
    if !filter_servers.is_empty() {
        body.filter_server_list = decode(&filter_servers)?;
    }
    // Static topics may follow; they are not supported.
    Ok(body)
}

fn take_len(rest: &mut Bytes) -> Result<usize, BodyError> {
    let len = rest.try_get_i32().ok().and_then(|len| usize::try_from(len).ok());
    len.ok_or_else(|| damaged("a length is missing or negative"))
}

fn take_piece(rest: &mut Bytes) -> Result<Bytes, BodyError> {
    let len = take_len(rest)?;
    if len > rest.len() {
        return Err(damaged("a piece is cut off"));
    }
    Ok(rest.split_to(len))
}

fn put_len(len: usize, out: &mut Vec<u8>) -> Result<(), BodyError> {
    let len = i32::try_from(len).map_err(damaged)?;
    out.extend_from_slice(&len.to_be_bytes());
    Ok(())
}

fn put_piece(piece: &[u8], out: &mut Vec<u8>) -> Result<(), BodyError> {
    put_len(piece.len(), out)?;
    out.extend_from_slice(piece);
    Ok(())
}

impl TopicConfig {
    /// One line: name, queues to read, queues to write, permission, filter type and attributes as JSON (Java:
    /// `TopicConfig.encode`).
    fn line(&self) -> String {
        format!(
            "{} {} {} {} {} {}",
            self.topic_name,
            self.read_queue_nums,
            self.write_queue_nums,
            self.perm,
            self.topic_filter_type,
            String::from_utf8_lossy(&encode(&self.attributes)),
        )
    }

    fn from_line(line: &str) -> Option<TopicConfig> {
        let mut parts = line.splitn(6, ' ');
        let mut config = TopicConfig {
            topic_name: parts.next()?.into(),
            read_queue_nums: parts.next()?.parse().ok()?,
            write_queue_nums: parts.next()?.parse().ok()?,
            perm: parts.next()?.parse().ok()?,
            ..TopicConfig::default()
        };
        if parts.next()? == TopicFilterType::MultiTag.name() {
            config.topic_filter_type = TopicFilterType::MultiTag;
        }
        if let Some(attributes) = parts.next().filter(|text| !text.trim().is_empty()) {
            config.attributes = decode(attributes.as_bytes()).ok()?;
        }
        Some(config)
    }
}

#[cfg(all(test, feature = "zlib"))]
mod tests {
    use super::*;

    fn sample() -> RegisterBrokerBody {
        let mut body = RegisterBrokerBody::default();
        let wrapper = &mut body.topic_config_serialize_wrapper;
        wrapper.data_version.counter = 7;
        for name in ["TopicA", "TopicB"] {
            let mut config = TopicConfig::new(name, 8, 4);
            config.attributes.insert("message.type".into(), "FIFO".into());
            wrapper.topic_config_table.insert(name.into(), config);
        }
        body
    }

    #[test]
    fn both_forms_are_read() {
        // spec: broker A.4
        let json = encode(&sample());
        assert_eq!(RegisterBrokerBody::decode(&json, false, 0), Ok(sample()));
        for version in [Version::V4_9_7, Version::V5_3_3] {
            let small = sample().encode_compressed(version).unwrap();
            assert_eq!(RegisterBrokerBody::decode(&small, true, 1 << 20), Ok(sample()));
            let bomb = RegisterBrokerBody::decode(&small, true, 10);
            assert!(matches!(bomb, Err(BodyError::Compressed(_))));
        }
        assert_eq!(RegisterBrokerBody::decode(b"", true, 0), Ok(RegisterBrokerBody::default()));
    }

    #[test]
    fn damaged_pieces_are_errors() {
        for pieces in [
            &b""[..],
            b"\xff\xff\xff\xff",
            b"\0\0\0\x09{}",
            b"\0\0\0\x02{}\x7f\xff\xff\xff",
            b"\0\0\0\x02{}\0\0\0\x01\0\0\0\x03a b\0\0\0\0",
        ] {
            let small = compress(CompressionType::Zlib, 5, pieces).unwrap();
            let result = RegisterBrokerBody::decode(&small, true, 1 << 20);
            assert!(matches!(result, Err(BodyError::Compressed(_))), "{pieces:?}: {result:?}");
        }
    }

    #[test]
    fn a_line_without_attributes_is_an_older_brokers() {
        let config = TopicConfig::from_line("T 8 4 6 MULTI_TAG").unwrap();
        assert_eq!((config.read_queue_nums, config.write_queue_nums, config.perm), (8, 4, 6));
        assert_eq!(config.topic_filter_type, TopicFilterType::MultiTag);
        assert_eq!(config.line(), "T 8 4 6 MULTI_TAG {}");
    }
}
