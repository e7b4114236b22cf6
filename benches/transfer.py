"""100 MB up and down: how fast, and how much memory the server takes for it."""
import collections
import contextlib
import os
import socket
import tempfile
import time

import needs
import peers
import probe
import table
from result import BEST_PEER, Result, Target
from server import ourselves_on, wait_for

ROUNDS, SECONDS = 5, 1

SIZE = 100_000_000
# In one piece of this size from us, and to us.
PIECE = 1 << 18
# What a server may gain meanwhile and be called flat, in MiB; and what it gains by chance.
FLAT, CHANCE = 8, 1

UPLOADED = "100 MB uploaded"
# What rwsgi does where nothing is said, and no peer does.
STORED = f"{UPLOADED}, stored before the application is called"
DOWNLOADED = "100 MB downloaded"
ROWS = {UPLOADED: "/upload", DOWNLOADED: "/download", "100 MB by file_wrapper": "/file"}
Figure = collections.namedtuple("Figure", "rate microseconds memory")


def run(rounds, seconds):
    """A turn is as many transfers as begin in it: one takes 30 to 150 ms, less than a shared machine may be slow for."""
    needs.check()
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as running:
        # Servers may read it as another user.
        os.chmod(directory, 0o755)
        path = os.path.join(directory, "large.bin")
        with open(path, "wb") as file:
            for _ in range(SIZE // 1_000_000):
                file.write(os.urandom(1_000_000))
        direct = peers.rwsgi("--post-buffering", "0", name="rwsgi as it comes")
        servers = [direct, peers.rwsgi(), *peers.beside(), *peers.constant()]
        for server in servers:
            server.env["BENCH_FILE"] = path
        ready = wait_for([running.enter_context(server) for server in servers])
        running.enter_context(ourselves_on({1}))
        figures = table.interleave(rounds, list(ROWS), ready, lambda row, server: measure(server, ROWS[row], seconds),
                                   left_out={(row, server) for row in ROWS for server in ready if not has(server.name, row)})
    return [result for row in ROWS for result in of_row(row, table.of_row(figures, row), rounds)]


def has(name, row):
    """Uploads are received in two ways by rwsgi; how fast one can be sent is up to how seldom its receiver wakes, so that no
    server says what can be had."""
    return {"rwsgi as it comes": row == UPLOADED, "constant": row == DOWNLOADED}.get(name, True)


def of_row(row, figures, rounds):
    if row != UPLOADED:
        return results(row, figures, rounds, [Target(1, BEST_PEER)])
    ways = [figures.pop(name, []) for name in ("rwsgi as it comes", "rwsgi")]
    direct, stored = ({"rwsgi": way, **figures} for way in ways)
    return [*results(UPLOADED, direct, rounds, [Target(1, BEST_PEER)]), *results(STORED, stored, rounds, [])]


def results(row, figures, rounds, targets):
    rate = Result(row, "MB/s", table.field(figures, "rate"), targets, bounds=["constant"],
                  processor=table.field(figures, "microseconds"))
    memory = Result(f"memory gained while {row}", "MiB", {**table.field(figures, "memory"), "flat": [FLAT] * rounds},
                    [Target(1, "flat")], bounds=["flat", "constant"], less_is_better=True)
    for result in (rate, memory):
        table.print_result(result)
    return rate, memory


def measure(server, path, seconds):
    server.forget_peak()
    before, spent, start = server.resident_set_size(), server.cpu_seconds(), time.perf_counter()
    transfers = took = 0
    try:
        while took < seconds:
            transfer(server, path)
            transfers += 1
            took = time.perf_counter() - start
    except (OSError, probe.HTTPException) as error:
        server.fail(f"failed {path}: {error!r}")
    microseconds = (server.cpu_seconds() - spent) * 1e6 / transfers
    return Figure(transfers * SIZE / 1e6 / took, microseconds, max(CHANCE, (server.peak() - before) / 1024))


def transfer(server, path):
    with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
        method, length = ("POST", f"Content-Length: {SIZE}\r\n") if path == "/upload" else ("GET", "")
        connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: transfer\r\nConnection: close\r\n{length}\r\n".encode())
        if length:
            piece = b"x" * PIECE
            for sent in range(0, SIZE, PIECE):
                connection.sendall(piece[:SIZE - sent])
        with probe.response_on(connection) as response:
            buffer, received = bytearray(PIECE), 0
            while response.status == 200:
                count = response.readinto(buffer)
                if not count:
                    break
                received += count
    wanted = len(f"{SIZE}\n") if length else SIZE
    if (response.status, received) != (200, wanted):
        server.fail(f"answers {path} with {response.status} and {received} bytes")
