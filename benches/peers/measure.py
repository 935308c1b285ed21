"""Takes the samples for `run`: peers as processes, quiet waited for, the table.

A sample is one run of one peer's client at one (connections, inflight, body). Before a sample the machine must be quiet (or
--patience seconds have passed), and one that other processes disturbed is taken again; what they took all the same is the
column `other`.
"""
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time

TICK = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count()


def busy():
    """CPU ticks of the whole machine that were not idle."""
    with open("/proc/stat", encoding="ascii") as stat:
        ticks = [int(word) for word in stat.readline().split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4]


def cpu(pid):
    """CPU ticks of a process so far, None when it is gone."""
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii") as stat:
            words = stat.read().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(words[11]) + int(words[12])


def quiet(limit, budget):
    """Waits until others take less than `limit` of the machine; returns the seconds waited."""
    start = time.time()
    while time.time() - start < budget:
        before = busy()
        time.sleep(0.25)
        if (busy() - before) / (CORES * 0.25 * TICK) < limit:
            break
    return time.time() - start


class Peer:
    """`command server PORT` and `command client ADDR CONNECTIONS INFLIGHT SECONDS BODY_BYTES`, which prints a line of JSON.

    `warmup`: seconds of load before the measured ones (a quarter of those, at most one, unless said);
    `only_while`: its server spins, and runs for its samples only.
    """


    def __init__(self, name, command, env=None, pin="none", warmup=None, only_while=False):
        self.name, self.command, self.pin = name, [str(word) for word in command], pin
        self.env = {**os.environ, **(env or {})}
        self.warmup, self.only_while = warmup, only_while
        self.process = None

    def server(self, port):
        return self.command + ["server", str(port)]

    def client(self, address, connections, inflight, seconds, body):
        return self.command + ["client", address, str(connections), str(inflight), str(seconds), str(body)]

    def start(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(self.pinned("0") + self.server(self.port), env=self.env, stdin=subprocess.DEVNULL,
                                        stdout=log, stderr=log, start_new_session=True)
        end = time.time() + 20
        while time.time() < end and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return True
            except OSError:
                time.sleep(0.1)
        self.stop()
        return False

    def pinned(self, core):
        if self.pin == "none":
            return []
        return ["taskset", "-c", "0" if self.pin == "same" else core]

    def stop(self):
        process, self.process = self.process, None
        if process and process.poll() is None:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def sample(self, config, seconds):
        connections, inflight, body = config
        command = self.pinned("1") + self.client("127.0.0.1:%d" % self.port, connections, inflight, seconds, body)
        t0, b0, s0 = time.time(), busy(), cpu(self.process.pid)
        client = subprocess.Popen(command, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
        # what both use in the middle of the run
        time.sleep((self.warmup or min(1.0, seconds * 0.25)) + seconds * 0.1)
        m0 = (time.time(), cpu(self.process.pid), cpu(client.pid))
        time.sleep(seconds * 0.8)
        m1 = (time.time(), cpu(self.process.pid), cpu(client.pid))
        before = os.times()
        try:
            out, err = client.communicate(timeout=seconds + 30)
        except subprocess.TimeoutExpired:
            client.kill()
            client.communicate()
            return {"error": "timeout"}
        # the finished client's own time, now counted among this process's children
        t1, b1, s1, after = time.time(), busy(), cpu(self.process.pid), os.times()
        if s1 is None or client.returncode != 0:
            return {"error": (err or "").strip()[-200:] or "exit status %d" % client.returncode}
        own = (after.children_user + after.children_system - before.children_user - before.children_system) * TICK
        result = json.loads(out.strip().splitlines()[-1])
        if result.get("errors"):
            return {"error": "%s calls failed" % result["errors"]}
        result["other"] = max(0.0, (b1 - b0) - (s1 - s0) - own) / (CORES * (t1 - t0) * TICK)
        span = (m1[0] - m0[0]) * TICK
        if None not in m0 + m1 and result["rps"] > 0:
            result["server_us"] = (m1[1] - m0[1]) / span / result["rps"] * 1e6
            result["client_us"] = (m1[2] - m0[2]) / span / result["rps"] * 1e6
        return result


class Own(Peer):
    """Ours: `rocketwire bench rpc-server` and `rocketwire bench rpc` behind the same two verbs."""

    def __init__(self, name, binary, encoding, look=None, pin="none"):
        super().__init__(name, [binary, "bench"], pin=pin)
        self.encoding, self.look = encoding, ["--look", look] if look is not None else []

    def server(self, port):
        return self.command + ["rpc-server", "--port", str(port)] + self.look

    def client(self, address, connections, inflight, seconds, body):
        return self.command + ["rpc", "--addr", address, "--connections", str(connections), "--inflight", str(inflight), "--duration",
                               "%gs" % seconds, "--body", str(body), "--encoding", self.encoding, "-o", "json"] + self.look


def measure(peers, configs, options):
    """Round by round, every peer in turn at every configuration; the samples and the errors."""
    got = {(peer.name, config): [] for peer in peers for config in configs}
    errors, patience, retries = {}, options.patience, options.retries
    out = open(options.out, "w", encoding="utf-8") if options.out else None
    for turn in range(options.rounds):
        for config in configs:
            for peer in peers:
                tries = []
                while True:
                    patience -= quiet(options.noise, max(0, min(30, patience)))
                    if peer.only_while:
                        peer.start()
                    result = peer.sample(config, options.seconds)
                    if peer.only_while:
                        peer.stop()
                    if "error" in result:
                        errors[(peer.name, config)] = result["error"]
                        break
                    tries.append(result)
                    if result["other"] <= options.noise or retries <= 0 or len(tries) >= 3:
                        break
                    retries -= 1
                if tries:
                    best = min(tries, key=lambda sample: sample["other"])  # chosen by the disturbance, not by the result
                    got[(peer.name, config)].append((turn, best))
                    if out:
                        print(json.dumps({"name": peer.name, "config": config, "round": turn, **best}), file=out, flush=True)
        print("peers: round %d of %d done" % (turn + 1, options.rounds), file=sys.stderr)
    return got, errors


def table(peers, configs, got, errors):
    """A table a configuration: medians, and the ratio to the first peer, paired round by round."""
    base = peers[0].name
    print("medians; ratio: of rps to %s, round by round; cpu: us of CPU a request; other: share of the machine taken by other processes" % base)
    for config in configs:
        print("\nconnections %d, inflight %d, body %d" % config)
        print("%-22s %9s %6s %9s %9s %9s %8s %8s %6s" % ("peer", "rps", "ratio", "p50 us", "p99 us", "p999 us", "srv cpu", "cli cpu", "other"))
        reference = {turn: sample["rps"] for turn, sample in got[(base, config)]}
        for peer in peers:
            samples = got[(peer.name, config)]
            if not samples:
                print("%-22s %s" % (peer.name, errors.get((peer.name, config), "no sample")))
                continue
            ratios = [sample["rps"] / reference[turn] for turn, sample in samples if reference.get(turn)]

            def median(key, samples=samples):
                return statistics.median(sample.get(key, float("nan")) for _, sample in samples)
            print("%-22s %9.0f %6s %9.1f %9.1f %9.1f %8.2f %8.2f %6.2f" % (
                peer.name, median("rps"), "%.3f" % statistics.median(ratios) if ratios else "-", median("p50_us"), median("p99_us"),
                median("p999_us"), median("server_us"), median("client_us"), median("other")))
