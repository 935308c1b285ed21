//! Folders as Apache's broker writes them, small ones, taken over.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rocketwire_broker::BrokerOptions;
use rocketwire_broker::import::{ImportError, ImportReport, LeftOut, import_apache};
use rocketwire_protocol::{
    Command,
    header::*,
    message::RecordView,
    message::record::{self, NewRecord},
};
use rocketwire_store::{MemoryStorage, StoreOptions};
use rocketwire_testkit::ManualClock;

use crate::support::*;

/// Bytes of a file of the log: so few that it has several.
const FILE: usize = 1000;

/// A store folder of Apache's broker in the making.
struct Apache {
    dir: tempfile::TempDir,
    log: Vec<u8>,
    /// Log offset of the first file.
    first: usize,
    store_ms: i64,
    next: BTreeMap<(String, i32), i64>,
}

impl Apache {
    fn new(first: usize) -> Apache {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["commitlog", "config", "consumequeue"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        Apache { dir, log: Vec::new(), first, store_ms: START_MS - 1_000_000, next: BTreeMap::new() }
    }

    /// Queues begin here.
    fn begin(&mut self, topic: &str, queue_id: i32, offset: i64) {
        self.next.insert((topic.to_owned(), queue_id), offset);
    }

    fn put(&mut self, topic: &str, queue_id: i32, body: &str) {
        self.put_with(topic, queue_id, body, "");
    }

    fn put_with(&mut self, topic: &str, queue_id: i32, body: &str, properties: &str) {
        let host = ([10, 0, 0, 1], 10911).into();
        let new = NewRecord {
            topic,
            queue_id,
            flag: 0,
            sys_flag: 0,
            born_timestamp: self.store_ms,
            born_host: host,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: body.as_bytes(),
            properties,
        };
        let mut bytes = Vec::new();
        record::encode(&new, &mut bytes).unwrap();
        let room = FILE - self.log.len() % FILE;
        if bytes.len() + 8 > room {
            let mut blank = vec![0; room];
            blank[..4].copy_from_slice(&(room as u32).to_be_bytes());
            blank[4..8].copy_from_slice(&0xcbd4_3194_u32.to_be_bytes());
            self.log.extend(blank);
        }
        let next = self.next.entry((topic.to_owned(), queue_id)).or_default();
        record::patch(&mut bytes, *next, (self.first + self.log.len()) as i64, self.store_ms);
        *next += 1;
        self.store_ms += 10;
        self.log.extend(bytes);
    }

    fn config(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join("config").join(name), text).unwrap();
    }

    fn topics(&self, names: &[&str]) {
        let topics: Vec<_> = names
            .iter()
            .map(|name| {
                format!(
                    "\"{name}\":{{\"attributes\":{{}},\"order\":false,\"perm\":6,\"readQueueNums\":4,\
                     \"topicFilterType\":\"SINGLE_TAG\",\"topicName\":\"{name}\",\"topicSysFlag\":0,\"writeQueueNums\":4}}"
                )
            })
            .collect();
        let text = format!(
            "{{\"dataVersion\":{{\"counter\":3,\"timestamp\":1}},\"topicConfigTable\":{{{}}}}}",
            topics.join(",")
        );
        self.config("topics.json", &text);
    }

    fn write_log(&self) {
        let mut log = self.log.clone();
        log.resize(log.len().div_ceil(FILE).max(1) * FILE, 0);
        for (n, file) in log.chunks(FILE).enumerate() {
            let name = format!("commitlog/{:020}", self.first + n * FILE);
            std::fs::write(self.dir.path().join(name), file).unwrap();
        }
    }

    fn import(&self) -> Result<(ImportReport, MemoryStorage), ImportError> {
        self.write_log();
        import(self.dir.path())
    }
}

fn import(source: &Path) -> Result<(ImportReport, MemoryStorage), ImportError> {
    let storage = MemoryStorage::new();
    let mut options = StoreOptions::new("/store");
    options.segment_bytes = 1500;
    options.frame_bytes = 400;
    let before = files(source);
    let report = import_apache(source, options, Arc::new(storage.clone()))?;
    assert_eq!(files(source), before, "the source is only read");
    Ok((report, storage))
}

