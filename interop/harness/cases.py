"""What is tried. A case is a title, who takes part and a function that raises Failure; `all_cases` is the list."""
import dataclasses
import re
import time
import typing

from . import admin as admin_script
from .peers import JAVA4, JAVA5, mqadmin
from .processes import Failure, read, tail

READY_SECONDS = 40
# After start() a client still has to join its group and to ask for its first messages.
SETTLE_SECONDS = 3


@dataclasses.dataclass
class Case:
    section: str
    title: str
    who: str
    try_it: typing.Callable  # (run, topic) -> remark
    seconds: int = 5         # about how long it takes: the slow ones start first
    create: bool = False     # its topic must exist before
    chain: str = ""          # cases of one chain run one after the other, and share `run.shared[chain]`
    unsupported: dict = dataclasses.field(default_factory=dict)  # server name -> why it cannot work there
    number: int = 0          # its place in the table

    @property
    def topic(self):
        return "it_" + re.sub(r"\W+", "_", self.section + "_" + self.title + "_" + self.who).strip("_")


# ---- the pieces ----------------------------------------------------------------------------------------------------


def verify(peer, result, expected):
    """Every expected number once, with its body and key: nothing lost, nothing altered, nothing twice."""
    expected = list(expected)
    wrong = {note: n for note, n in result.notes.items() if note.startswith(("wrong", "outOfOrder"))}
    if wrong:
        raise Failure("%s received %s" % (peer.title, wrong))
    if result.ok != len(expected) or result.sum != sum(expected):
        raise Failure("%s received %d distinct messages with sum %d, expected %d with sum %d"
                      % (peer.title, result.ok, result.sum, len(expected), sum(expected)))
    extra = result.received - len(expected)
    if extra and not peer.duplicates:
        raise Failure("%s received %d messages twice" % (peer.title, extra))
    return "%d duplicates, of the client's own making" % extra if extra else ""


def await_ready(process):
    """Waits until a push consumer's start() has returned, and then a little more."""
    end = time.monotonic() + READY_SECONDS
    while "ready" not in read(process.log + ".err").split():
        if process.poll() is not None or time.monotonic() > end:
            raise Failure("the consumer did not start: " + tail(process.log))
        time.sleep(0.05)
    time.sleep(SETTLE_SECONDS)


def send(run, topic, producer, count, **options):
    """Has a producer send; returns its result."""
    peer = run.peers[producer]
    result = peer.result(run, peer.start(run, "produce", [topic, count], options))
    if result.ok != count:
        raise Failure("%s: %d of %d sent, notes %s" % (peer.title, result.ok, count, result.notes))
    return result


def receive(run, topic, consumer, expected, keys="numbered", **options):
    """Has a consumer receive exactly the messages numbered `expected`."""
    peer, expected = run.peers[consumer], list(expected)
    options = {"keys": keys, "linger": 1, **options}
    process = peer.start(run, "consume", [topic, "g_" + topic + "_" + consumer, len(expected)], options)
    result = peer.result(run, process)
    return result, verify(peer, result, expected)


def exchange(producer, consumer, count, expected=None, produce=None, consume=None):
    """One client sends `count` messages, then another receives them."""
    def try_it(run, topic):
        send(run, topic, producer, count, **(produce or {}))
        keys = "numbered" if run.peers[producer].numbered_keys else "none"
        result, remark = receive(run, topic, consumer, range(count) if expected is None else expected, keys=keys, **(consume or {}))
        retried(result, count, consume)
        return remark
    return try_it


def retried(result, count, consume):
    if (consume or {}).get("fail_first") and (result.notes.get("failedOnce"), result.notes.get("reconsumed")) != (count, count):
        raise Failure("each of %d messages was to come twice, the second time as a retry: %s" % (count, result.notes))


def both_at_once(producer, consumer, count, produce, consume, judge=lambda sent, got: ""):
    """The consumer is up before the producer starts."""
    def try_it(run, topic):
        receiver, sender = run.peers[consumer], run.peers[producer]
        process = receiver.start(run, "consume", [topic, "g_" + topic, count], {"linger": 1, **consume})
        await_ready(process)
        sent = send(run, topic, producer, count, **produce)
        result = receiver.result(run, process)
        return verify(receiver, result, range(count)) or judge(sent, result) or "through " + sender.title
    return try_it


