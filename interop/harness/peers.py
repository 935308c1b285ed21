"""The clients: how each is installed, and its command line. All of them obey the two verbs described in clients/README.md."""
import collections
import hashlib
import json
import os
import shutil
import subprocess

from .processes import Failure, read, tail

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TARGET = os.path.join(HERE, "target")
CLIENTS = os.path.join(HERE, "clients")
JAVA5, JAVA4 = "5.3.3", "4.9.8"
SERVERS = {"apache5": "5.3.3", "apache4": "4.9.7"}
MAVEN = ["mvn", "-q", "-B", "-ntp", "-f"]
PROCESS_GRACE = 30  # seconds that a client gets beyond its own --timeout


# ---- installation --------------------------------------------------------------------------------------------------


def install(wanted, say):
    """Installs the peers named in `wanted` (java, go, node, python, apache5, apache4) that are missing or out of date."""
    recipes = {
        "java": ("mvn", ["java"], [MAVEN + ["java/pom.xml", "-Drocketmq.version=" + v, "process-classes"] for v in (JAVA5, JAVA4)]),
        "go": ("go", ["go"], [["go", "build", "-C", "go", "-o", os.path.join(TARGET, "go", "go-client"), "."]]),
        "node": ("npm", ["node/package.json", "node/package-lock.json"],
                 [["npm", "ci", "--no-audit", "--no-fund", "--prefix", os.path.join(TARGET, "node")]]),
        "python": ("python3", ["python/requirements.txt"],
                   [["python3", "-m", "venv", os.path.join(TARGET, "python")],
                    [os.path.join(TARGET, "python/bin/pip"), "install", "-q", "-r", "python/requirements.txt"]]),
    }
    for server, version in SERVERS.items():
        recipes[server] = ("mvn", ["../apache/pom.xml"], [MAVEN + ["../apache/pom.xml", "-Drocketmq.version=" + version, "package"]])
    for name in wanted:
        tool, inputs, commands = recipes[name]
        fingerprint = digest([os.path.join(CLIENTS, path) for path in inputs])
        stamp = os.path.join(TARGET, "installed", name)
        if read(stamp) == fingerprint:
            continue
        if not shutil.which(tool):
            raise SystemExit("interop: %s is needed to install the %s peer, and is not on the PATH" % (tool, name))
        say("installing %s" % name)
        if name == "node":
            os.makedirs(os.path.join(TARGET, "node"), exist_ok=True)
            for path in inputs:
                shutil.copy(os.path.join(CLIENTS, path), os.path.join(TARGET, "node"))
        for command in commands:
            done = subprocess.run(command, cwd=CLIENTS, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=900, check=False)
            if done.returncode:
                raise SystemExit("interop: %s failed:\n%s" % (" ".join(command), done.stdout.decode(errors="replace")[-3000:]))
        os.makedirs(os.path.dirname(stamp), exist_ok=True)
        with open(stamp, "w", encoding="ascii") as file:
            file.write(fingerprint)


def digest(paths):
    """One hash over files and the files in folders."""
    files = []
    for path in paths:
        if os.path.isdir(path):
            files += [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]
        else:
            files.append(path)
    total = hashlib.sha256()
    for path in sorted(files):
        total.update(path.encode())
        with open(path, "rb") as file:
            total.update(file.read())
    return total.hexdigest()


# ---- running -------------------------------------------------------------------------------------------------------


class Result(collections.namedtuple("Result", "started ok received sum first_ms total_ms notes")):
    """A client's own account of its run; `started` is the wall-clock time at which it was started."""

    @property
    def first_at(self):
        return self.started + self.first_ms / 1000


class Peer:
    """A client program under clients/."""

    numbered_keys = True  # its messages carry k-i as their key
    duplicates = False    # it delivers some messages twice on its own account

    def __init__(self, name, title, command, env=None, duplicates=False):
        self.name, self.title, self.base, self.env, self.duplicates = name, title, command, env or {}, duplicates

    def start(self, run, verb, words, options):
        home = run.folder(self.name)
        command = self.command(home) + [verb, run.server.namesrv] + [str(word) for word in words]
        for name, value in options.items():
            for each in value if isinstance(value, list) else [value]:
                command += ["--" + name.replace("_", "-"), str(each)]
        process = run.processes.start(command, os.path.join(home, verb), env={**self.env, "HOME": home}, cwd=home)
        process.limit = float(options.get("timeout", 60)) + float(options.get("linger", 0)) + PROCESS_GRACE
        return process

    def command(self, home):
        return [word.replace("{home}", home) for word in self.base]

    def result(self, run, process, may_fail=False):
        status = run.processes.finish(process, process.limit)
        lines = [line for line in read(process.log + ".out").splitlines() if line.startswith("{")]
        if not lines:
            raise Failure("%s printed no result, exit status %s: %s" % (self.title, status, tail(process.log)))
        got = json.loads(lines[-1])
        result = Result(process.started, got["ok"], got.get("received", 0), got.get("sum", 0), got["first_ms"],
                        got["total_ms"], got["notes"])
        if status and not may_fail:
            raise Failure("%s %s: %d of %d, notes %s" % (self.title, got["op"], got["ok"], got["wanted"], got["notes"]))
        return result


