//! The two spellings of a send's header.

use rocketwire_protocol::{
    Command, HeaderError, RequestCode,
    header::{SendMessageRequestHeader, SendMessageRequestHeaderV2},
};

/// A send's header, however it was spelt.
pub(crate) type SendHeader = SendMessageRequestHeader;

/// Whether a request is a send, whose answers carry region and trace switch even when they are errors.
pub(crate) fn is_send(code: RequestCode) -> bool {
    matches!(
        code,
        RequestCode::SEND_MESSAGE
            | RequestCode::SEND_MESSAGE_V2
            | RequestCode::SEND_BATCH_MESSAGE
            | RequestCode::SEND_REPLY_MESSAGE
            | RequestCode::SEND_REPLY_MESSAGE_V2
    )
}

/// Reads the header: 310, 320 and 325 have the short names, or the long ones if the short are unusable; 10 and
/// 324 have the long ones.
pub(crate) fn parse(command: &Command) -> Result<SendHeader, HeaderError> {
    match command.request_code() {
        RequestCode::SEND_MESSAGE | RequestCode::SEND_REPLY_MESSAGE => command.header(),
        _ => match command.header::<SendMessageRequestHeaderV2>() {
            Ok(header) => Ok(from_v2(header)),
            Err(error) => command.header::<SendHeader>().map_err(|_| error),
        },
    }
}

fn from_v2(header: SendMessageRequestHeaderV2) -> SendHeader {
    SendHeader {
        producer_group: header.producer_group,
        topic: header.topic,
        default_topic: header.default_topic,
        default_topic_queue_nums: header.default_topic_queue_nums,
        queue_id: header.queue_id,
        sys_flag: header.sys_flag,
        born_timestamp: header.born_timestamp,
        flag: header.flag,
        properties: header.properties,
        reconsume_times: header.reconsume_times,
        unit_mode: header.unit_mode,
        batch: header.batch,
        max_reconsume_times: header.max_reconsume_times,
        base: header.base,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2() -> Command {
        Command::of(&SendMessageRequestHeaderV2 {
            topic: "T".into(),
            queue_id: 3,
            batch: Some(true),
            properties: Some("TAGS\u{1}a\u{2}".into()),
            ..Default::default()
        })
    }

    #[test]
    fn both_spellings_are_one_header() {
        let short = parse(&v2()).unwrap();
        assert_eq!((&*short.topic, short.queue_id, short.batch), ("T", 3, Some(true)));
        let mut long = Command::of(&short);
        assert_eq!(parse(&long).unwrap(), short);
        long.code = RequestCode::SEND_BATCH_MESSAGE.0;
        assert_eq!(parse(&long).unwrap(), short, "long names under a code of short ones");
    }

    #[test]
    fn a_missing_field_is_named() {
        let error = parse(&Command::request(RequestCode::SEND_MESSAGE_V2).with_field("a", "pg")).unwrap_err();
        assert_eq!(error, HeaderError::Missing("b"));
    }
}