def delayed(seconds):
    """The first message came not sooner than it was to; a tenth of a second for two clocks that begin a little apart."""
    def judge(sent, got):
        waited = got.first_at - sent.first_at
        if waited < seconds - 0.1:
            raise Failure("a message with a delay of %d s came %.2f s after its acknowledgement" % (seconds, waited))
        return "came after %.1f s" % waited
    return judge


def broadcast(peer_name, count, consume):
    """Two consumers of one group receive everything each."""
    def try_it(run, topic):
        peer = run.peers[peer_name]
        pair = [peer.start(run, "consume", [topic, "g_" + topic, count], {"linger": 1, **consume}) for _ in range(2)]
        for process in pair:
            await_ready(process)
        send(run, topic, "go", count)
        return "; ".join(filter(None, [verify(peer, peer.result(run, process), range(count)) for process in pair]))
    return try_it


def shared_group(first, second, count):
    """Two clients of different make in one group share the queues: every message reaches exactly one of them."""
    def try_it(run, topic):
        pair = [run.peers[first], run.peers[second]]
        running = [peer.start(run, "consume", [topic, "g_" + topic, count], {"timeout": 40}) for peer in pair]
        for process in running:
            await_ready(process)
        time.sleep(15)  # the first one notices the second: a broker's notice, or a rebalance every 20 s at worst
        send(run, topic, "go", count)
        got = [peer.result(run, process, may_fail=True) for peer, process in zip(pair, running)]
        if sum(r.received for r in got) != count or sum(r.sum for r in got) != sum(range(count)) or not all(r.ok for r in got):
            raise Failure("of %d messages %s received %d and %s %d" % (count, pair[0].title, got[0].received, pair[1].title, got[1].received))
        return " + ".join(str(r.received) for r in got)
    return try_it


def restart(consumer, count):
    """A group that comes back goes on where it was: what was consumed is not consumed again.

    A client that ends in the middle of its last messages does not say that it consumed them, so it stays a moment.
    """
    def try_it(run, topic):
        send(run, topic, "go", count)
        receive(run, topic, consumer, range(count), linger=1)
        send(run, topic, "go", count, body="later")
        return receive(run, topic, consumer, range(count), body="later", linger=3)[1]
    return try_it


def dead_letters(consumer, count, options):
    """What fails as often as its group allows, which is once, is found in the group's dead letters, and not delivered again."""
    def try_it(run, topic):
        peer, group = run.peers[consumer], "g_" + topic
        send(run, topic, "go", count)
        process = peer.start(run, "consume", [topic, group, count], {"fail_first": "true", "timeout": 12, **options})
        failed = peer.result(run, process, may_fail=True)
        if failed.received or failed.notes.get("failedOnce") != count:
            raise Failure("%d messages were to fail once and to come no more: %s, %d received" % (count, failed.notes, failed.received))
        return receive(run, "%DLQ%" + group, "java4", range(count))[1]
    return try_it


def reset(consumer, count):
    """A group that is offline is set back by mqadmin, and consumes all again."""
    def try_it(run, topic):
        send(run, topic, "go", count)
        receive(run, topic, consumer, range(count))
        printed = mqadmin(run, JAVA5, "resetOffsetByTime", "-g", "g_" + topic + "_" + consumer, "-t", topic, "-s", "0")
        if "Exception" in printed:
            raise Failure("resetOffsetByTime: " + " ".join(printed.split())[:400])
        return receive(run, topic, consumer, range(count))[1]
    return try_it


def reset_online(consumer, count):
    """A group that is online is set back by mqadmin, and consumes all again."""
    def try_it(run, topic):
        peer, group = run.peers[consumer], "g_" + topic
        send(run, topic, "go", count)
        # More than there is, so that it stays until it has had enough time to consume all twice.
        process = peer.start(run, "consume", [topic, group, count + 1], {"timeout": 45})
        await_ready(process)
        printed = mqadmin(run, JAVA5, "resetOffsetByTime", "-g", group, "-t", topic, "-s", "0")
        if "Exception" in printed:
            raise Failure("resetOffsetByTime: " + " ".join(printed.split())[:400])
        got = peer.result(run, process, may_fail=True)
        if (got.ok, got.received) != (count, 2 * count):
            raise Failure("%d messages, %d deliveries; expected %d and %d" % (got.ok, got.received, count, 2 * count))
        return ""
    return try_it


