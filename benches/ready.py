"""How long it takes from the execution of a server with 4 workers to its first answer, beside the import that is in it."""
import contextlib
import os
import statistics
import subprocess
import tempfile
import time

import memory
import needs
import probe

ROUNDS, SECONDS = 15, 1

IMPORT = "import time; begin = time.monotonic(); import BookStore.wsgi; print(time.monotonic() - begin)"


def run(rounds, _seconds):
    needs.check()
    with tempfile.TemporaryDirectory() as data:
        servers = list(memory.servers(data))
        took = {"import alone": []} | {server.name: [] for server in servers}
        for _ in range(rounds):
            took["import alone"].append(import_alone(servers[0]))
            for server in servers:
                took[server.name].append(first_answer(server))
    print(f"milliseconds from exec to the first answer of Django's BookStore; {rounds} rounds, interleaved")
    imports = took["import alone"]
    for name, values in took.items():
        beyond = statistics.median(value - alone for value, alone in zip(values, imports))
        print(f"{name:20} {statistics.median(values) * 1000:6.0f}  lowest {min(values) * 1000:5.0f}  highest {max(values) * 1000:5.0f}"
              f"  beyond the import {beyond * 1000:5.0f}")


def import_alone(server):
    """By the same interpreter, which says how long the statement took, without its own start."""
    said = subprocess.run([f"{needs.VENV}/bin/python", "-c", IMPORT], cwd=server.cwd, env=server.env, check=True, capture_output=True)
    return float(said.stdout)


def first_answer(server):
    begin = time.monotonic()
    with server:
        while True:
            with contextlib.suppress(OSError, probe.HTTPException):
                if probe.ask(server.port, server.path).status == 200:
                    return time.monotonic() - begin
            if time.monotonic() - begin > server.patience[0] or server.process.poll() is not None:
                server.fail("does not answer")
            time.sleep(0.001)
