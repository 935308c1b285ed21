#!/usr/bin/env python3
"""Interop peer over the C++ remoting client, by way of its Python binding.

  produce NAMESRV TOPIC COUNT        [--mode sync|oneway|batch|ordered|delay]
  consume NAMESRV TOPIC GROUP COUNT  [--mode push|orderly|broadcast|pull]

Prints one JSON line, and "ready" to stderr when a push consumer is up. Exit status 0 when every message was sent or received, 1 otherwise.
"""
import argparse
import json
import os
import sys
import threading
import time


def process_start():
    """Wall-clock start of this process, so that first_ms includes the interpreter."""
    with open("/proc/self/stat") as f:
        ticks = int(f.read().rsplit(")", 1)[1].split()[19])
    with open("/proc/uptime") as f:
        uptime = float(f.read().split()[0])
    return time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK")


START = process_start()


def elapsed():
    return round((time.time() - START) * 1000)


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("op", choices=["produce", "consume"])
    p.add_argument("namesrv")
    p.add_argument("topic")
    p.add_argument("rest", nargs="+", help="COUNT, or GROUP COUNT")
    p.add_argument("--mode", default="")
    p.add_argument("--group", default="interop_cpp_producer")
    p.add_argument("--tag", default="")
    p.add_argument("--prop", default="")
    p.add_argument("--body", default="m")
    p.add_argument("--size", type=int, default=0)
    p.add_argument("--level", type=int, default=1)
    p.add_argument("--timeout", type=float, default=60)
    p.add_argument("--linger", type=float, default=0)
    p.add_argument("--fail-first", default="false")
    p.add_argument("--keys", choices=["numbered", "none"], default="numbered", help="consume: none = do not check the key")
    p.add_argument("--package", default="", help="folder of an unpacked binding, instead of the installed one")
    return p.parse_args()


