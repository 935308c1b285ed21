"""The servers that are measured, ours and Apache's, each with data in a folder of its own.

They take turns: while one is measured the others are stopped (SIGSTOP). An idle broker of Apache's takes up to a tenth of a core
and compiles its code for a while after a load; to start and end it for each sample would take half a minute and give it a cold
JVM. A name server that was stopped for more than two minutes has forgotten its broker when it goes on, and is waited for.
"""
import os
import signal
import socket
import subprocess
import sys
import time

from measure import ROOT

sys.path.insert(0, os.path.join(ROOT, "interop"))
import probe  # noqa: E402


class Server:
    name, address, started, pids = "", "", 0.0, []

    def tell(self, what):
        for pid in self.pids:
            os.kill(pid, what)


class Ours(Server):
    name = "rocketwire"

    def __init__(self, binary, flush, folder):
        self.command = [binary, "serve", "--data", folder, "--port", "0", "--flush", flush]
        self.start()

    def start(self):
        begun = time.monotonic()
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        line = self.process.stdout.readline().decode()
        if " ready on " not in line:
            sys.exit("it did not start: " + " ".join(self.command))
        self.address = line.split(" ready on ")[1].split()[0]
        if probe.wait("send", "127.0.0.1", int(self.address.rsplit(":", 1)[1]), 60) is None:
            sys.exit("rocketwire takes no message")
        self.started = time.monotonic() - begun
        self.pids = [self.process.pid]

    def kill(self):
        self.process.kill()
        self.process.wait()

    end = kill


class Apache(Server):
    def __init__(self, version, flush, folder):
        self.name, self.version, self.folder, self.port = "Apache " + version, version, folder, free_port()
        self.address = "127.0.0.1:%d" % self.port
        self.environment = {**os.environ, "BROKER_CONF": "flushDiskType=%s_FLUSH" % flush.upper()}
        self.start()

    def start(self):
        """Both, or the broker alone when the name server is there."""
        alone = {"NAMESRV_ADDR": self.address} if self.pids else {}
        begun = time.monotonic()
        command = [os.path.join(ROOT, "interop/apache/start.sh"), self.version, str(self.port), str(self.port + 5), self.folder]
        subprocess.run(command, env={**self.environment, **alone}, check=True, stdout=subprocess.DEVNULL)
        self.started = time.monotonic() - begun
        with open(os.path.join(self.folder, "pids")) as pids:
            self.pids = [*self.pids, *[int(line.split()[1]) for line in pids]]

    def kill(self):
        """Its broker."""
        os.kill(self.pids.pop(), signal.SIGKILL)

    def end(self):
        self.tell(signal.SIGKILL)


class Turns:
    """Servers of which one runs at a time."""

    def __init__(self):
        self.servers = []

    def add(self, make, *arguments):
        """Starts a server while those before it are stopped."""
        self.none()
        self.servers.append(make(*arguments))

    def none(self):
        """Stops all, and waits until what they wrote is on the disk: it is not the next one's to wait for."""
        for server in self.servers:
            server.tell(signal.SIGSTOP)
        os.sync()

    def all(self):
        for server in self.servers:
            server.tell(signal.SIGCONT)

    def only(self, server):
        self.none()
        server.tell(signal.SIGCONT)
        time.sleep(0.3)  # what its timers missed
        host, port = server.address.rsplit(":", 1)
        if probe.wait("route", host, int(port), 90) is None:
            sys.exit(server.name + ": its broker does not come back to the name server")

    def end(self):
        for server in self.servers:
            server.end()


def free_port():
    """Below the range that the kernel hands out as source ports."""
    for port in range(21000 + os.getpid() % 5000, 32000, 10):
        try:
            for offset in (0, 5, 3, 6):
                with socket.socket() as s:
                    s.bind(("127.0.0.1", port + offset))
            return port
        except OSError:
            continue
    sys.exit("no free port")
