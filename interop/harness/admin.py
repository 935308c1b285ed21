"""Every command of mqadmin, and the calls of Apache's dashboard, in one prepared state: our node's answers beside those of Apache's broker.

`admin/script-VERSION.txt` is what is asked with the tools of a version, `admin/apache-VERSION.txt` what Apache's broker 5.3.3 answered
to them, recorded by `interop/run --record`; the run against our node compares with it, line by line, whatever their order. Addresses,
times, ids, rates and widths of columns are taken out of both. What else may differ is listed here, with its reason.
"""
import os
import re
import select
import time

from .peers import CLIENTS, HERE, JAVA4, JAVA5, JVM, TARGET
from .processes import Failure, tail

VERSIONS = [JAVA5, JAVA4]  # of the tools; the broker is always of 5.3.3
SCRIPT = os.path.join(HERE, "admin", "script-%s.txt")
EXPECTED = os.path.join(HERE, "admin", "apache-%s.txt")
# What Apache's broker has to be told to be like ours: traces are kept.
APACHE = "\ntraceTopicEnable=true"
STEP_SECONDS = 60
END = "\x04"


def steps(version):
    """The lines of a script, comments left out."""
    with open(SCRIPT % version, encoding="utf-8") as file:
        return [line.rstrip("\n") for line in file if line.strip() and not line.startswith("#")]


# ---- asking ----------------------------------------------------------------------------------------------------------


class Tool:
    """The Java program that runs the commands, and what it needs to know of its server."""

    def __init__(self, run, version):
        self.run, self.ids = run, {}
        self.home = run.folder("admin")
        jvm = [word.replace("{home}", self.home) for word in JVM]
        root = os.path.join(TARGET, "java", version)
        opens = ["--add-opens=java.base/%s=ALL-UNNAMED" % package for package in ("java.lang", "java.util")]
        folders = ["-Djava.io.tmpdir=" + self.home, "-Drocketmq.home.dir=" + os.path.join(CLIENTS, "java", "home")]
        program = ["-cp", "%s/classes:%s/lib/*" % (root, root), "Admin", run.server.namesrv]
        self.process = run.processes.start(jvm + opens + folders + program, os.path.join(self.home, "admin"), cwd=self.home, talk=True)
        for name, text in FILES.items():
            with open(os.path.join(self.home, name), "w", encoding="ascii") as file:
                file.write(text)

    def ask(self, step):
        """What one step printed, and how it ended."""
        words = [self.fill(word) for word in step.lstrip("!").split()]
        if words[0] == "file":
            with open(os.path.join(self.home, words[1]), encoding="utf-8") as file:
                return file.read()
        if words[0] == "mqadmin":
            words += ["-n", self.run.server.namesrv]
        self.process.stdin.write(("\t".join(words) + "\n").encode())
        self.process.stdin.flush()
        printed, deadline = b"", time.monotonic() + STEP_SECONDS
        while not re.search(rb"(?:^|\n)\x04[^\n]*\n$", printed):
            ready = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))[0]
            more = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not more:
                raise Failure("%s: no answer: %s" % (step, tail(self.process.log)))
            printed += more
        text, _, end = printed.decode(errors="replace").rstrip("\n").rpartition(END)
        if words[0] in ("produce", "consume"):
            self.ids.update((line.split()[0], line.split()[1:]) for line in text.splitlines())
        if step.startswith("!") and end != "ok":
            raise Failure("%s: %s" % (step, end))
        return text if end == "ok" else text + end + "\n"

    def fill(self, word):
        server = self.run.server
        port = int(server.broker.rpartition(":")[2])
        known = {"addr": server.broker, "names": server.namesrv, "home": self.home, "retry": RETRY,
                 "nowhere": "7F000001%08X%016X" % (port, 7), "nobody": "7F000001000018B4AAC200000000FFFF"}

        def value(match):
            kind, _, key = match.group(1).partition(":")
            return self.ids[key][1 if kind == "o" else 0] if key else known[kind]
        return re.sub(r"\{([a-z]+(?::[A-Za-z0-9-]+)?)\}", value, word)


