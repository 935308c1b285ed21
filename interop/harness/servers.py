"""The servers under test: our node, or Apache's name server and broker as a control."""
import os
import random
import socket
import subprocess
import sys

from .peers import HERE, SERVERS
from .processes import Failure, tail

sys.path.insert(0, HERE)
import probe  # noqa: E402  (it is a program of its own, beside this package)

START_SECONDS = 60


def free_port(near=()):
    """A port below 32768, above which the kernel hands out source ports, with the ports at the offsets `near` free too."""
    for _ in range(1000):
        port = random.randrange(15000, 32000)
        if all(is_free(port + offset) for offset in (0, *near)):
            return port
    raise SystemExit("interop: no free port between 15000 and 32000")


def is_free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


class Node:
    """`rocketwire serve`: name server and broker on one port."""

    name = "rocketwire"
    check_seconds = 45  # until an undecided transaction has been checked for certain: older than 6 s, looked at every 30 s

    def __init__(self, binary, processes, folder, arguments=()):
        self.binary, self.processes, self.folder, self.arguments = binary, processes, folder, list(arguments)
        version = subprocess.run([binary, "--version"], stdout=subprocess.PIPE, timeout=30, check=True).stdout.decode()
        self.title = " ".join(version.split())

    def start(self):
        port = free_port(near=(-2,))
        self.namesrv = self.broker = "127.0.0.1:%d" % port
        os.makedirs(self.folder, exist_ok=True)
        command = [self.binary, "serve", "--data", os.path.join(self.folder, "data"), "--host", "127.0.0.1", "--port", port, "--vip-port"]
        command += self.arguments
        self.process = self.processes.start(command, os.path.join(self.folder, "serve"), cwd=self.folder)
        took = probe.wait("send", "127.0.0.1", port, START_SECONDS)
        if took is None:
            raise SystemExit("interop: rocketwire serve accepts no send: " + tail(self.process.log, 2000))
        if "--no-name-server" not in self.arguments:
            self.cluster, self.broker_name = probe.cluster("127.0.0.1", port)
        return took

    def check(self):
        """A node that died is the finding, not what its clients say about it."""
        if self.process.poll() is not None:
            raise Failure("rocketwire serve ended with status %s: %s" % (self.process.returncode, tail(self.process.log, 1000)))

    def stop(self):
        self.processes.kill(self.process)


class Apache:
    """Apache's own two servers, from their Maven artifacts."""

    check_seconds = 25
    # Rolled-back transactions are forgotten in time to be checked for; the checks come soon enough to be waited for.
    CONFIGURATION = ("transactionTimeOut=6000\ntransactionCheckInterval=4000\ntransactionOpBatchInterval=1000\n"
                     "enablePropertyFilter=true")

    def __init__(self, name, folder, namesrv="", broker_name="broker-a", more=""):
        self.name, self.version, self.folder = name, SERVERS[name], folder
        self.title = "Apache RocketMQ " + self.version
        self.outside, self.broker_name, self.more = namesrv, broker_name, more

    def start(self):
        port = free_port(near=(-2, 1))
        namesrv = int(self.outside.rpartition(":")[2]) if self.outside else free_port()
        configuration = self.CONFIGURATION + "\nbrokerName=" + self.broker_name + self.more
        self.namesrv, self.broker = "127.0.0.1:%d" % namesrv, "127.0.0.1:%d" % port
        started = subprocess.run(
            [os.path.join(HERE, "apache", "start.sh"), self.version, str(namesrv), str(port), self.folder],
            env={**os.environ, "BROKER_CONF": configuration, "NAMESRV_ADDR": self.outside}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, timeout=200, check=False)
        if started.returncode:
            self.stop()
            raise SystemExit("interop: %s did not start: %s" % (self.title, started.stderr.decode(errors="replace")))
        self.cluster = probe.cluster("127.0.0.1", namesrv)[0]

    def check(self):
        pass

    def stop(self):
        if os.path.exists(os.path.join(self.folder, "pids")):
            subprocess.run([os.path.join(HERE, "apache", "stop.sh"), "--now", self.folder], timeout=100, check=False)


class Cluster:
    """Two brokers in one cluster: ours, and Apache's of some version; the name server is the one's or the other's."""

    check_seconds = 45

    def __init__(self, names, apache, binary, processes, folder):
        self.names, self.binary, self.processes, self.folder = names, binary, processes, folder
        self.name = "cluster-%s-%s" % (names, apache)
        self.apache = apache
        self.title = "two brokers, rocketwire's and Apache's %s, at the name server of %s" % (
            SERVERS[apache], "Apache" if names == "apache" else "rocketwire")

    def start(self):
        node, apache = os.path.join(self.folder, "node"), os.path.join(self.folder, "apache")
        if self.names == "apache":
            self.theirs = Apache(self.apache, apache)
            self.theirs.start()
            self.ours = Node(self.binary, self.processes, node, ["--broker-name", "broker-b", "--no-name-server", "--register", self.theirs.namesrv])
            self.ours.start()
            self.ours.broker_name = "broker-b"
        else:
            self.ours = Node(self.binary, self.processes, node)
            self.ours.start()
            # One of the two registers in the compressed form.
            more = "\ncompressedRegister=true" if self.apache == "apache4" else ""
            self.theirs = Apache(self.apache, apache, self.ours.namesrv, "broker-b", more)
            self.theirs.start()
        self.namesrv = (self.theirs if self.names == "apache" else self.ours).namesrv
        self.broker, self.broker_name, self.cluster = self.ours.broker, self.ours.broker_name, self.theirs.cluster

    def check(self):
        self.ours.check()

    def stop(self):
        for part in ("theirs", "ours"):
            if hasattr(self, part):
                getattr(self, part).stop()