def since(consumer, mode, count):
    """Only what was stored from some moment on."""
    def try_it(run, topic):
        send(run, topic, "go", count, body="early")
        time.sleep(1)
        moment = int(time.time() * 1000)
        time.sleep(1)
        send(run, topic, "go", count)
        return receive(run, topic, consumer, range(count), mode=mode, since=moment)[1]
    return try_it


def too_large(producer, options):
    """One byte more than a broker takes: the client says why."""
    def try_it(run, topic):
        peer = run.peers[producer]
        result = peer.result(run, peer.start(run, "produce", [topic, 1], {"size": MAX_BODY + 1, **options}), may_fail=True)
        if result.ok or not any("CODE: 13" in note for note in result.notes):
            raise Failure("expected an error with code 13: %s" % result.notes)
        return ""
    return try_it


def pop(consumer, count):
    """A push consumer that takes messages by POP: the broker, not the client, shares out the queues."""
    def try_it(run, topic):
        group = "g_" + topic + "_" + consumer
        printed = mqadmin(run, JAVA5, *("setConsumeMode -b %s -t %s -g %s -m POP -q 8" % (run.server.broker, topic, group)).split())
        if "success" not in printed:
            raise Failure("setConsumeMode: " + " ".join(printed.split())[:400])
        send(run, topic, "go", count)
        return receive(run, topic, consumer, range(count), set="clientRebalance=false")[1]
    return try_it