RETRY = '{"type":"CUSTOMIZED","customizedRetryPolicy":{"next":[1000,5000]}}'
FILES = {
    "topics.json": '[{"topicName":"TopicL1","readQueueNums":2,"writeQueueNums":2,"perm":6},{"topicName":"TopicL2","readQueueNums":1,"writeQueueNums":1,"perm":6}]',
    "groups.json": '[{"groupName":"GroupL1","retryQueueNums":1},{"groupName":"GroupL2","consumeBroadcastEnable":false}]',
}


# ---- comparing -------------------------------------------------------------------------------------------------------

RULES = [(re.compile(pattern, re.S), replacement) for pattern, replacement in [
    (r"(?<=\S)[ \t]+", " "),
    # Apache 5.3.3 takes a subscribed topic for a group of that name (ConsumerManager.registerConsumer).
    (r"MessageTrack \[consumerGroup=Topic\w+, trackType=UNKNOWN.*?\(MQClientAPIImpl\.java:\d+\)\]", ""),
    (r"  - MessageTrack\n +consumerGroup Topic\w+\n(?:[^\n]*\n)*? +trackType UNKNOWN\n", ""),
    (r"(?=MessageTrack \[)|(?<=exceptionDesc=null\])", "\n"),
    (r"7F000001[0-9A-F]{24}(?:[0-9A-F]{24})?", "ID"),
    (r"\b[0-9A-F]{32}(?:[0-9A-F]{24})?(?=\b|_)", "ID"),
    (r"(?i)(commit ?log(?:max|min)? ?offset\s*[:=]?\s*|physicOffset[= ])\d+", r"\1N"),
    (r"(\.|Lambda)[\w$/]+@[0-9a-f]+\b", r"\1@HASH"),
    (r"@HASH#\d+|(?<=MonitorService_)-?\d+", "@HASH"),
    (r"\brt=\d+ms|\bspentTimeMills[= ]\d+", "rt"),
    (r"(?<=[ ,(|])\d+ms\b", "Nms"),
    (r"\b\d+(?:\.\d+){3}\b", "IP"),
    (r"\b\d+\.\d+(?:E-?\d+)?\b", "F"),
    (r"F(?: F)+(?=\s*\n)", "F"),
    (r"\d{4}-\d\d-\d\d[ #,T]?\d\d:\d\d:\d\d(?:[:,.]\d{1,3})?", "DATE"),
    (r"\b20\d{12}(?:\d{3})?\b", "DATE"),
    (r"\bIP@", "HOST@"),
    (r"@\d+(?:#\d+)?\b", "@PID"),
    (r"\b1[6-9]\d{11}\b", "MS"),
    # 5.3.3 does not say which name it means; later versions do.
    (r"The specified (topic|group)(?:: [^,]*,)? contains", r"The specified \1 contains"),
    (r"(\"?counter\"?:? ?)\d+", r"\1N"),
    (r"(\b(?:topicList|groupList|table|topicConfigTable|HOST@\w+) |(?<![^\n])= )[\[{]\d+[\]}]", r"\1[N]"),
    (r"(?<=CLUSTERING )\d+\b", "N"),
    (r"(?<=\] OK, )\d+", "N"),
    # Java prints properties in the order of a hash map, and those of one bucket as they came.
    (r"KEYS=([\w-]+), MSG_REGION=DefaultRegion", r"MSG_REGION=DefaultRegion, KEYS=\1"),
]]
STACK = re.compile(r"at [\w.$/]+\(|\.\.\. \d+ more$|For more information|See https")

