"""The 99th percentile at 70 % of what each server can do at most, with the view of Django."""
import contextlib

import load
import needs
import peers
import table
import tail
import views
from result import BEST_PEER, Result, Target
from server import wait_for

ROUNDS, SECONDS = 5, 3

SHARE = 0.7


def run(rounds, seconds):
    needs.check("wrk")
    servers = [peers.rwsgi(application=views.DJANGO), *peers.beside(application=views.DJANGO)]
    for server in servers:
        server.path = views.PATH
    with contextlib.ExitStack() as running:
        ready = wait_for([running.enter_context(server) for server in servers])
        row = views.DJANGO_VIEW
        left_out = load.verify(ready, row)
        figures = table.interleave(rounds, [row], ready, lambda row, server: measure(server, row, seconds), left_out)
    of_row = table.of_row(figures, row)
    result = Result(f"p99 at {SHARE:.0%} of saturation, Django view", "ms", table.field(of_row, "p99"), [Target(1, BEST_PEER)],
                    less_is_better=True)
    table.print_result(result)
    return [result]


def measure(server, request, seconds):
    """What a server can do at most is found out in each round anew, as the machine is not the same in all of them."""
    most = load.measure(server, request, 1).rate
    return tail.arrive(server, "kept", SHARE * most, seconds, request.path)