class OwnPeer(Peer):
    """Our command line, made to look like the others."""

    numbered_keys = False

    def __init__(self, name, title, binary, header):
        super().__init__(name, title, [binary])
        self.header = ["--encoding", header]

    def start(self, run, verb, words, options):
        home = run.folder(self.name)
        prefix, size, count = options.get("body", "m"), int(options.get("size", 0)), int(words[-1])
        server = ["-n", run.server.namesrv, "-t", words[0]]
        if verb == "produce":
            bodies = os.path.join(home, "bodies")
            with open(bodies, "w", encoding="utf-8") as file:
                file.writelines(("%s-%d" % (prefix, i)).ljust(size, ".") + "\n" for i in range(count))
            with open(bodies, "rb") as stdin:
                process = run.processes.start(self.base + ["send"] + server + self.header + ["-o", "json", "-"],
                                              os.path.join(home, verb), stdin=stdin, cwd=home)
        else:
            process = run.processes.start(
                self.base + ["consume"] + server + ["-g", words[1], "--from", "earliest", "-c", str(count), "-o", "text"],
                os.path.join(home, verb), cwd=home)
        process.verb, process.count, process.prefix, process.size = verb, count, prefix, size
        process.limit = float(options.get("timeout", 60)) + PROCESS_GRACE
        return process

    def result(self, run, process, may_fail=False):
        status = run.processes.finish(process, process.limit)
        if status:
            raise Failure("rocketwire %s: exit status %s: %s" % (process.verb, status, tail(process.log)))
        if process.verb == "produce":
            answers = [json.loads(line) for line in read(process.log + ".out").splitlines()]
            stored = {answer["line"] for answer in answers if answer["status"] == "SEND_OK"}
            return Result(process.started, len(stored), 0, 0, 0, 0, {})
        numbers, notes, lines = set(), {}, read(process.log + ".out").splitlines()
        for line in lines:
            prefix, _, digits = line.rstrip(".").rpartition("-")
            if prefix == process.prefix and digits.isdigit() and len(line.encode()) >= process.size:
                numbers.add(int(digits))
            else:
                notes["wrongBody:" + line[:40]] = 1
        return Result(process.started, len(numbers), len(lines), sum(numbers), 0, 0, notes)


JVM = ["java", "-Xms32m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Duser.home={home}",
       "-Drocketmq.client.logRoot={home}/logs", "-Djava.net.preferIPv4Stack=true"]


def java(name, version, header):
    home = os.path.join(TARGET, "java", version)
    classes = "%s/classes:%s/lib/*" % (home, home)
    title = "Java %s, %s header" % (version, "binary" if header == "ROCKETMQ" else header)
    return Peer(name, title, JVM + ["-Drocketmq.serialize.type=" + header, "-cp", classes, "Interop"])


def all_peers(rocketwire):
    """Every client by its short name; `rocketwire` is the path of our binary, or None."""
    peers = [
        java("java5", JAVA5, "JSON"), java("java5b", JAVA5, "ROCKETMQ"),
        java("java4", JAVA4, "JSON"), java("java4b", JAVA4, "ROCKETMQ"),
        Peer("go", "Go client v2", [os.path.join(TARGET, "go", "go-client")]),
        Peer("node", "Node.js ali-ons 3.12", ["node", os.path.join(CLIENTS, "node", "client.js")],
             env={"NODE_PATH": os.path.join(TARGET, "node", "node_modules")}, duplicates=True),
        Peer("cpp", "C++ client 1.2 (Python)", [os.path.join(TARGET, "python/bin/python"), os.path.join(CLIENTS, "python/client.py")]),
    ]
    if rocketwire:
        peers += [OwnPeer("own", "rocketwire", rocketwire, "json"), OwnPeer("ownb", "rocketwire, binary header", rocketwire, "binary")]
    return {peer.name: peer for peer in peers}


# ---- mqadmin -------------------------------------------------------------------------------------------------------

MQADMIN_SECONDS = 60


def mqadmin(run, version, *words):
    """Runs one command of Apache's admin tool; returns all that it printed. Its exit status says nothing."""
    home = run.folder("mqadmin")
    shutil.copytree(os.path.join(CLIENTS, "java", "home"), os.path.join(home, "rocketmq"))
    command = [word.replace("{home}", home) for word in JVM]
    command += ["-Drocketmq.home.dir=" + os.path.join(home, "rocketmq"), "-cp", os.path.join(TARGET, "java", version, "lib", "*"),
                "--add-opens=java.base/java.lang=ALL-UNNAMED", "--add-opens=java.base/java.util=ALL-UNNAMED",
                "org.apache.rocketmq.tools.command.MQAdminStartup"]
    process = run.processes.start(command + list(words) + ["-n", run.server.namesrv], os.path.join(home, "mqadmin"), cwd=home)
    run.processes.finish(process, MQADMIN_SECONDS)
    return read(process.log + ".out") + read(process.log + ".err")
