"""A server: started on its processor, asked, weighed, and ended with all of its processes."""
import contextlib
import glob
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

import needs
import probe

TICK = os.sysconf("SC_CLK_TCK")
# Seconds that what is left of a turn may take.
SETTLED = 3


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Failed(Exception):
    """A server that did not do what was asked: it has no figure, and the others go on."""


class Server:
    """A context: what it starts has ended when it is left. `port` is where HTTP is answered, be it by a proxy in front."""
    # How long it may take to start, and to end, in seconds.
    patience = 30, 10
    # Whether it is there to show what can be reached, and not to be chosen.
    is_bound = False

    def __init__(self, name, command, port, path="/", cwd=needs.APPS, env=None, cpu="0"):
        self.name, self.command, self.port, self.path = name, command, port, path
        self.cwd, self.cpu = cwd, cpu
        self.env = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", **(env or {}))
        self.log = self.process = None

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def __enter__(self):
        self.log = tempfile.TemporaryFile()
        # A session of its own: Ctrl-C in the terminal is for us, who then end it in order; and it ends if we are killed.
        self.process = subprocess.Popen(
            ["taskset", "-c", self.cpu, "setpriv", "--pdeathsig", "TERM", *self.command],
            cwd=self.cwd, env=self.env, start_new_session=True,
            stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        return self

    def __exit__(self, *_):
        self.signal(signal.SIGTERM)
        try:
            self.process.wait(self.patience[1])
        except subprocess.TimeoutExpired:
            pass
        self.signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()

    def signal(self, number):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def wait_until_it_answers(self):
        deadline = time.monotonic() + self.patience[0]
        while True:
            try:
                if probe.ask(self.port, self.path).status == 200:
                    return
            except (OSError, probe.HTTPException):
                pass
            if time.monotonic() > deadline or self.process.poll() is not None:
                self.fail("does not answer")
            time.sleep(0.05)

    def fail(self, what):
        """With the server's own last words."""
        self.log.seek(0)
        log = self.log.read().decode(errors="replace")
        raise Failed(f"{self.name} {what}\n{log[-2000:]}")

    def processes(self):
        """The numbers of all processes of its session."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.getsid(int(pid)) == self.process.pid:
                    yield pid
            except OSError:
                continue

    def cpu_seconds(self):
        """Processor time, user's and system's, of all its processes since they began."""
        total = 0
        for pid in self.processes():
            try:
                with open(f"/proc/{pid}/stat") as stat:
                    fields = stat.read().rpartition(")")[2].split()
            except OSError:
                continue
            total += int(fields[11]) + int(fields[12])
        return total / TICK

    def settle(self):
        """Waits until it has done what clients have left to it that are gone, but not for ever: the next one's turn is its own."""
        deadline, before = time.monotonic() + SETTLED, None
        while (now := self.cpu_seconds()) != before and time.monotonic() < deadline:
            before = now
            time.sleep(5 / TICK)

    def proportional_set_size(self):
        """KiB of all its processes, with shared pages shared out."""
        total = 0
        for pid in self.processes():
            try:
                with open(f"/proc/{pid}/smaps_rollup") as rollup:
                    total += int(re.search(r"^Pss:\s+(\d+)", rollup.read(), re.M).group(1))
            except (OSError, AttributeError):
                continue
        return total

    def resident_set_size(self):
        """KiB of all its processes; shared pages count for each of them."""
        return sum(self.memory_of("VmRSS"))

    def forget_peak(self):
        for pid in self.processes():
            try:
                with open(f"/proc/{pid}/clear_refs", "w") as file:
                    file.write("5")
            except OSError:
                continue

    def peak(self):
        """The most that `resident_set_size` can have been since the peak was forgotten."""
        return sum(self.memory_of("VmHWM"))

    def memory_of(self, field):
        for pid in self.processes():
            try:
                with open(f"/proc/{pid}/status") as status:
                    yield int(re.search(rf"^{field}:\s+(\d+)", status.read(), re.M).group(1))
            except (OSError, AttributeError):
                continue

    def context_switches(self):
        """Of all its threads that are there, be they willing or not."""
        total = 0
        for pid in self.processes():
            for path in glob.glob(f"/proc/{pid}/task/*/status"):
                try:
                    with open(path) as status:
                        total += sum(map(int, re.findall(r"voluntary_ctxt_switches:\s+(\d+)", status.read())))
                except OSError:
                    continue
        return total


@contextlib.contextmanager
def ourselves_on(processors):
    """The load where it is this process."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def wait_for(servers):
    """Started together, they get ready together; those that do not are told and left out."""
    ready = []
    for server in servers:
        try:
            server.wait_until_it_answers()
            ready.append(server)
        except Failed as error:
            print(error, file=sys.stderr, flush=True)
    return ready