class Run:
    def __init__(self, args):
        self.args = args
        self.count = int(args.rest[-1])
        self.ok = self.received = 0
        self.first = self.started = -1
        self.notes = {}
        self.seen = set()
        self.last = {}  # by queue
        self.failed = set()
        self.lock = threading.Lock()
        self.done = threading.Event()

    def note(self, name):
        self.notes[name] = self.notes.get(name, 0) + 1

    def accept(self, n=1):
        if self.first < 0:
            self.first = elapsed()
        self.ok += n

    def message(self, i):
        """Message i of the run: body "PREFIX-i" padded to --size, key "k-i"."""
        from rocketmq.client import Message
        a = self.args
        m = Message(a.topic)
        m.set_keys("k-%d" % i)
        if a.tag:
            tags = a.tag.split(",")
            m.set_tags(tags[i % len(tags)])
        if a.prop:
            m.set_property(a.prop, str(i))
        if a.mode == "delay":
            m.set_delay_time_level(a.level)
        m.set_body(("%s-%d" % (a.body, i)).ljust(a.size, "."))
        return m

    def number(self, msg, body):
        """The number of a message whose body and key are what a producer of this family sends, or what is wrong."""
        prefix, _, digits = body.rpartition("-")
        if prefix != self.args.body or not digits.isdigit() or len(msg.body) < self.args.size:
            return None, "wrongBody:%s" % body[:40]
        key = msg.keys
        key = key.decode() if isinstance(key, bytes) else key
        if self.args.keys != "none" and key != "k-" + digits:
            return None, "wrongKey:%s" % key
        return int(digits), None

    def take(self, msg):
        """Counts one message; False asks for a later retry."""
        body = msg.body.decode("utf-8", "replace").rstrip(".")
        number, wrong = self.number(msg, body)
        with self.lock:
            if self.args.fail_first == "true" and body not in self.failed:
                self.failed.add(body)
                self.note("failedOnce")
                return False
            if self.first < 0:
                self.first = elapsed()
            self.received += 1
            if msg.reconsume_times > 0:
                self.note("reconsumed")
            if wrong:
                self.note(wrong)
            else:
                self.seen.add(number)
                if self.args.mode == "orderly" and self.last.get(msg.queue_id, -1) > number:
                    self.note("outOfOrder")
                self.last[msg.queue_id] = number
            self.ok = len(self.seen)
            if self.ok >= self.count:
                self.done.set()
        return True

    def produce(self):
        from rocketmq.client import Producer, SendStatus
        a = self.args
        producer = Producer(a.group)
        producer.set_namesrv_addr(a.namesrv)
        producer.start()
        self.started = elapsed()
        deadline = time.time() + a.timeout
        i = 0
        while i < self.count and time.time() < deadline:
            try:
                if a.mode == "oneway":
                    producer.send_oneway(self.message(i))
                    self.accept()
                elif a.mode == "batch":
                    n = min(50, self.count - i)
                    sent = producer.send_batch([self.message(k) for k in range(i, i + n)])
                    self.accept(n if sent.status == SendStatus.OK else 0)
                    i += n - 1
                else:
                    if a.mode == "ordered":
                        sent = producer.send_orderly(self.message(i), i)
                    else:
                        sent = producer.send_sync(self.message(i))
                    if i == 0:
                        self.note("id:" + sent.msg_id)
                    self.accept(1 if sent.status == SendStatus.OK else 0)
            except Exception as e:  # the binding has one exception class per call
                self.note("%s: %s" % (type(e).__name__, str(e)[:200]))
            i += 1
        total = elapsed()
        time.sleep(a.linger)
        producer.shutdown()
        return total

    def consume(self):
        a = self.args
        if a.mode == "pull":
            return self.pull()
        from rocketmq.client import PushConsumer, RecvMessage
        from rocketmq.exceptions import ffi_check
        from rocketmq.ffi import MessageModel, _CConsumeStatus, dll
        model = MessageModel.BROADCASTING if a.mode == "broadcast" else MessageModel.CLUSTERING
        consumer = PushConsumer(a.rest[0], orderly=a.mode == "orderly", message_model=model)
        consumer.set_namesrv_addr(a.namesrv)
        # PushConsumer.subscribe() reports a retry by raising inside a C callback; return the status instead
        ffi_check(dll.Subscribe(consumer._handle, a.topic.encode(), (a.tag or "*").encode()))
        consumer._register_callback(
            lambda _consumer, handle: (_CConsumeStatus.CONSUME_SUCCESS if self.take(RecvMessage(handle))
                                       else _CConsumeStatus.RECONSUME_LATER).value)
        consumer.start()
        print("ready", file=sys.stderr, flush=True)
        self.started = elapsed()
        self.done.wait(a.timeout)
        total = elapsed()
        time.sleep(a.linger)
        consumer.shutdown()
        return total

    def pull(self):
        from rocketmq.client import PullConsumer
        consumer = PullConsumer(self.args.rest[0])
        consumer.set_namesrv_addr(self.args.namesrv)
        consumer.start()
        self.started = elapsed()
        for msg in consumer.pull(self.args.topic, self.args.tag or "*"):
            self.take(msg)
            if self.done.is_set():
                break
        total = elapsed()
        time.sleep(self.args.linger)
        consumer.shutdown()
        return total


def main():
    args = parse()
    if args.package:
        sys.path.insert(0, args.package)
    run = Run(args)
    total = run.produce() if args.op == "produce" else run.consume()
    print(json.dumps({"client": "cpp", "op": args.op, "mode": args.mode or ("sync" if args.op == "produce" else "push"),
                      "wanted": run.count, "ok": run.ok, "received": run.received, "sum": sum(run.seen), "started_ms": run.started,
                      "first_ms": run.first, "total_ms": total, "notes": run.notes}), flush=True)
    # the library's threads may outlive shutdown()
    os._exit(0 if run.ok >= run.count else 1)


if __name__ == "__main__":
    main()