fn files(dir: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false => drop(found.insert(entry.path(), std::fs::read(entry.path()).unwrap())),
        }
    }
    found
}

async fn serve(storage: MemoryStorage) -> Node {
    Node::on(BrokerOptions::default(), storage, Arc::new(ManualClock::new(START_MS))).await
}

fn bodies(records: &[RecordView]) -> Vec<(i64, String)> {
    let body =
        |record: &RecordView| (record.queue_offset(), String::from_utf8(record.body().to_vec()).unwrap());
    records.iter().map(body).collect()
}

async fn offset_of(client: &Client, group: &str, topic: &str, queue_id: i32) -> Command {
    client
        .call(Command::of(&QueryConsumerOffsetRequestHeader {
            consumer_group: group.into(),
            topic: topic.into(),
            queue_id,
            ..Default::default()
        }))
        .await
}

#[tokio::test]
async fn queues_go_on_where_they_were() {
    let mut apache = Apache::new(7 * FILE);
    apache.topics(&["orders", "empty", "%RETRY%readers"]);
    // Older files are gone, and with them the first records.
    apache.begin("orders", 0, 1000);
    apache.begin("orders", 1, 0);
    for n in 0..20 {
        apache.put_with("orders", n % 2, &format!("m-{n}"), &format!("KEYS\u{1}k-{n}\u{2}TAGS\u{1}A\u{2}"));
    }
    // A queue whose records are all gone is known from its consume queue only.
    let queue = apache.dir.path().join("consumequeue/empty/2");
    std::fs::create_dir_all(&queue).unwrap();
    let mut entries = vec![0; 200];
    entries[8..12].copy_from_slice(&100_u32.to_be_bytes());
    entries[28..32].copy_from_slice(&100_u32.to_be_bytes());
    std::fs::write(queue.join(format!("{:020}", 6_000_000)), entries).unwrap();
    apache.config(
        "subscriptionGroup.json",
        "{\"subscriptionGroupTable\":{\"readers\":{\"groupName\":\"readers\",\"retryMaxTimes\":3}}}",
    );
    // As fastjson writes it: keys without quotes.
    apache.config(
        "consumerOffset.json",
        "{\n\t\"offsetTable\":{\n\t\t\"orders@readers\":{0:1004,1:3\n\t\t},\"empty@readers\":{2:299999}\n\t}\n}",
    );
    let (report, storage) = apache.import().unwrap();
    assert_eq!((report.records, report.topics, report.groups, report.offsets), (20, 3, 1, 3));
    let orders: Vec<_> = report.queues.iter().filter(|queue| queue.topic == "orders").collect();
    assert_eq!((orders[0].min, orders[0].max, orders[1].min, orders[1].max), (1000, 1010, 0, 10));
    assert!(report.left_out.is_empty() && report.torn_bytes.is_none());

    let node = serve(storage).await;
    let client = node.client();
    let expected: Vec<_> = (0..10).map(|n| (1000 + n, format!("m-{}", 2 * n))).collect();
    let mut got = client.messages("orders", 0, 1000).await;
    got.extend(client.messages("orders", 0, 1000 + got.len() as i64).await);
    assert_eq!(bodies(&got), expected);
    assert_eq!(got[0].store_timestamp(), START_MS - 1_000_000, "store times stay");
    assert_eq!(got[3].property("KEYS"), Some("k-6"));
    assert_eq!(client.pull("orders", 0, 3, "*").await.code, 21, "what was deleted there is deleted here");
    for (queue_id, topic, offset) in [(0, "orders", "1004"), (1, "orders", "3"), (2, "empty", "299999")] {
        let answer = offset_of(&client, "readers", topic, queue_id).await;
        assert_eq!(answer.fields.get("offset").unwrap(), offset, "{topic}/{queue_id}");
    }
    let mut header = send_header("orders", "");
    header.queue_id = 0;
    let sent: SendMessageResponseHeader =
        client.ok(Command::of(&header).with_body("new")).await.response_header().unwrap();
    assert_eq!(sent.queue_offset, 1010);
    header.topic = "empty".into();
    header.queue_id = 2;
    let sent: SendMessageResponseHeader =
        client.ok(Command::of(&header).with_body("new")).await.response_header().unwrap();
    assert_eq!(sent.queue_offset, 300_002, "no offset is given out twice");
    node.stop().await;
}

