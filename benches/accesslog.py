"""What the log of requests costs: a file and the journal, beside none."""
import contextlib
import os
import subprocess
import sys
import tempfile

import needs
import peers
import table
import wire
from result import Result, Target
from server import Server, free_port

ROUNDS, SECONDS = 5, 1

OFF = "rwsgi, off"
# In a namespace of its own, /run is empty but for the journal's socket.
UNSHARED = ["unshare", "--map-root-user", "--mount", "sh", "-c",
            'mount -t tmpfs none /run && mkdir -p /run/systemd/journal && mount --bind "$JOURNAL" /run/systemd/journal && exec "$@"',
            "sh"]
# Takes what comes, as much of it as journald's socket would hold.
READER = """\
import socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
    journal.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    journal.bind(sys.argv[1])
    print(flush=True)
    while True:
        journal.recv(65536)
"""


def run(rounds, seconds):
    needs.check("wrk")
    with tempfile.TemporaryDirectory() as directory, journal(directory) as is_there:
        servers = [peers.rwsgi(name=OFF), logging("file", directory, [], "--logto", f"{directory}/requests.log")]
        if is_there:
            servers.append(logging("journal", directory, UNSHARED, "--logging", "journal", "--log-rate", "0"))
        [result] = wire.compare({wire.KEEP_ALIVE: []}, servers, rounds, seconds, own=OFF, title="access log: {}")
    return [table.print_verdicts(Result(f"access log: {name}", result.unit, result.figures, [Target(0.9, OFF)], own=f"rwsgi, {name}"))
            for name in ["file", *(["journal"] if is_there else [])]]


@contextlib.contextmanager
def journal(directory):
    """Whether there is one, on the processor of the load: where namespaces of users are allowed."""
    command = [*UNSHARED, "true"]
    if subprocess.run(command, env=dict(os.environ, JOURNAL=directory), stderr=subprocess.DEVNULL).returncode:
        table.tell("the journal is not measured: no namespaces here")
        yield False
        return
    command = ["taskset", "-c", "1", "setpriv", "--pdeathsig", "TERM", sys.executable, "-c", READER, f"{directory}/socket"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as reader:
        try:
            reader.stdout.readline()
            yield True
        finally:
            reader.kill()


def logging(where, directory, before, *options):
    port = free_port()
    return Server(f"rwsgi, {where}", [
        *before, needs.RWSGI, "--module", peers.PAGES, "--virtualenv", needs.VENV, "--http", f"127.0.0.1:{port}", *options],
        port, env={"JOURNAL": directory})
