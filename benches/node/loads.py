"""The loads: `rocketwire bench`, Apache's own clients, and the disk by itself. Each sample is of one server, and says what it took."""
import json
import os
import random
import re
import subprocess
import sys
import time
from statistics import mean, median

from measure import ROOT, cpu, machine

HERE = os.path.dirname(os.path.abspath(__file__))
CORES = os.cpu_count()


def jars(version):
    """Where the jars of Apache's servers of that version are."""
    return os.path.join(ROOT, "interop/target/apache", version, "lib")


class Used:
    """CPU seconds: of a server, and of what else runs on the machine."""

    def __init__(self, server, *clients):
        self.server, self.clients = server, clients
        self.begun, self.before = time.monotonic(), self.now()

    def now(self):
        own = os.times()
        mine = own.user + own.system + own.children_user + own.children_system
        server, clients = (sum(cpu(pid) for pid in pids) for pids in (self.server.pids, self.clients))
        return server, clients, machine() - mine - server - clients

    def since(self):
        """Of the server, of the clients, and the share of the machine that others took."""
        server, clients, others = (after - before for after, before in zip(self.now(), self.before))
        return server, clients, max(0.0, others) / (time.monotonic() - self.begun) / CORES


class Loads:
    def __init__(self, binary, encoding, folder, turns):
        self.binary, self.encoding, self.folder, self.turns = binary, encoding, folder, turns
        self.others = []  # the share of the machine that others took, of each sample
        self.compiled = {}

    def bench(self, server, what, topic, *flags):
        """The line of `rocketwire bench`, and the server's CPU in microseconds a message."""
        self.turns.only(server)
        command = [self.binary, "bench", what, "-n", server.address, "-t", topic, "--encoding", self.encoding, *flags, "-o", "json"]
        used = Used(server)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode != 0:
            sys.exit("%s: %s\n%s" % (server.name, " ".join(command), done.stderr.decode()))
        sample = json.loads(done.stdout)
        seconds, _, others = used.since()
        self.others.append(others)
        return {**sample, "server_us": seconds * 1e6 / max(1, sample["requests"])}

    def fill(self, server, topic, count, size):
        """So many messages of that size, whose bodies are numbers."""
        self.turns.only(server)
        sender = self.sender(server, topic)
        try:
            for begin in range(0, count, 10_000):
                sender.stdin.write(b"".join(b"%0*d\n" % (size, n) for n in range(begin, min(count, begin + 10_000))))
        except BrokenPipeError:  # it says why
            pass
        said = sender.communicate()[1].decode()
        if sender.returncode != 0:
            sys.exit("%s: cannot fill the topic: %s" % (server.name, said.splitlines()[:1]))

    def killed(self, server, topic, count):
        """Kills a server that is being sent to, once it took so many messages; the seconds that it then takes to take one again."""
        self.turns.only(server)
        sender, lines = self.sender(server, topic), b"%0128d\n" % 0 * 1_000
        try:
            for _ in range(0, count + 10_000, 1_000):  # some are in the pipe, and in flight
                sender.stdin.write(lines)
        except BrokenPipeError:
            sys.exit("%s: %s" % (server.name, sender.communicate()[1].decode()))
        server.kill()
        sender.kill()
        sender.communicate()
        server.start()
        return server.started

    def sender(self, server, topic):
        """Sends the lines of its standard input."""
        command = [self.binary, "send", "-n", server.address, "-t", topic, "--encoding", self.encoding, "--inflight", "64", "-"]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def java(self, version, program, server, *arguments):
        """One of the Java programs here, with the client of that version: its line, and CPU of both ends in microseconds a message."""
        self.turns.only(server)
        serialize = {"binary": "ROCKETMQ", "json": "JSON"}[self.encoding]
        command = [os.environ.get("JAVA", "java"), "-Duser.home=" + self.folder, "-Drocketmq.serialize.type=" + serialize,
                   "-cp", self.classes(version), program, server.address, *map(str, arguments)]
        client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            used = None
            for line in client.stdout:
                if line == b"begun\n":
                    used = Used(server, client.pid)
                elif line.startswith(b"{"):
                    break
            else:
                sys.exit("%s: the Java client ended: %s" % (server.name, " ".join(command)))
            seconds, own, others = used.since()
        finally:
            client.kill()
            client.communicate()
        sample = json.loads(line)
        if sample["errors"]:
            sys.exit("%s: %d calls of the Java client failed" % (server.name, sample["errors"]))
        self.others.append(others)
        each = 1e6 / max(1, sample["requests"])
        return {**sample, "server_us": seconds * each, "cpu_us": own * each}

    def classes(self, version):
        """The class path of the Java programs with the client that an Apache broker of that version carries."""
        if version not in self.compiled:
            lib = jars(version)
            # The servers' jars carry set-ups for logging, and logback without one prints everything.
            path = [os.path.join(lib, jar) for jar in sorted(os.listdir(lib)) if not re.match("rocketmq-(broker|namesrv)-|logback-", jar)]
            into = os.path.join(self.folder, "classes-" + version)
            sources = [os.path.join(HERE, name) for name in ("JavaSends.java", "JavaConsumes.java")]
            compiler = os.path.join(os.path.dirname(os.environ.get("JAVA", "")), "javac")
            subprocess.run([compiler, "-d", into, "-cp", ":".join(path), *sources], check=True)
            self.compiled[version] = ":".join([into, *path])
        return self.compiled[version]

    def disk(self, size, seconds):
        """Appends of so many bytes to a file of its own, each flushed, while no server runs: microseconds, median and mean."""
        self.turns.none()
        path, record, took = os.path.join(self.folder, "disk"), random.randbytes(size), []
        file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        try:
            end = time.perf_counter() + seconds
            while (begun := time.perf_counter()) < end:
                os.write(file, record)
                os.fdatasync(file)
                took.append(1e6 * (time.perf_counter() - begun))
        finally:
            os.close(file)
            os.unlink(path)
        return {"p50_us": median(took), "mean_us": mean(took)}
