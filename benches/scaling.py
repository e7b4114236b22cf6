"""One process on one processor, two on two: what the second brings.

The load has to run somewhere, and there are two processors. It takes what it takes of them, so that the servers have two less
that; with the view of Django that is little. A rate is divided by the processors that the servers could have had.
"""
import collections
import resource
import time

import load
import needs
import peers
import table
import views
from result import Result, Target
from server import wait_for

ROUNDS, SECONDS = 5, 2

Figure = collections.namedtuple("Figure", "rate available")


def run(rounds, seconds):
    needs.check("wrk")
    # The load on both, as two processes need both.
    servers = [sized(1, "0"), sized(2, "0,1")]
    with servers[0], servers[1]:
        ready = wait_for(servers)
        row = views.DJANGO_VIEW
        figures = table.interleave(rounds, [row], ready, lambda row, server: measure(server, row, seconds))
    by_name = table.of_row(figures, row)
    one, two = (table.field(by_name, "rate").get(server.name, []) for server in servers)
    accounted = [figure.rate * 2 / figure.available for figure in by_name.get(servers[1].name, [])]
    result = Result("2 processes on 2 processors, the load accounted for, Django view", "requests/s",
                    {servers[0].name: one, f"{servers[1].name}, as it is": two, servers[1].name: accounted},
                    [Target(1.7, servers[0].name)], own=servers[1].name)
    table.print_result(result)
    return [result]


def sized(processes, processors):
    server = peers.sized(processes, 1, views.DJANGO, f"rwsgi {processes}x1")
    server.path, server.cpu = views.PATH, processors
    return server


def measure(server, request, seconds):
    """`available`: processors, without what the load has had of those of the server."""
    processors = len(server.cpu.split(","))
    before, start = load_seconds(), time.perf_counter()
    rate = load.measure(server, request, seconds, cpu="1" if processors == 1 else "0,1").rate
    shared = (load_seconds() - before) / (time.perf_counter() - start) if processors > 1 else 0
    return Figure(rate, processors - shared)


def load_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
