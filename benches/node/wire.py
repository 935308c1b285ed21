"""Requests written to a node without a client in between: as many as it takes, answers counted."""
import json
import socket
import struct
import sys
import threading
import time

CREATE_TOPIC, SEND_MESSAGE_V2 = 17, 310


def frame(code, fields, body=b""):
    """A request with a JSON header (docs/wire.md). All have the same opaque: answers are counted, not told apart."""
    head = json.dumps({"code": code, "language": "PYTHON", "version": 479, "opaque": 1, "flag": 0, "extFields": fields}).encode()
    return struct.pack(">II", 4 + len(head) + len(body), len(head)) + head + body


def send(topic, queue=0, body=b"x" * 128):
    return frame(SEND_MESSAGE_V2, {
        "a": "limits", "b": topic, "c": "TBW102", "d": "8", "e": str(queue), "f": "0", "g": str(int(time.time() * 1000)),
        "h": "0", "i": "", "j": "0", "k": "false", "l": "0", "m": "false"}, body)


def create(topic, queues=8):
    return frame(CREATE_TOPIC, {
        "topic": topic, "defaultTopic": "TBW102", "readQueueNums": str(queues), "writeQueueNums": str(queues), "perm": "6",
        "topicFilterType": "SINGLE_TAG", "topicSysFlag": "0", "order": "false"})


class Wire:
    """A connection on which requests are written without waiting, while a thread counts the answers."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.settimeout(300)
        self.answered, self.refused = 0, None
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        """Until the other side is gone."""
        pending = b""
        try:
            while more := self.socket.recv(1 << 18):
                pending, at, count = pending + more, 0, 0
                while len(pending) - at >= 8:
                    total, head = struct.unpack_from(">II", pending, at)
                    if len(pending) - at < 4 + total:
                        break
                    if b'"code":0,' not in pending[at + 8:at + 8 + (head & 0xFFFFFF)]:
                        self.refused = self.refused or pending[at + 8:at + 4 + total]
                    at, count = at + 4 + total, count + 1
                pending = pending[at:]
                with self.changed:
                    self.answered += count
                    self.changed.notify_all()
        except OSError:
            pass
        with self.changed:
            self.refused = self.refused or b"the connection is closed"
            self.changed.notify_all()

    def write(self, frames):
        self.socket.sendall(frames)

    def wait(self, count):
        """Until so many requests of this connection are answered, each with success."""
        with self.changed:
            while self.answered < count and not self.refused and self.changed.wait(300):
                pass
            if self.refused or self.answered < count:
                sys.exit("%d of %d requests were answered: %s" % (self.answered, count, self.refused))

    def leave_open(self, sent, most):
        """Until no more than `most` of the requests sent are open."""
        with self.changed:
            self.changed.wait_for(lambda: sent - self.answered <= most or self.refused, 300)

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.reader.join(10)
        self.socket.close()
