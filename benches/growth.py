"""What a request costs with more connections, and with more threads: processor time."""
import contextlib
import resource

import load
import needs
import peers
import table
import wire
from load import Request
from result import Result, Target
from server import wait_for

ROUNDS, SECONDS = 3, 1

FEW, CONNECTIONS = 32, [1, 1_000, 10_000]
THREADS = [4, 16, 64]
# What counts as the same.
FLAT = 1.25


def run(rounds, seconds):
    needs.check("wrk")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    results = [*by_connections(rounds, seconds), *by_threads(rounds, seconds)]
    for result in results:
        table.print_result(result)
    return results


def by_connections(rounds, seconds):
    """The kernel has more to look for among ten thousand sockets; how much more, hyper tells, if it is here."""
    servers = [peers.rwsgi("--max-connections", "15000"), *peers.hyper()]
    rows = [Request(f"{count:_} connections".replace("_", " "), "/", wire.HELLO, connections=count) for count in [FEW, *CONNECTIONS]]
    figures = measured(rounds, rows, servers, seconds)
    few, *others = rows
    for row in others:
        here, before = (table.of_row(figures, one) for one in (row, few))
        base = before.get("rwsgi", [])
        # Without a base, what rwsgi has done here is no figure.
        columns = dict(here) if base else {}
        grown = [more / less for more, less in zip(here.get("hyper", []), before.get("hyper", []))] or [1] * len(base)
        columns["as hyper grows"] = [value * factor for value, factor in zip(base, grown)]
        yield Result(f"processor time of a request, {row.name} instead of {FEW}", "us", columns, [Target(FLAT, "as hyper grows")],
                     bounds=["hyper", "as hyper grows"], less_is_better=True)


def by_threads(rounds, seconds):
    servers = [peers.sized(1, threads, name=f"rwsgi 1x{threads}") for threads in [1, *THREADS]]
    by_name = table.of_row(measured(rounds, [wire.KEEP_ALIVE], servers, seconds), wire.KEEP_ALIVE)
    for threads in THREADS:
        yield Result(f"processor time of a request, {threads} threads instead of 1", "us", by_name, [Target(FLAT, "rwsgi 1x1")],
                     own=f"rwsgi 1x{threads}", less_is_better=True)


def measured(rounds, rows, servers, seconds):
    with contextlib.ExitStack() as running:
        ready = wait_for([running.enter_context(server) for server in servers])
        return table.interleave(rounds, rows, ready, lambda row, server: measure(server, row, seconds))


def measure(server, request, seconds):
    """What a longer and a shorter turn differ in: to connect does not count."""
    # To connect ten thousand takes most of a second or two.
    short = seconds * max(1, request.connections // 2500)
    (few, less), (many, more) = (spent(server, request, length) for length in (short, 3 * short))
    if many <= few:
        server.fail(f"has done no more in {3 * short} s than in {short} s")
    return (more - less) / (many - few) * 1e6


def spent(server, request, seconds):
    before = server.cpu_seconds()
    done = load.wrk(server, request, seconds, -1)
    return done["requests"], server.cpu_seconds() - before
