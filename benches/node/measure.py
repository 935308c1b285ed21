"""What the measuring scripts of the node share: processes looked at through /proc, and the binary."""
import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


TICK = os.sysconf("SC_CLK_TCK")


def cpu(pid):
    """Seconds of CPU that a process took so far, in hundredths; threads that ended are in it."""
    fields = open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def machine():
    """Seconds of CPU that the whole machine was busy so far: user, nice, system, interrupts."""
    fields = open("/proc/stat").readline().split()
    return sum(int(fields[n]) for n in (1, 2, 3, 6, 7)) / TICK


def cpu_exact(pid):
    """The same to the nanosecond, of the threads that are there: for processes that idle."""
    total = 0
    for thread in os.listdir("/proc/%d/task" % pid):
        try:
            total += int(open("/proc/%d/task/%s/schedstat" % (pid, thread)).read().split()[0])
        except OSError:  # it ended meanwhile
            pass
    return total / 1e9


def status(pid, field):
    """A number of /proc/PID/status."""
    for line in open("/proc/%d/status" % pid):
        if line.startswith(field + ":"):
            return int(line.split()[1])
    return 0


def memory(pid):
    """Resident, in MiB."""
    return status(pid, "VmRSS") / 1024


def threads(pid):
    return status(pid, "Threads")


def binary():
    """The one that ROCKETWIRE names, or a new build."""
    named = os.environ.get("ROCKETWIRE")
    if named:
        return named
    subprocess.run(["cargo", "build", "--release", "-q", "-p", "rocketwire-cli"], cwd=ROOT, check=True)
    return os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release/rocketwire")