# What may differ: in steps that match the first, lines that match the second, with all that is indented below them.
DIFFERENT = [(re.compile(step), re.compile(line), reason) for step, line, reason in [
    ("", r"(- |DefaultCluster )?TRANS_CHECK_MAX_TIME_TOPIC", "it is there from the start, not from the first half message that is given up"),
    ("statsAll", r"(Topic\w+) \1 ", "5.3.3 takes a topic for a group"),
    ("statsAll", r"probe |.* F F \d+ \d+$", "our numbers begin with the first message, Apache's with the first full minute"),
    ("viewBrokerStatsData", r"(sum|tps) ", "our numbers begin with the first message, Apache's with the first full minute"),
    ("queryTopicConsumeByWho", r"- Topic", "5.3.3 takes a topic for a group"),
    ("queryCq .*-g|queryConsumeQueue", r"ConsumeQueueData|eval ",
     "our eval says what the filter says; Apache asks it only where a queue has an extension"),
    ("clusterRT", r"DefaultCluster broker-a ", "it goes on until it is stopped"),
    ("checkMsgSendRT", r"broker-a \d true \d+", "milliseconds"),
    ("clusterList -m", r"DefaultCluster broker-a", "our totals count what is sent to the broker's own topics, too"),
    ("brokerStatus|fetchBrokerRuntimeStats", r"(SERVER )?(commitLogDiskRatio_|dispatchMaxBuffer|[gp]etMessageEntireTimeMax|putMessageEntireTimeMax|putLatency|"
     "putMessageDistributeTime)", "no paths are told; times are on /metrics"),
    ("brokerStatus|fetchBrokerRuntimeStats", r"(SERVER )?(clientConnections|getTransferedTps|pendingTransactions|pullsHeld|storeWritable)",
     "ours says more; tools before 5.0 know one of them by its older name"),
    ("brokerStatus|fetchBrokerRuntimeStats", r"(SERVER )?(\w+QueueCapacity|msg[GP]etTotal\w+|msgPutTotal\w+|putMessage(Size|Times)Total|runtime|remainHowMany\w+|"
     r"earliestMessageTimeStamp|timer\w+Behind|commitLogDirCapacity)\b", "numbers of two different stores"),
    ("getBrokerConfig", r"(flushDiskType|listenPort|haListenPort|mappedFileSizeCommitLog|transactionCheckInterval)\b",
     "another default, or set so for this run"),
    ("getColdDataFlowCtrInfo", r'"(cg|global)ColdReadThreshold"', "no mapped files, no threshold"),
    ("getNamesrvConfig", r"(brokerExpiry|maxBrokers|maxInstances|maxTopics|listenPort)\b", "our own settings"),
    ("file configs.json", r'"(flushDiskType|useTLS)"', "ours flushes before it answers"),
    ("queryMsgById -i {nowhere}", r"Caused by: .*(newLimit < 0|can not find message)", "ours says what is wrong with the offset"),
    ("file metrics.json", r'"cpuNum"', "ours has no pool of that size"),
    ("fetchConsumeStatsInBroker", r"pullOffset |totalInflightDiff ", "Apache leaves the offset of pulls at 0 here"),
    ("getConsumeStatus|getConsumerRunningInfo|consumerStatus",
     r"commitOffset |MessageQueue \[topic=TopicA, brokerName=broker-a, queueId=3\] \d|droped|lastPull|lastConsume|(TopicA broker-a 3|%RETRY%\w+ broker-a \d) ",
     "what the client knows of a queue without messages depends on when it asked"),
    ("queryConsumeTimeSpan", r"delayTime ", "of a queue without offset Apache says the time since 1970"),
    ("RMQ_SYS_TRACE_TOPIC", r"(body|bodyCRC|KEYS|storeSize) ", "the trace has times in it"),
]]

