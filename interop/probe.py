#!/usr/bin/env python3
"""Speaks just enough of the remoting protocol (JSON headers) to tell whether a node is up.

probe.py ns HOST PORT             exit 0 when the name server answers at all
probe.py route HOST PORT [TOPIC]  exit 0 when the name server serves a route for TOPIC (default TBW102)
probe.py send HOST PORT [TOPIC]   one synchronous send to the broker; exit 0 when it was accepted
probe.py cluster HOST PORT        prints the first cluster's and broker's name

Add --wait SECONDS to try again every 20 ms; prints the seconds it took, with the probe's own start left out.
"""
import json
import re
import socket
import struct
import sys
import time

SEND_MESSAGE_V2, ROUTE, CLUSTER = 310, 105, 106
SUCCESS, TOPIC_NOT_EXIST = 0, 17


def call(host, port, code, fields, body=b"", timeout=3.0):
    """One request; returns the answer's header and body."""
    head = json.dumps({"code": code, "language": "PYTHON", "version": 453, "opaque": 1, "flag": 0, "extFields": fields}).encode()
    with socket.create_connection((host, port), timeout) as s:
        s.sendall(struct.pack(">iI", 4 + len(head) + len(body), len(head)) + head + body)
        frame = b""
        while len(frame) < 4 or len(frame) < 4 + struct.unpack(">i", frame[:4])[0]:
            more = s.recv(65536)
            if not more:
                raise ConnectionError("closed")
            frame += more
    end = 8 + (struct.unpack(">I", frame[4:8])[0] & 0xFFFFFF)
    return json.loads(frame[8:end]), frame[end:]


def send(host, port, topic):
    fields = {"a": "probe", "b": topic, "c": "TBW102", "d": "4", "e": "0", "f": "0", "g": str(int(time.time() * 1000)),
              "h": "0", "i": "", "j": "0", "k": "false", "l": "0", "m": "false"}
    return call(host, port, SEND_MESSAGE_V2, fields, b"probe")[0]["code"]


def cluster(host, port):
    """The names of the first cluster and of its first broker."""
    # not JSON: fastjson leaves the broker ids unquoted
    text = call(host, port, CLUSTER, {})[1].decode()
    names = re.search(r'"clusterAddrTable":\{"([^"]+)":\["([^"]+)"', text)
    if not names:
        raise ValueError("no cluster in %s" % text)
    return names.groups()


def once(kind, host, port, topic):
    if kind == "ns":
        return call(host, port, ROUTE, {"topic": "NoSuchTopic"})[0]["code"] in (SUCCESS, TOPIC_NOT_EXIST)
    if kind == "route":
        return call(host, port, ROUTE, {"topic": topic})[0]["code"] == SUCCESS
    if kind == "send":
        return send(host, port, topic) == SUCCESS
    if kind == "cluster":
        print(*cluster(host, port))
        return True
    raise SystemExit(__doc__)


def wait(kind, host, port, seconds, topic=None):
    """Asks until the answer is good; the seconds that took, or None when it never was."""
    topic = topic or ("TBW102" if kind == "route" else "probe")
    start = time.monotonic()
    while True:
        try:
            if once(kind, host, port, topic):
                return time.monotonic() - start
        except (OSError, ValueError):
            pass
        if time.monotonic() - start >= seconds:
            return None
        time.sleep(0.02)


def main():
    words, seconds = sys.argv[1:], 0.0
    if "--wait" in words:
        at = words.index("--wait")
        seconds = float(words[at + 1])
        del words[at:at + 2]
    if len(words) < 3:
        raise SystemExit(__doc__)
    took = wait(words[0], words[1], int(words[2]), seconds, words[3] if len(words) > 3 else None)
    if took is None:
        return 1
    print("%.3f" % took)
    return 0


if __name__ == "__main__":
    sys.exit(main())
