use std::{path::PathBuf, time::Duration};

use rocketwire_store::{Flush, OnFull};

use super::*;
use crate::{NodeOptions, Place};

fn load(
    file: Option<(&str, &str)>,
    environment: &[(&str, &str)],
    flags: &[(&'static str, &str)],
) -> Result<Config, ConfigError> {
    Config::load(
        file.map(|(name, text)| File { name, bytes: text.as_bytes() }),
        environment.iter().map(|(name, value)| (name.to_string(), value.to_string())),
        flags.iter().map(|(flag, value)| (*flag, value.to_string())),
    )
}

fn toml(text: &str) -> Result<Config, ConfigError> {
    load(Some(("node.toml", text)), &[], &[])
}

fn java(text: &str) -> Result<Config, ConfigError> {
    load(Some(("broker.conf", text)), &[], &[])
}

#[track_caller]
fn refused(config: Result<Config, ConfigError>, says: &[&str]) {
    let text = config.expect_err("this is no configuration").to_string();
    for part in says {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
    let file = Some(("node.toml", "port = 1\n"));
    let environment = &[("ROCKETWIRE_PORT", "2")][..];
    let flags = &[("port", "3")][..];
    for (file, environment, flags, port, source) in [
        (None, &[][..], &[][..], 9876, "default"),
        (file, &[], &[], 1, "node.toml"),
        (None, environment, &[], 2, "ROCKETWIRE_PORT"),
        (file, environment, &[], 2, "ROCKETWIRE_PORT"),
        (file, &[], flags, 3, "--port"),
        (None, environment, flags, 3, "--port"),
        (file, environment, flags, 3, "--port"),
    ] {
        let config = load(file, environment, flags).unwrap();
        assert_eq!(config.options().node.port, port, "{source}");
        assert_eq!(config.source("port").to_string(), source);
        assert_eq!(config.source("host"), &Source::Default);
        assert!(config.warnings().is_empty());
    }
}

#[test]
fn every_setting_can_be_said_in_all_three_ways_and_is_printed_as_it_is_read() {
    // Whether it is a name server needs company; it has a test of its own.
    for setting in SETTINGS.iter().filter(|setting| setting.flag != "name-server") {
        let value = match setting.flag {
            "host" | "advertise" => "127.0.0.1:1".to_owned(),
            "data" | "broker-name" | "cluster" | "region" => "other".to_owned(),
            "log-level" => "rocketwire_store=debug,warn".to_owned(),
            "broker-permission" => "4".to_owned(),
            "max-topic-queues" => "2048".to_owned(),
            "metrics" => "127.0.0.1:9877".to_owned(),
            "register" => "ns1:9876,ns2:9876".to_owned(),
            "delay-levels" => "1s 90s 2h".to_owned(),
            "proxy-from" => "10.0.0.0/8,::1/128".to_owned(),
            "max-frame-size" => "32MiB".to_owned(),
            _ if setting.is_switch() => (setting.default() != "true").to_string(),
            _ if !setting.words().is_empty() => (*setting.words().last().unwrap()).to_owned(),
            _ => match setting.placeholder() {
                "BYTES" => "1280KiB".to_owned(),
                "DURATION" => "90m".to_owned(),
                _ => "7".to_owned(),
            },
        };
        assert_ne!(setting.default(), value, "{}: the test would see nothing", setting.flag);
        let line = match setting.kind.is_bare {
            true => format!("{} = {value}", setting.name()),
            false => format!("{} = \"{value}\"", setting.name()),
        };
        for config in [
            load(Some(("x.toml", &line)), &[], &[]),
            load(Some(("x.conf", &format!("{}={value}", setting.name()))), &[], &[]),
            load(None, &[(&setting.variable(), &value)], &[]),
            load(None, &[], &[(setting.flag, &value)]),
        ] {
            let config = config.unwrap();
            assert_eq!((setting.show)(config.options()), value, "{}", setting.flag);
            assert_ne!(config.source(&setting.name()), &Source::Default, "{}", setting.flag);
            let others = SETTINGS.iter().filter(|other| other.flag != setting.flag);
            for other in others {
                assert_eq!((other.show)(config.options()), other.default(), "{} changed it", setting.flag);
            }
            let printed = toml(&config.to_toml()).unwrap();
            assert_eq!((setting.show)(printed.options()), value, "{}", config.to_toml());
        }
    }
}

/// What users read is what the program does.
#[test]
fn the_reference_has_each_setting_with_its_default() {
    let reference = include_str!("../../../../docs/operations.md");
    let rows = reference.lines().filter(|line| line.starts_with("| `")).collect::<Vec<_>>();
    for setting in SETTINGS {
        // As many as the machine's limit of open files leaves.
        let default = match setting.flag {
            "max-connections" => "16384".to_owned(),
            _ => setting.default(),
        };
        let row = format!("| `{}` | `{default}`", setting.name());
        let found: Vec<_> = rows.iter().filter(|found| found.starts_with(&row)).collect();
        assert_eq!(found.len(), 1, "docs/operations.md wants: {row} | {} |", setting.help);
        assert!(found[0].ends_with(&format!("| {} |", setting.help)), "{row} | {} |", setting.help);
        assert!(reference.contains(&format!("### {}\n", setting.section.title())));
    }
}

#[test]
fn the_reference_has_each_name_of_javas() {
    use super::java::{SAME, UNITS};
    let reference = include_str!("../../../../docs/operations.md");
    let same = SAME.iter().map(|(java, ours)| (*java, *ours));
    for (java, ours) in same.chain(UNITS.iter().map(|(java, ours, _)| (*java, *ours))) {
        let (java, ours) = (format!("`{java}`"), format!("`{ours}`"));
        let row = reference.lines().find(|line| line.starts_with("| `") && line.contains(&java));
        assert!(row.is_some_and(|row| row.contains(&ours)), "docs/operations.md wants: {java} is {ours}");
    }
}

#[test]
fn names_are_there_once_and_can_be_told_apart() {
    for (at, setting) in SETTINGS.iter().enumerate() {
        for other in &SETTINGS[at + 1..] {
            assert_ne!(setting.flag, other.flag);
            assert!(setting.short.is_none() || setting.short != other.short, "{}", other.flag);
        }
        let is_plain = |c: char| c.is_ascii_lowercase() || c == '-';
        assert!(setting.flag.chars().all(is_plain) && !setting.help.ends_with('.'), "{}", setting.flag);
    }
}

#[test]
fn defaults_are_those_of_a_node() {
    let options = load(None, &[], &[]).unwrap().options().clone();
    let node = NodeOptions::default();
    assert_eq!(options.node.place, Place::Folder(PathBuf::from("./rocketwire-data")));
    assert_eq!((options.node.host, options.node.port, options.node.threads), (node.host, 9876, 0));
    assert_eq!((options.node.store.flush, options.node.store.on_full), (Flush::Sync, OnFull::Refuse));
    assert_eq!(options.node.store.retention, Duration::from_secs(72 * 3600));
}

/// It may be another one where the printed file is used.
#[test]
fn what_follows_from_this_machine_is_not_written_down() {
    let printed = load(None, &[], &[]).unwrap().to_toml();
    assert!(printed.contains("\n# max_connections = "), "{printed}");
    let printed = toml("max_connections = 7").unwrap().to_toml();
    assert!(printed.contains("\nmax_connections = 7 "), "{printed}");
}

#[test]
fn what_is_printed_is_a_file_with_the_source_of_each_value() {
    let file = Some(("node.toml", "retention = \"7d\"\nadvertise = \"broker.test:19876\""));
    let config = load(file, &[("ROCKETWIRE_FLUSH", "async")], &[("min-free-percent", "5")]).unwrap();
    let text = config.to_toml();
    for (line, source) in [
        ("port = 9876", "default"),
        ("retention = \"7d\"", "node.toml"),
        ("advertise = \"broker.test:19876\"", "node.toml"),
        ("flush = \"async\"", "ROCKETWIRE_FLUSH"),
        ("min_free_percent = 5", "--min-free-percent"),
    ] {
        let found = text.lines().find(|found| found.starts_with(line)).expect(line);
        assert!(found.ends_with(&format!("# {source}")), "{found}");
    }
    assert_eq!(text.lines().filter(|line| line.contains(" = ")).count(), SETTINGS.len());
}

#[test]
fn a_name_that_is_none_is_refused_with_the_nearest() {
    refused(toml("prot = 1"), &["node.toml", "`prot`", "`port`"]);
    refused(toml("min-free-bytes = 1"), &["`min-free-bytes`", "`min_free_bytes`"]);
    refused(toml("brokerName = \"b\""), &["`brokerName`", "`broker_name`"]);
    refused(toml("quota = 1"), &["`quota`", "--help"]);
    refused(toml("[network]\nport = 1"), &["node.toml", "TOML", "`network`"]);
    let long = format!("{} = 1", "x".repeat(10_000));
    refused(toml(&long), &["no setting"]);
}

#[test]
fn a_value_that_is_none_is_refused_with_what_is_wanted() {
    for (name, value, says) in [
        ("port", "\"http\"", "whole number"),
        ("port", "65536", "too large"),
        ("port", "-1", "whole number"),
        ("memory", "\"yes\"", "true or false"),
        ("flush", "\"never\"", "sync, async"),
        ("on_full", "\"drop\"", "refuse, drop_oldest"),
        ("retention", "\"3 weeks\"", "no unit of time"),
        ("retention", "\"1e400d\"", "no unit"),
        ("min_free_bytes", "\"1.5g\"", "number of bytes"),
        ("min_free_bytes", "\"99999999999999g\"", "too much"),
        ("min_free_percent", "100", "0 to 99"),
        ("min_free_percent", "0.5", "0 to 99"),
        ("broker_name", "\"\"", "empty"),
        ("proxy_from", "\"10.0.0.0/99\"", "10.0.0.0/99"),
        ("max_log_bytes", "\"all\"", "number of bytes"),
        ("register", "\"ns1\"", "HOST:PORT"),
        ("delay_levels", "\"1s 5\"", "1 to 18 delays"),
    ] {
        refused(toml(&format!("{name} = {value}")), &["node.toml", name, value.trim_matches('"'), says]);
    }
    refused(load(None, &[("ROCKETWIRE_PORT", "x")], &[]), &["ROCKETWIRE_PORT", "`x`"]);
    refused(load(None, &[], &[("port", "x")]), &["--port", "`x`"]);
}

#[test]
fn values_are_written_in_units() {
    for (name, texts, shown) in [
        ("min_free_bytes", &["1073741824", "1GiB", "1g", "1024 M", "1048576k"][..], "1GiB"),
        ("min_free_bytes", &["0", "0g"], "0"),
        ("min_free_bytes", &["1025", "1025b"], "1025"),
        ("retention", &["72h", "3d", "259200", "4320m"], "3d"),
        ("retention", &["1.5s", "1500ms"], "1500ms"),
        ("retention", &["0s", "0"], "0s"),
        ("min_free_percent", &["5", "5%", "5 %"], "5"),
        ("proxy_from", &["10.0.0.0/8, ::1", "10.0.0.0/8,::1/128"], "10.0.0.0/8,::1/128"),
        ("max_log_bytes", &["none"], "none"),
    ] {
        for text in texts {
            let config = toml(&format!("{name} = \"{text}\"")).unwrap();
            let setting = settings::find(name).unwrap();
            assert_eq!((setting.show)(config.options()), shown, "{text}");
        }
    }
}

#[test]
fn javas_names_mean_what_they_mean_there() {
    let config = java(
        "brokerClusterName=C1\nbrokerName = b-1\nbrokerId=0\nlistenPort=10911\nbrokerIP1=10.1.2.3\n\
         storePathRootDir=/data/store\nflushDiskType=ASYNC_FLUSH\nfileReservedTime=48\n\
         diskSpaceWarningLevelRatio=0.90\nautoCreateTopicEnable=false\ndefaultTopicQueueNums=4\n\
         maxMessageSize=65536\nserverChannelMaxIdleTimeSeconds=60\nsyncFlushTimeout=3000\nbindAddress=0.0.0.0\n\
         namesrvAddr=ns1:9876;ns2:9876\nmessageDelayLevel=1s 5s 10s\n",
    )
    .unwrap();
    assert_eq!(config.warnings(), [""; 0]);
    let ServeOptions { node, .. } = config.options();
    assert_eq!((&*node.broker.cluster, &*node.broker.broker_name), ("C1", "b-1"));
    assert_eq!((node.host.as_str(), node.port), ("0.0.0.0", 10911));
    assert_eq!(node.advertise.as_deref(), Some("10.1.2.3:10911"));
    assert_eq!(node.place, Place::Folder(PathBuf::from("/data/store")));
    assert_eq!(
        (&node.register[..], node.is_name_server),
        (&["ns1:9876".to_owned(), "ns2:9876".to_owned()][..], true)
    );
    assert_eq!(node.broker.delay_levels.to_string(), "1s 5s 10s");
    assert_eq!(node.store.flush, Flush::Async);
    assert_eq!(node.store.retention, Duration::from_secs(48 * 3600));
    assert_eq!(node.store.flush_timeout, Duration::from_secs(3));
    assert_eq!(node.store.min_free_percent, 10);
    assert_eq!((node.broker.auto_create_topic, node.broker.default_topic_queue_nums), (false, 4));
    assert_eq!(node.broker.max_message_size, 65536);
    assert_eq!(node.server.connection.idle, Duration::from_secs(60));
    assert_eq!(config.source("flush").to_string(), "broker.conf");
}

#[test]
fn javas_names_without_a_meaning_are_one_warning_each() {
    let config = java(
        "transientStorePoolEnable=true\ndeleteWhen=04\ncleanFileForciblyEnable=true\nhaListenPort=10912\n\
         brokerRole=ASYNC_MASTER\nsendMessageThreadPoolNums=16\nport=7\n",
    )
    .unwrap();
    let warnings = config.warnings();
    let names = [
        "transientStorePoolEnable",
        "deleteWhen",
        "cleanFileForciblyEnable",
        "haListenPort",
        "brokerRole",
        "sendMessageThreadPoolNums",
    ];
    assert_eq!(warnings.len(), names.len(), "{warnings:#?}");
    for (warning, name) in warnings.iter().zip(names) {
        assert!(warning.contains("broker.conf") && warning.contains(name), "{warning}");
    }
    assert_eq!(
        config.options().node.store.on_full,
        OnFull::Refuse,
        "nothing is deleted by a default of Java's"
    );
    assert_eq!(config.options().node.port, 7, "our names stand in such a file, too");
}

#[test]
fn what_java_would_be_and_this_is_not_is_refused() {
    refused(java("brokerRole=SLAVE"), &["broker.conf", "brokerRole", "SLAVE", "replicates"]);
    refused(java("brokerId=1"), &["brokerId", "master"]);
    refused(java("flushDiskType=sync"), &["flushDiskType", "SYNC_FLUSH"]);
    refused(java("fileReservedTime=two"), &["fileReservedTime", "whole number"]);
    refused(java("listenPort=99999"), &["listenPort", "too large"]);
    refused(java("diskSpaceWarningLevelRatio=900"), &["diskSpaceWarningLevelRatio"]);
    refused(java("a=\\u00"), &["broker.conf", "line 1"]);
    refused(load(Some(("broker.yaml", "")), &[], &[]), &["broker.yaml", ".toml", ".conf"]);
}

#[test]
fn the_environment_of_others_is_left_alone() {
    let foreign = [
        ("ROCKETWIRE_PORT", "tcp://10.0.0.1:9876"),
        ("ROCKETWIRE_SERVICE_HOST", "10.0.0.1"),
        ("ROCKETWIRE_PORT_9876_TCP_ADDR", "10.0.0.1"),
        ("ROCKETWIRE_CONFIG", "/etc/node.toml"),
        ("ROCKETWIRE", "1"),
        ("PORT", "1"),
    ];
    let config = load(None, &foreign, &[]).unwrap();
    assert_eq!(config.options().node.port, 9876);
    assert!(config.warnings().is_empty(), "{:?}", config.warnings());
    let config = load(None, &[("ROCKETWIRE_RETENTON", "1h")], &[]).unwrap();
    assert!(config.warnings()[0].contains("ROCKETWIRE_RETENTON"));
    assert!(config.warnings()[0].contains("ROCKETWIRE_RETENTION"));
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    refused(toml("max_message_size = \"16MiB\""), &["max_frame_size", "max_message_size"]);
    assert!(toml("max_message_size = \"16MiB\"\nmax_frame_size = \"17MiB\"").is_ok());
    refused(toml("segment_size = 1000"), &["segment_size"]);
    refused(toml("threads = 0"), &["threads"]);
    refused(toml("name_server = false"), &["name_server", "register"]);
    assert!(toml("name_server = false\nregister = \"ns1:9876\"").is_ok());
    refused(toml("port = 0\nadvertise = \"broker.test\""), &["advertise", "HOST:PORT"]);
    refused(toml("default_topic_queue_nums = 0"), &["default_topic_queue_nums"]);
    refused(toml("default_topic_queue_nums = 5000"), &["default_topic_queue_nums", "max_topic_queues"]);
    refused(toml("max_topic_queues = 1000"), &["max_topic_queues", "1024"]);
    refused(toml("port = 0\nvip_port = true"), &["vip_port", "`port`"]);
}

/// A node would start, and nobody could use it or see why.
#[test]
fn what_no_node_can_work_with_is_refused() {
    for name in ["max_connections", "max_connections_per_ip", "max_served"] {
        refused(toml(&format!("{name} = 0")), &["node.toml", name, "1 is the least"]);
    }
    refused(toml("broker_permission = 3"), &["broker_permission", "6", "4", "2", "0"]);
    for name in ["broker_name", "cluster"] {
        refused(toml(&format!("{name} = \"two words\"")), &["node.toml", name, "two words"]);
    }
    for level in ["wran", "warning", "info,tonk", "=debug,loud"] {
        refused(toml(&format!("log_level = \"{level}\"")), &["log_level", "warn, info"]);
    }
    for level in ["off", "WARN", "rocketwire_store", "rocketwire_broker[send]=trace,info", "tokio=debug"] {
        assert!(toml(&format!("log_level = \"{level}\"")).is_ok(), "{level}");
    }
    // Some clock would run over.
    refused(toml("idle_timeout = \"213000000000000d\""), &["idle_timeout", "too long"]);
    assert!(toml("retention = \"999999d\"").is_ok());
}

#[test]
fn memory_and_a_folder_are_told_apart_by_who_says_more() {
    let folder = Some(("node.toml", "data = \"/data\""));
    assert_eq!(load(folder, &[], &[("memory", "true")]).unwrap().options().node.place, Place::Memory);
    let memory = Some(("node.toml", "memory = true"));
    refused(load(memory, &[], &[("data", "/data")]), &["`data`", "--data", "`memory`", "node.toml"]);
    refused(load(None, &[], &[("data", "/data"), ("memory", "true")]), &["--data", "--memory"]);
    let both = [("data", "/data"), ("memory", "false")];
    let place = load(memory, &[], &both).unwrap().options().node.place.clone();
    assert_eq!(place, Place::Folder(PathBuf::from("/data")));
}

#[test]
fn an_advertised_host_gets_the_port() {
    for (given, advertised) in [
        ("broker.test", "broker.test:9876"),
        ("broker.test:1", "broker.test:1"),
        ("10.0.0.1", "10.0.0.1:9876"),
        ("fe80::1", "[fe80::1]:9876"),
        ("[fe80::1]", "[fe80::1]:9876"),
        ("[fe80::1]:1", "[fe80::1]:1"),
    ] {
        let config = toml(&format!("advertise = \"{given}\"")).unwrap();
        assert_eq!(config.options().node.advertise.as_deref(), Some(advertised), "{given}");
    }
}
