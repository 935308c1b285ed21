"""Child processes that end: each has a time limit and a group of its own, and all of them die with the run."""
import os
import signal
import subprocess
import threading
import time


class Failure(Exception):
    """What a case found wrong."""


class Stopped(Exception):
    """The run is being ended: start nothing more."""


class Processes:
    def __init__(self):
        self.lock = threading.Lock()
        self.running = set()
        self.stopping = False

    def start(self, command, log, env=None, stdin=None, cwd=None, talk=False):
        """Starts `command` in its own session; stdout and stderr go to the files `log`.out and `log`.err. With `talk` stdin and stdout are pipes."""
        with self.lock:
            if self.stopping:
                raise Stopped
            with open(log + ".out", "wb") as out, open(log + ".err", "wb") as err:
                process = subprocess.Popen([str(word) for word in command], env={**os.environ, **(env or {})}, cwd=cwd,
                                           stdin=subprocess.PIPE if talk else stdin or subprocess.DEVNULL,
                                           stdout=subprocess.PIPE if talk else out, stderr=err, start_new_session=True)
            self.running.add(process)
        process.log, process.started, process.thread = log, time.time(), threading.get_ident()
        return process

    def finish(self, process, timeout):
        """Waits for the exit status; a process that takes longer than `timeout` seconds is killed and is a failure."""
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failure("still running after %d s: %s" % (timeout, tail(process.log))) from None
        finally:
            self.kill(process)
            if self.stopping:
                raise Stopped

    def kill(self, process):
        """Ends the process and what it started."""
        with self.lock:
            self.running.discard(process)
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        process.wait()

    def kill_mine(self):
        """Ends what this thread started and did not wait for, as after a failure."""
        with self.lock:
            left = [process for process in self.running if process.thread == threading.get_ident()]
        for process in left:
            self.kill(process)

    def kill_all(self):
        with self.lock:
            self.stopping = True
            left = list(self.running)
        for process in left:
            self.kill(process)


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def tail(log, characters=300):
    """The end of what a process printed, in one line."""
    text = (read(log + ".err") + " " + read(log + ".out")).strip()
    return " ".join(text[-characters:].split()) or "(it printed nothing)"