# What our node refuses, and what of its answer shows that it knows what it refuses.
REFUSED = [(re.compile(step), answer, reason) for step, answer, reason in [
    ("mqadmin update(Broker|Namesrv)Config .*-k (maxMessageSize|brokerName|orderMessageEnable)", "CODE: 16",
     "the network changes no setting of a node but its permission"),
    ("(update|remove)ColdDataFlowCtr|setCommitLogReadAheadMode -b .* 0", "CODE: 3", "no mapped files: cold reads are bounded by max_cold_reads"),
    ("checkRocksdb", "CODE: 3", "there is no RocksDB"),
    ("exportPopRecord", "CODE: 3", "there is no POP"),
    ("mqadmin (create|update|delete|get|list|copy)(User|Acl)", "CODE: 3", "there are no users and rules of 5.x; Apache without them answers 1"),
    ("StaticTopic", "SubCommandException", "there are no static topics"),
    ("updateSubGroup .*bad", "CODE: 29", "no client may have this name; later versions refuse it, too"),
    ("resumeCheckHalfMessage", "= false", "the message is none that waits for a verdict"),
]]


def plain(text, server, home):
    """What two servers in the same state have to answer alike: no addresses, times, ids, rates and widths of columns."""
    for name, address in (("SERVER", server.broker), ("SERVER", server.namesrv)):
        text = text.replace(address, name)
    text = re.sub(r"/?\b127\.0\.0\.1:\d+", "CLIENT", text.replace(home, "HOME").replace(server.folder, "FOLDER"))
    for pattern, replacement in RULES:
        text = pattern.sub(replacement, text)
    lines = [line.rstrip() for line in text.splitlines()]
    return [line for line in lines if line.strip() and not STACK.match(line.strip())]


def kept(step, lines):
    """The lines of an answer that have to be the same, sorted."""
    dropped = [line for where, line, _ in DIFFERENT if where.search(step)]
    result, below = [], None
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if below is not None and indent > below:
            continue
        below = indent if any(pattern.match(line.strip()) for pattern in dropped) else None
        if below is None:
            result.append(line.strip())
    return sorted(result)


def judge(step, ours, apaches, may_refuse):
    """Raises Failure where our answer is not Apache's; returns the reason where it is refused on purpose."""
    for where, answer, reason in REFUSED if may_refuse else []:
        if where.search(step):
            if answer not in "\n".join(ours):
                raise Failure("no %r in: %s" % (answer, " ".join(ours)[:400]))
            return "refused: " + reason
    if any("getTransferedTps" in line for line in apaches):
        if any("Exception" in line for line in ours):
            raise Failure("%s, as from Apache" % ours[:8])
        return "works, where Apache's spelling of getTransferedTps ends tools before 5.0"
    whole, ours, apaches = apaches, kept(step, ours), kept(step, apaches)
    extra = subtract(ours, apaches)
    # Of a broker's settings ours has only those that mean something to it.
    missing = [] if re.search(r"get(Broker|Namesrv)Config", step) else subtract(apaches, ours)
    if extra or missing:
        raise Failure("Apache answers %s where ours answers %s" % (missing[:8], extra[:8]))
    if whole and not apaches:
        raise Failure("all that Apache answers is left out of the comparison: " + " ".join(whole)[:400])
    return ""


def subtract(lines, others):
    left = list(others)
    result = []
    for line in lines:
        if line in left:
            left.remove(line)
        else:
            result.append(line)
    return result


# ---- the recorded answers --------------------------------------------------------------------------------------------


def read_expected(version):
    """The recorded answers, in the order of the steps."""
    with open(EXPECTED % version, encoding="utf-8") as file:
        parts = re.split(r"(?m)^### (.*)\n", file.read())[1:]
    return list(zip(parts[::2], ([line for line in text.split("\n") if line] for text in parts[1::2])))


def write_expected(version, answers):
    with open(EXPECTED % version, "w", encoding="utf-8") as file:
        for step, lines in answers:
            file.write("".join(line + "\n" for line in ["### " + step, *lines]))


def session(run, version):
    """Runs a whole script; the answers in its order."""
    tool = Tool(run, version)
    answers = []
    for step in steps(version):
        text = tool.ask(step)
        if not step.startswith("!"):
            answers.append((step, plain(text, run.server, tool.home)))
    return answers
