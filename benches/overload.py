"""Three times as many requests as the server can answer: how many are answered all the same, and how long these took."""
import resource

import load
import needs
import peers
import table
import tail
from load import Request
from result import Result, Target

ROUNDS, SECONDS = 5, 3

TIMES, QUEUE = 3, 50
# Of the processor, for each request.
ROW = Request("1 ms of work", "/burn?1", b"burnt\n")
# A request waits for those before it in the queue, at the rate of the peak, and all of them for what refusing the others costs.
SLACK = 2


def run(rounds, seconds):
    needs.check("wrk")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server = peers.rwsgi("--max-queue", str(QUEUE))
    with server:
        server.wait_until_it_answers()
        turns = table.interleave(rounds, [ROW], [server], lambda row, server: measure(server, row, seconds)).get((ROW, server), [])
    peaks, overloads = [peak.rate for peak, _ in turns], [overload for _, overload in turns]
    bounds = [(QUEUE + 1) / peak * 1000 * SLACK for peak in peaks]
    results = [
        Result(f"answered at {TIMES} x the load that can be", "requests/s",
               {"rwsgi": [overload.rate for overload in overloads], "peak": peaks}, [Target(0.9, "peak")], bounds=["peak"]),
        Result(f"p99 of those, with max-queue = {QUEUE}", "ms",
               {"rwsgi": [overload.p99 for overload in overloads], "bound": bounds}, [Target(1, "bound")],
               bounds=["bound"], less_is_better=True)]
    if overloads:
        tail.print_lost({"rwsgi": overloads})
    for result in results:
        table.print_result(result)
    return results


def measure(server, request, seconds):
    peak = load.measure(server, request, 1)
    return peak, tail.arrive(server, "pooled", TIMES * peak.rate, seconds, request.path, may_refuse=True)