#[tokio::test]
async fn delays_and_transactions_go_on() {
    let mut apache = Apache::new(0);
    apache.topics(&["T", "SCHEDULE_TOPIC_XXXX", "RMQ_SYS_TRANS_HALF_TOPIC", "RMQ_SYS_TRANS_OP_HALF_TOPIC"]);
    let delayed = "REAL_TOPIC\u{1}T\u{2}REAL_QID\u{1}1\u{2}DELAY\u{1}3\u{2}";
    apache.put_with("SCHEDULE_TOPIC_XXXX", 2, "was delivered", delayed);
    apache.put_with("SCHEDULE_TOPIC_XXXX", 2, "waits", delayed);
    let half = |group: &str| {
        format!(
            "PGROUP\u{1}{group}\u{2}REAL_TOPIC\u{1}T\u{2}REAL_QID\u{1}0\u{2}TRAN_MSG\u{1}true\u{2}UNIQ_KEY\u{1}u\u{2}"
        )
    };
    apache.put_with("RMQ_SYS_TRANS_HALF_TOPIC", 0, "has a verdict", &half("PG"));
    apache.put_with("RMQ_SYS_TRANS_HALF_TOPIC", 0, "has none", &half("PG"));
    apache.put_with("RMQ_SYS_TRANS_OP_HALF_TOPIC", 0, "0", "TAGS\u{1}d\u{2}");
    apache.config("delayOffset.json", "{\"offsetTable\":{3:1}}");
    apache.config(
        "consumerOffset.json",
        "{\"offsetTable\":{\"RMQ_SYS_TRANS_HALF_TOPIC@CID_RMQ_SYS_TRANS\":{0:0},\
         \"RMQ_SYS_TRANS_OP_HALF_TOPIC@CID_RMQ_SYS_TRANS\":{0:0}}}",
    );
    let (_, storage) = apache.import().unwrap();
    let node = serve(storage).await;
    let client = node.client();
    client.heartbeat(&producer("p", "PG")).await;
    // The message that waits is long due; the one that was delivered does not come again.
    let got = client.wait_for("T", 1, 1).await;
    assert_eq!(bodies(&got), [(0, "waits".to_owned())]);
    node.clock.advance(std::time::Duration::from_secs(31));
    eventually("the producer is asked", || !client.received(39).is_empty()).await;
    let asked = client.received(39);
    let body = RecordView::parse(&asked[0].body).unwrap().body();
    assert_eq!(
        (asked.len(), &body[..]),
        (1, &b"has none"[..]),
        "only about the half message without a verdict"
    );
    assert_eq!(client.messages("T", 1, 0).await.len(), 1);
    node.stop().await;
}

#[tokio::test]
async fn timer_messages_that_wait_go_on() {
    let mut apache = Apache::new(0);
    apache.topics(&["T", "rmq_sys_wheel_timer"]);
    for (body, seconds) in [("delivered", -50), ("was due", -20), ("waits", 100)] {
        let properties = format!(
            "REAL_TOPIC\u{1}T\u{2}REAL_QID\u{1}1\u{2}TIMER_OUT_MS\u{1}{}\u{2}",
            START_MS + seconds * 1000
        );
        apache.put_with("rmq_sys_wheel_timer", 0, body, &properties);
    }
    let mut checkpoint = vec![0; 4096];
    checkpoint[..8].copy_from_slice(&(START_MS - 30_000).to_be_bytes());
    checkpoint[16..24].copy_from_slice(&3_i64.to_be_bytes());
    std::fs::write(apache.dir.path().join("config/timercheck"), checkpoint).unwrap();
    let (report, storage) = apache.import().unwrap();
    assert!(report.left_out.is_empty());
    let node = serve(storage).await;
    let client = node.client();
    assert_eq!(bodies(&client.wait_for("T", 1, 1).await), [(0, "was due".to_owned())]);
    node.clock.advance(std::time::Duration::from_secs(101));
    let all = client.wait_for("T", 1, 2).await;
    assert_eq!(bodies(&all), [(0, "was due".to_owned()), (1, "waits".to_owned())]);
    node.stop().await;
}

