"""Whether memory grows with the requests that were answered: some hundred thousand of all kinds, and a line through what it was.

What is weighed is what the worker has allocated and not freed. Its resident memory says less: each thread has an arena of its own,
which grows when chance has that thread serve the most at a time that there ever was, MiB at once and hundreds of thousands of
requests after the start. It may do that, but within a bound.
"""
import contextlib
import math
import os
import tempfile
import time

import load
import needs
import probe
import table
import wire
from load import Request
from result import Result, Target
from server import Server, free_port

ROUNDS, SECONDS = 28, 1

# Rounds until everything has been used once: tables that are bounded are full, Python has its caches.
WARM = 12
# Bytes for each request: 2.5 MB after ten million. That much has to be excluded: what is known less exactly is not met either.
LIMIT = 0.25
# At a time: enough for all threads, and few enough that each kind is answered on a busy machine within its turn.
CONNECTIONS = 8
# What an application loses on purpose, at least, to see that it is noticed.
LOST = 0.5
# MiB that all processes may gain from then on: five arenas, each of which catches up with the largest.
ARENAS = 16

# Python's objects in malloc's heap, so that there is one number for all; and no chunk that a thread keeps for itself when it is free
# (up to 200 KiB, which come bit by bit): mallinfo(3) would take it for used.
EXACT = {"PYTHONMALLOC": "malloc", "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}

# With these, every thread has its turn from the first round on, and what it keeps for its life.
WAITING = Request("requests that wait", "/sleep?5", b"slept\n")
FILES = {"10 KiB": 10 << 10, "1 MiB": 1 << 20}


def run(rounds, seconds):
    needs.check("wrk")
    rounds = max(rounds, ROUNDS)
    with tempfile.TemporaryDirectory() as directory:
        rows = [WAITING, wire.KEEP_ALIVE, *wire.ROWS, *files(directory)]
        with weighed(directory) as server:
            points = list(weights(server, rows, rounds, seconds))
        with weighed(directory, LOSES="") as server:
            losing = list(weights(server, [WAITING, wire.KEEP_ALIVE], rounds, seconds))
    return [table.print_result(result) for result in (
        gained(points), resident(points), noticed(losing))]


def gained(points):
    slope, error = fitted([(requests, heap) for requests, heap, _ in points[WARM:]])
    print(f"\nheap from {points[WARM][1] >> 10} to {points[-1][1] >> 10} KiB: {slope:.3f} bytes for each request, give or take {2 * error:.3f}")
    return Result(f"heap gained by each of {points[-1][0]} requests of all kinds, at most", "bytes",
                  {"rwsgi": [max(0, slope + 2 * error)], "limit": [LIMIT]}, [Target(1, "limit")], bounds=["limit"], less_is_better=True)


def resident(points):
    grown = (points[-1][2] - points[WARM][2]) / 1024
    return Result("resident memory gained meanwhile", "MiB", {"rwsgi": [max(0, grown)], "arenas": [ARENAS]}, [Target(1, "arenas")],
                  bounds=["arenas"], less_is_better=True)


def noticed(points):
    """That this would fail if there were something to find."""
    slope, error = fitted([(requests, heap) for requests, heap, _ in points[WARM:]])
    return Result(f"heap gained where the application loses {LOST} bytes a request or more, at least", "bytes",
                  {"rwsgi": [slope - 2 * error], "limit": [LIMIT]}, [Target(1, "limit")], bounds=["limit"])


@contextlib.contextmanager
def weighed(directory, **env):
    """With a log."""
    port = free_port()
    command = [needs.RWSGI, "--module", "weighed:application", "--virtualenv", needs.VENV, "--http", f"127.0.0.1:{port}",
               "--threads", "4", "--logto", f"{directory}/requests.log", "--static-map", f"/static={directory}/files"]
    with Server("rwsgi", command, port, env={**EXACT, **env}) as server:
        server.wait_until_it_answers()
        yield server


def files(directory):
    os.makedirs(f"{directory}/files", exist_ok=True)
    for name, size in FILES.items():
        content = os.urandom(size)
        with open(f"{directory}/files/{size}", "wb") as file:
            file.write(content)
        yield Request(f"file of {name}", f"/static/{size}", content)


def weights(server, rows, rounds, seconds):
    """Requests so far, bytes of the worker's heap and KiB of all processes, after each round."""
    done = 0
    _, idle = heap(server)
    for _ in range(rounds):
        for row in rows:
            done += load.wrk(server, row, seconds, -1, CONNECTIONS)["requests"]
        yield done, settled(server, idle), server.resident_set_size()


def settled(server, idle):
    """The heap when no connection of the load is there any more: `idle` is how many descriptors there are then."""
    deadline = time.monotonic() + 10
    while True:
        size, descriptors = heap(server)
        if descriptors <= idle:
            return size
        if time.monotonic() > deadline:
            server.fail(f"has {descriptors} descriptors ten seconds after the load, and had {idle} before")
        time.sleep(0.05)


def heap(server):
    return map(int, probe.ask(server.port, "/heap").body.split())


def fitted(points):
    """The slope of the line with the least squares, and its standard error."""
    count = len(points)
    x_mean, y_mean = (sum(values) / count for values in zip(*points))
    spread = sum((x - x_mean) ** 2 for x, _ in points)
    slope = sum((x - x_mean) * (y - y_mean) for x, y in points) / spread
    rest = sum((y - y_mean - slope * (x - x_mean)) ** 2 for x, y in points)
    return slope, math.sqrt(rest / (count - 2) / spread)
