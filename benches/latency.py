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
# By how much what a server can do at most may change meanwhile, and how often it is tried until it has not.
DRIFT, TRIES = 0.1, 3


def run(rounds, seconds):
    needs.check("wrk")
    servers = [peers.rwsgi(application=views.DJANGO), *peers.beside(application=views.DJANGO)]
    for server in servers:
        server.path = views.PATH
    row, rates = views.DJANGO_VIEW, {}
    with contextlib.ExitStack() as running:
        ready = wait_for([running.enter_context(server) for server in [*servers, *peers.constant()]])
        left_out = load.verify([server for server in ready if not server.is_bound], row)
        figures = table.interleave(rounds, [row], ready, lambda row, server: measure(server, row, seconds, rates), left_out)
    of_row = table.of_row(figures, row)
    tail.print_lost(of_row)
    result = Result(f"p99 at {SHARE:.0%} of saturation, Django view", "ms", table.field(of_row, "p99"), [Target(1, BEST_PEER)],
                    bounds=["constant"], less_is_better=True)
    table.print_result(result)
    return [result]


def measure(server, request, seconds, rates):
    """What a server can do at most is found out before and after, as the machine is not the same from one second to the next: with
    a fifth less of it, it is beyond saturation that is measured. The turn counts in which it changed least.

    What answers with nothing done is asked at rwsgi's rate: what it has is the load's own."""
    if server.is_bound:
        return tail.arrive(server, "kept", rates["rwsgi"], seconds, "/")
    most, turns = load.measure(server, request, 1).rate, []
    while len(turns) < TRIES and (not turns or turns[-1][0] > DRIFT):
        figure = tail.arrive(server, "kept", SHARE * most, seconds, request.path)
        before, most = most, load.measure(server, request, 1).rate
        turns.append((abs(most / before - 1), figure))
        rates[server.name] = SHARE * before
    return min(turns)[1]