#[tokio::test]
async fn what_is_left_out_is_listed() {
    let mut apache = Apache::new(0);
    apache.topics(&["kept", "again", "rmq_sys_wheel_timer"]);
    for n in 0..3 {
        apache.put("kept", 0, &format!("k-{n}"));
        apache.put("gone", 0, "of a deleted topic");
        apache.put("again", 0, "of its first life");
        apache.put("rmq_sys_wheel_timer", 0, "waits for a time of its own");
    }
    apache.put("again", 3, "the first of its second life");
    apache.begin("again", 0, 0);
    apache.put("again", 0, "of its second life");
    // Records that are missing in the middle.
    apache.begin("kept", 0, 7);
    apache.put("kept", 0, "k-7");
    let (report, storage) = apache.import().unwrap();
    let left: Vec<_> =
        report.left_out.iter().map(|((topic, reason), count)| (&**topic, *reason, *count)).collect();
    assert_eq!(left, [("gone", LeftOut::DeletedTopic, 3), ("rmq_sys_wheel_timer", LeftOut::Timer, 3)]);
    assert!(report.reborn.contains("again"));
    let again = report.queues.iter().filter(|queue| queue.topic == "again");
    let ranges: Vec<_> = again.map(|queue| (queue.queue_id, queue.min, queue.max)).collect();
    assert_eq!(ranges, [(0, 0, 1), (3, 0, 1)]);
    let kept = report.queues.iter().find(|queue| queue.topic == "kept").unwrap();
    assert_eq!((kept.min, kept.max, kept.missing), (0, 8, 4));

    let node = serve(storage).await;
    let client = node.client();
    assert_eq!(bodies(&client.messages("again", 0, 0).await), [(0, "of its second life".to_owned())]);
    assert_eq!(
        bodies(&client.messages("again", 3, 0).await),
        [(0, "the first of its second life".to_owned())]
    );
    let got = bodies(&client.messages("kept", 0, 0).await);
    assert_eq!(got.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [0, 1, 2, 7]);
    let inside = client.pull("kept", 0, 4, "*").await;
    let next: PullMessageResponseHeader = inside.response_header().unwrap();
    assert_eq!((inside.code, next.next_begin_offset), (0, 8), "a consumer gets over the gap");
    node.stop().await;
}

fn some_messages() -> Apache {
    let mut apache = Apache::new(0);
    apache.topics(&["T"]);
    for n in 0..12 {
        apache.put("T", 0, &format!("m-{n}"));
    }
    apache
}

#[test]
fn a_log_that_is_damaged_in_the_middle_is_refused() {
    let good = some_messages();
    assert!(good.log.len() > FILE, "it has two files");
    let whole = good.import().unwrap().0.records;
    assert_eq!(whole, 12);
    let (mut refused, mut shorter) = (0, 0);
    for at in (0..good.log.len()).step_by(7) {
        let mut bad = some_messages();
        bad.log[at] ^= 0x55;
        match bad.import() {
            Err(error @ ImportError::Damaged { .. }) => {
                assert!(error.is_damage() && error.to_string().contains("commitlog"));
                refused += 1;
            }
            Err(error) => panic!("byte {at}: {error}"),
            // Fields that nothing covers: flags, hosts, properties; and the topic, which then is unknown.
            Ok((report, _)) => {
                let all = report.records + report.left_out.values().sum::<u64>();
                assert!(all == 12 || at + 200 > good.log.len(), "byte {at}: {all} records");
                shorter += 1;
            }
        }
    }
    assert!(refused > 40 && shorter > 20, "{refused} {shorter}");
}