def transaction(producer, consumer, count):
    """Of three messages one is committed, one rolled back, and one left to the broker's check, which commits it."""
    expected = [i for i in range(count) if i % 3 != 1]

    def try_it(run, topic):
        sender = run.peers[producer]
        process = sender.start(run, "produce", [topic, count], {"mode": "tx", "linger": run.server.check_seconds, "group": "p_" + topic,
                                                                "timeout": 30})
        _, remark = receive(run, topic, consumer, expected, timeout=run.server.check_seconds + 30, linger=8)
        checks = sender.result(run, process).notes.get("txChecks", 0)
        if checks < count // 3:
            raise Failure("%d checks for %d undecided transactions" % (checks, count // 3))
        return remark or "%d checks" % checks
    return try_it


# ---- mqadmin and the admin client ------------------------------------------------------------------------------------


def prepared(run, chain, topic):
    """A topic with ten messages, consumed by a group: what the admin commands of one chain are asked about."""
    state = run.shared.setdefault(chain, {})
    if "topic" not in state:
        ids = next(note for note in send(run, topic, "go", 10).notes if note.startswith("id:"))
        state["topic"], (state["id"], state["offset_id"]) = topic, ids[3:].split("/")
        receive(run, topic, "go", range(10))
        state["group"] = "g_" + topic + "_go"
    return {**state, "broker": run.server.broker, "name": run.server.broker_name, "cluster": run.server.cluster}


def admin(chain, words, expected, version=JAVA5):
    """One mqadmin command, judged by what it prints: its exit status is 0 whatever happens."""
    def try_it(run, topic):
        values = prepared(run, chain, topic)
        printed = mqadmin(run, version, *[word.format(**values) for word in words.split()])
        pattern = expected.format(**{name: re.escape(value) for name, value in values.items()})
        if not re.search(pattern, printed, re.S) or "SubCommandException" in printed:
            raise Failure("no %r in: %s" % (pattern, " ".join(printed.split())[:600]))
        return ""
    return try_it


MQADMIN = [  # chain, command, what it must print
    ("topics", "topicList", r"(^|\s){topic}(\s|$)"),
    ("topics", "topicRoute -t {topic}", r"{broker}"),
    ("topics", "topicStatus -t {topic}", r"{name}"),
    ("topics", "topicClusterList -t {topic}", r"{cluster}"),
    ("topics", "updateTopic -b {broker} -t {topic}_new -r 4 -w 4", r"create topic to {broker} success"),
    ("topics", "updateTopicPerm -b {broker} -t {topic}_new -p 4", r"success"),
    ("topics", "deleteTopic -c {cluster} -t {topic}_new", r"delete topic \[{topic}_new\] from NameServer success"),
    ("topics", "statsAll", r"{topic}"),
    ("topics", "cleanExpiredCQ -b {broker}", r"success"),
    ("topics", "updateKvConfig -s ns_{topic} -k k -v v", r"create or update kv config to namespace success"),
    ("topics", "haStatus -b {broker}", r"#MasterAddr\s+{broker}"),
    ("groups", "updateSubGroup -b {broker} -g {group}_new", r"create subscription group to {broker} success"),
    ("groups", "deleteSubGroup -b {broker} -g {group}_new", r"success"),
    ("groups", "consumerProgress -g {group}", r"Diff Total:\s+0"),
    ("groups", "brokerConsumeStats -b {broker}", r"{group}"),
    ("groups", "resetOffsetByTime -g {group} -t {topic} -s now", r"reset|success"),
    ("groups", "skipAccumulatedMessage -g {group} -t {topic} -f true", r"{name}\s+\d+\s+\d+"),
    ("groups", "clusterList", r"{cluster}.*{name}.*{broker}"),
    ("groups", "brokerStatus -b {broker}", r"bootTimestamp|brokerVersion"),
    ("groups", "getBrokerConfig -b {broker}", r"brokerName\s+=\s+{name}"),
    ("groups", "updateBrokerConfig -b {broker} -k brokerPermission -v 6", r"success"),
    ("messages", "queryMsgByKey -t {topic} -k k-3", r"(?i)[0-9a-f]{{32}}"),
    ("messages", "queryMsgById -t {topic} -i {offset_id}", r"Keys:\s+\[?k-0"),
    ("messages", "queryMsgByUniqueKey -t {topic} -i {id}", r"Keys:\s+\[?k-0"),
    ("messages", "queryCq -t {topic} -q 0 -i 0 -c 3 -b {broker}", r"physicOffset="),
    ("messages", "printMsg -t {topic} -d true", r"BODY: m-3"),
    ("messages", "sendMessage -t {topic} -p hello", r"SEND_OK"),
    ("messages", "consumeMessage -t {topic} -g {group}_tool", r"hello|Body"),
]


def connections(run, topic):
    """consumerConnection and producerConnection, asked while a Go consumer and a Java producer are up."""
    go, java = run.peers["go"], run.peers["java5"]
    consumer = go.start(run, "consume", [topic, "g_" + topic, 20], {"linger": 15})
    await_ready(consumer)
    producer = java.start(run, "produce", [topic, 20], {"group": "p_" + topic, "linger": 14})
    time.sleep(SETTLE_SECONDS)
    for words, expected in [("consumerConnection -g g_" + topic, r"GO.*" + re.escape(topic)),
                            ("producerConnection -g p_%s -t %s" % (topic, topic), r"JAVA")]:
        printed = mqadmin(run, JAVA5, *words.split())
        if not re.search(expected, printed, re.S) or "Exception" in printed:
            raise Failure("no %r in: %s" % (expected, " ".join(printed.split())[:600]))
    java.result(run, producer)
    return verify(go, go.result(run, consumer), range(20))


def admin_client(run, topic):
    """The Go admin client: create, list, queues, clusters, groups, delete."""
    peer = run.peers["go"]
    notes = peer.result(run, peer.start(run, "admin", [topic], {"broker": run.server.broker})).notes
    return "%d calls" % len(notes)


# ---- the list ------------------------------------------------------------------------------------------------------

MAX_BODY = 4 << 20
UNCOMPRESSED = {"set": "compressMsgBodyOverHowmuch=100000000"}
UTF8 = {"body": "grüße-火箭", "size": 6000}
NO_351 = {"apache4": "mqadmin 5.3.3 asks for the topic's settings with request 351, which 4.9 does not know"}
UNSUPPORTED = {
    "topicStatus": NO_351,
    "consumerProgress": NO_351,
}
NO_TRANSFERED = {"apache5": "mqadmin 4.9.8 dies of a NullPointerException: 5.3.3 spells getTransferedTps otherwise"}
NO_361 = {"apache4": "5.3.3 pulls with request 361, which 4.9 does not know"}


def all_cases():
    cases = []

    def add(section, title, who, try_it, **more):
        cases.append(Case(section, title, who, try_it, **more))

    every = ["java5", "java5b", "java4", "java4b", "go", "node", "cpp"]
    for name in every:
        add("1000 messages", "send and receive", name, exchange(name, name, 1000), create=name == "node", seconds=9)

    for name, consumer in [("java5", "go"), ("java4b", "go"), ("go", "java4")]:
        add("Sending", "batches of 50", name, exchange(name, consumer, 500, produce={"mode": "batch"}))
    for name in ["java5", "java4b", "go"]:
        add("Sending", "asynchronous", name, exchange(name, "go", 1000, produce={"mode": "async"}))
    for name in ["java5b", "java4", "go", "cpp"]:
        add("Sending", "one-way", name, exchange(name, "go", 100, produce={"mode": "oneway", "linger": 1}))
    add("Sending", "fifty at a time", "node", exchange("node", "cpp", 500, produce={"mode": "parallel"}), create=True)
    for name in ["java5", "java4b", "go"]:
        add("Sending", "trace on", name, exchange(name, name, 50, produce={"trace": "true"}, consume={"trace": "true"}))
    for name in ["java5b", "java4"]:
        add("Sending", "bodies of 4 MiB", name, exchange(name, "go", 5, produce={"size": MAX_BODY, **UNCOMPRESSED}, consume={"size": MAX_BODY}))
    add("Sending", "4 MiB and a byte is refused", "java5", too_large(
        "java5", {"set": ["maxMessageSize=100000000", UNCOMPRESSED["set"]]}))
    for kind in ["ZLIB", "LZ4", "ZSTD"]:
        if kind != "ZSTD":  # which the program does not have unless it is built for it
            add("Sending", "compressed by " + kind, "java5 to own", exchange(
                "java5", "own", 50, produce={"size": 20000, "set": "compressType=" + kind}, consume={"size": 20000}))
        add("Sending", "compressed by " + kind, "java5b", exchange(
            "java5b", "java5", 50, produce={"size": 20000, "set": "compressType=" + kind}, consume={"size": 20000}))
    for name in ["java5", "java4b"]:
        add("Sending", "VIP channel", name, exchange(name, "go", 50, produce={"set": "vipChannelEnabled=true"}))
    for name in ["java5", "java4b", "go", "node", "cpp"]:
        add("Sending", "delay level 1", name, both_at_once(name, "go", 20, {"mode": "delay", "level": 1}, {}, delayed(1)),
            create=True, seconds=8)
    for name, consumer in [("java5", "go"), ("java5b", "java4")]:
        add("Sending", "timer message, 3 s", name, both_at_once(name, consumer, 20, {"delayms": 3000}, {}, delayed(3)), create=True, seconds=10,
            unsupported={"apache4": "4.9 has no timer messages"})
    for name, consumer in [("java5", "java5"), ("java4b", "go"), ("go", "java4")]:
        add("Sending", "transactions", name, transaction(name, consumer, 30), create=True, seconds=40)

    for name, consumer in [("java5", "java5"), ("java4b", "java4b"), ("go", "go"), ("cpp", "cpp")]:
        add("Receiving", "orderly", name, exchange(name, consumer, 200, produce={"mode": "ordered"}, consume={"mode": "orderly"}), seconds=9)
    for name in ["java5", "java4b", "go", "node", "cpp"]:
        add("Receiving", "retry after a failure", name, exchange("go", name, 5, consume={"fail_first": "true", "timeout": 100}),
            create=True, seconds=25 if name != "go" else 60)
    abc = {"produce": {"tag": "A,B,C"}, "consume": {"tag": "A || C"}, "expected": [i for i in range(300) if i % 3 != 1]}
    for name in ["java5b", "java4", "go", "node", "cpp"]:
        add("Receiving", "tag filter", name, exchange("go", name, 300, **abc), create=True)
    sql = {"produce": {"prop": "n"}, "consume": {"sql": "n > 99 AND n <= 199"}, "expected": range(100, 200)}
    for name in ["java5", "java4b", "go", "node"]:
        add("Receiving", "SQL92 filter", name, exchange("go", name, 300, **sql), create=True)
    for name, mode in [("java5", "litepull"), ("java5", "assign"), ("java4b", "litepull"), ("java4b", "assign"), ("java4", "pull"), ("java5b", "pull"),
                       ("go", "poll"), ("go", "pullfrom"), ("cpp", "pull")]:
        title = {"litepull": "lite pull", "assign": "assigned queues", "pull": "pull", "poll": "poll", "pullfrom": "pull by queue"}[mode]
        add("Receiving", title, name, exchange("go", name, 300, consume={"mode": mode}), create=True,
            seconds=9 if mode != "pullfrom" else 25, unsupported=NO_361 if name == "java5" else {})
    for name in ["java5", "java4b"]:
        add("Receiving", "broadcast", name, broadcast(name, 100, {"set": "messageModel=BROADCASTING"}), create=True, seconds=10)
    for name in ["go", "node", "cpp"]:
        add("Receiving", "broadcast", name, broadcast(name, 100, {"mode": "broadcast"}), create=True, seconds=10)
    add("Receiving", "POP", "java5", pop("java5", 300), create=True, seconds=15,
        unsupported={"apache4": "4.9 has no POP for Java's push consumer 5.3.3"})
    for first, second in [("go", "java4"), ("node", "cpp")]:
        add("Receiving", "one group of two", "%s and %s" % (first, second), shared_group(first, second, 1000), create=True, seconds=45)
    for name in ["java5", "go"]:
        add("Receiving", "orderly, each fails once", name, exchange(
            name, name, 20, produce={"mode": "ordered"}, consume={"mode": "orderly", "fail_first": "true"}), seconds=25)
    for name in ["java5", "go", "node", "cpp"]:
        # The Go client that ends loses its last offsets now and then, at Apache's broker as well.
        if name != "go":
            add("Receiving", "goes on after a restart", name, restart(name, 100), create=True, seconds=15)
        add("Receiving", "offsets set back", name, reset(name, 100), create=True, seconds=15)
    for name in ["java4", "go"]:
        add("Receiving", "offsets set back while it runs", name, reset_online(name, 100), create=True, seconds=50)
    for name, options in [("java5", {"set": "maxReconsumeTimes=0"}), ("java4b", {"set": "maxReconsumeTimes=0"}), ("go", {"max_reconsume": 0})]:
        add("Receiving", "dead letters", name, dead_letters(name, 20, options), create=True, seconds=22)
    for name, mode in [("java5", "assign"), ("java4b", "assign"), ("java4", "pull")]:
        add("Receiving", "since some moment", name, since(name, mode, 100), create=True, seconds=10,
            unsupported=NO_361 if name == "java5" else {})

    for asker, replier in [("java5", "java5"), ("java4b", "go"), ("go", "java4")]:
        add("Request and reply", "request, reply", "%s to %s" % (asker, replier), both_at_once(
            asker, replier, 20, {"mode": "request", "linger": 1}, {"mode": "reply"}), create=True, seconds=15)

    ring = [("java5", "go"), ("go", "node"), ("node", "cpp"), ("cpp", "java4"), ("java4b", "java5b"),
            ("go", "java5b"), ("node", "go"), ("cpp", "node"), ("java4", "cpp"), ("java5b", "java4b")]
    for producer, consumer in ring:
        add("Between clients", "200 bodies of 6 kB, UTF-8", "%s to %s" % (producer, consumer),
            exchange(producer, consumer, 200, produce=UTF8, consume=UTF8), create=True, seconds=7)

    for chain, words, expected in MQADMIN:
        command = words.split()[0]
        add("Administration", "mqadmin 5.3.3 " + command, "mqadmin", admin(chain, words, expected), chain=chain,
            unsupported=UNSUPPORTED.get(command, {}))
        if command in ("topicList", "topicRoute", "consumerProgress", "clusterList"):
            add("Administration", "mqadmin 4.9.8 " + command, "mqadmin", admin(chain, words, expected, JAVA4), chain=chain,
                unsupported=NO_TRANSFERED if command == "clusterList" else {})
    add("Administration", "mqadmin 5.3.3 connections", "mqadmin", connections, seconds=10, create=True)
    add("Administration", "Go admin client", "go", admin_client)
    return cases


def on_both(producer, consumer, count):
    """A topic that an operator creates on the whole cluster: both brokers take messages of it, and all are consumed."""
    def try_it(run, topic):
        brokers = {server.broker_name: server.broker for server in (run.server.ours, run.server.theirs)}
        printed = mqadmin(run, JAVA5, "updateTopic", "-c", run.server.cluster, "-t", topic)
        for broker in brokers.values():
            if "create topic to %s success" % broker not in printed:
                raise Failure("updateTopic: " + " ".join(printed.split())[:600])
        exchange(producer, consumer, count)(run, topic)
        status = mqadmin(run, JAVA4, "topicStatus", "-t", topic)
        got = {name: sum(int(end) for end in re.findall(r"(?m)^%s\s+\d+\s+\d+\s+(\d+)" % re.escape(name), status)) for name in brokers}
        if sum(got.values()) != count or not all(got.values()):
            raise Failure("the brokers have %s of %d messages: %s" % (got, count, status[:600]))
        return ", ".join("%s has %d" % pair for pair in sorted(got.items()))
    return try_it


def closed_for_writing(run, topic):
    """wipeWritePerm at the name server, for each of the two brokers, and back; it outlives the broker's next registration."""
    mqadmin(run, JAVA5, "updateTopic", "-c", run.server.cluster, "-t", topic)
    for server in (run.server.ours, run.server.theirs):
        name = server.broker_name
        printed = mqadmin(run, JAVA5, "wipeWritePerm", "-b", name)
        if not re.search(r"wipe write perm of broker\[%s\].*OK, [1-9]" % name, printed):
            raise Failure("wipeWritePerm: " + " ".join(printed.split())[:400])
        if perms(run, topic).get(name) != 4:
            raise Failure("perms are %s" % perms(run, topic))
    time.sleep(35)  # brokers register every 30 s
    if set(perms(run, topic).values()) != {4}:
        raise Failure("after 35 s perms are %s" % perms(run, topic))
    for server in (run.server.ours, run.server.theirs):
        mqadmin(run, JAVA5, "addWritePerm", "-b", server.broker_name)
    if set(perms(run, topic).values()) != {6}:
        raise Failure("at the end perms are %s" % perms(run, topic))
    return ""


def perms(run, topic):
    route = mqadmin(run, JAVA5, "topicRoute", "-t", topic)
    queues = re.findall(r'"brokerName":"([^"]+)",\s*"perm":(\d+)', route)
    return {name: int(perm) for name, perm in queues}


def cluster_cases():
    """A cluster of our broker and Apache's; one case after the other, since permissions concern them all."""
    cases = []
    for producer, consumer in [("java5", "go"), ("go", "java4b"), ("own", "cpp")]:
        cases.append(Case("Cluster", "1000 messages over two brokers", "%s to %s" % (producer, consumer),
                          on_both(producer, consumer, 1000), seconds=15, chain="cluster"))
    for words, expected in [("clusterList", r"{cluster}.*broker-a.*{cluster}.*broker-b"), ("topicList", r"(^|\s){topic}(\s|$)")]:
        cases.append(Case("Cluster", "mqadmin 5.3.3 " + words, "mqadmin", admin("cluster", words, expected), chain="cluster"))
    cases.append(Case("Cluster", "wipeWritePerm and addWritePerm", "mqadmin", closed_for_writing, seconds=60, chain="cluster"))
    return cases


def compared(version, step, number):
    """One step of a script of `interop/admin`, beside what Apache's broker answered to it. The first case runs them all."""
    def try_it(run, topic):
        if "answers" not in run.shared:
            run.shared["answers"], run.shared["expected"] = [], admin_script.read_expected(version)
            run.shared["answers"] = admin_script.session(run, version)
        answers, expected = run.shared["answers"], run.shared["expected"]
        if len(answers) <= number:
            raise Failure("the script did not get so far")
        if len(expected) <= number or expected[number][0] != step:
            raise Failure("nothing is recorded for this step: run interop/run --record")
        return admin_script.judge(step, answers[number][1], expected[number][1], run.server.name == "rocketwire")
    return try_it


def compared_cases(version):
    """Every command of mqadmin, and the calls of Apache's dashboard, answered as Apache answers them."""
    asked = [step for step in admin_script.steps(version) if not step.startswith("!")]
    return [Case("Administration", "as Apache, tools %s: %s" % (version, step), "mqadmin", compared(version, step, number), seconds=1,
                 chain="compared") for number, step in enumerate(asked)]


def our_cases():
    """Our command line against whatever server it is."""
    cases = []
    for producer, consumer in [("own", "own"), ("own", "java5"), ("java5", "own"), ("ownb", "java4b"), ("go", "own"), ("own", "cpp")]:
        cases.append(Case("Our client", "1000 messages with rocketwire", "%s to %s" % (producer, consumer),
                          exchange(producer, consumer, 1000), create=True, seconds=8))
    return cases