#[test]
fn a_log_may_end_with_half_a_record_after_a_kill_only() {
    let apache = some_messages();
    let cut = apache.log.len() - 30;
    for is_killed in [false, true] {
        let mut torn = some_messages();
        torn.log[cut..].fill(0);
        if is_killed {
            std::fs::write(torn.dir.path().join("abort"), "").unwrap();
        }
        match torn.import() {
            Ok((report, _)) => {
                assert!(is_killed, "an orderly stop leaves no half record");
                assert_eq!((report.records, report.torn_bytes), (11, Some(0)));
            }
            Err(error) => assert!(!is_killed && error.is_damage(), "{error}"),
        }
    }
    // Behind a gap there is what was not flushed before the kill; what was flushed must not be there.
    for (flushed_ms, is_fine) in [(0_i64, true), (i64::MAX, false)] {
        let mut torn = some_messages();
        torn.log[300..330].fill(0);
        std::fs::write(torn.dir.path().join("abort"), "").unwrap();
        std::fs::write(torn.dir.path().join("checkpoint"), flushed_ms.to_be_bytes()).unwrap();
        let imported = torn.import();
        assert_eq!(imported.is_ok(), is_fine, "{flushed_ms}");
        if let Ok((report, _)) = imported {
            assert!(report.records < 12 && report.torn_bytes > Some(0));
        }
    }
}

/// Twelve messages, of which a kill tore the seventh; its broker cut it off with all behind it, without wiping anything,
/// went on with another message, and was stopped in order.
fn cut_and_gone_on() -> (Apache, usize) {
    let old = some_messages().log;
    let mut apache = Apache::new(0);
    apache.topics(&["T"]);
    for n in 0..6 {
        apache.put("T", 0, &format!("m-{n}"));
    }
    apache.store_ms += 60_000;
    apache.put("T", 0, "stored after the restart");
    let end = apache.log.len();
    apache.log.extend(&old[end..]);
    (apache, end)
}

#[test]
fn what_a_broker_has_cut_off_earlier_is_not_damage() {
    let (apache, _) = cut_and_gone_on();
    let (report, _) = apache.import().unwrap();
    assert_eq!(report.records, 7);
    assert!(report.torn_bytes > Some(0), "{:?}", report.torn_bytes);
    // A rest of one message only: where it was whole when the broker was stopped, its queue leads to it.
    for (is_queued, is_fine) in [(false, true), (true, false)] {
        let (mut apache, end) = cut_and_gone_on();
        apache.log.truncate(end + 40);
        let queue = apache.dir.path().join("consumequeue/T/0");
        std::fs::create_dir_all(&queue).unwrap();
        let entry = |offset: usize| {
            let mut entry = [0; 20];
            entry[..8].copy_from_slice(&(offset as u64).to_be_bytes());
            entry[8..12].copy_from_slice(&95_i32.to_be_bytes());
            entry
        };
        let entries = [entry(0), entry(if is_queued { end } else { 95 })].concat();
        std::fs::write(queue.join(format!("{:020}", 0)), entries).unwrap();
        match apache.import() {
            Ok((report, _)) => assert!(is_fine && (report.records, report.torn_bytes) == (7, Some(0))),
            Err(error) => assert!(!is_fine && error.is_damage(), "{error}"),
        }
    }
}

#[test]
fn files_must_follow_each_other_and_the_folder_must_be_one() {
    let apache = some_messages();
    apache.write_log();
    std::fs::rename(
        apache.dir.path().join(format!("commitlog/{FILE:020}")),
        apache.dir.path().join(format!("commitlog/{:020}", 2 * FILE)),
    )
    .unwrap();
    let refused = import(apache.dir.path()).unwrap_err();
    assert!(refused.to_string().contains("missing"), "{refused}");

    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(import(empty.path()), Err(ImportError::NotApache { .. })));
    std::fs::create_dir(empty.path().join("commitlog")).unwrap();
    let refused = import(empty.path()).unwrap_err();
    assert!(refused.to_string().contains("topics.json"), "{refused}");
    std::fs::create_dir(empty.path().join("config")).unwrap();
    std::fs::write(empty.path().join("config/topics.json"), "{\"topicConfigTable\":{").unwrap();
    assert!(matches!(import(empty.path()), Err(ImportError::Config { .. })));
    // Java reads the backup then, and so do we.
    std::fs::write(empty.path().join("config/topics.json.bak"), "{\"topicConfigTable\":{}}").unwrap();
    assert_eq!(import(empty.path()).unwrap().0.records, 0);
}
