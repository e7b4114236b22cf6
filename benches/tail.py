"""How long short requests take beside long ones, when neither waits for the other to be sent."""
import collections
import json
import math
import os
import statistics
import subprocess
import sys

import needs
import peers
import table
from result import BEST_PEER, Result, Target

ROUNDS, SECONDS = 3, 8

PROCESSES, THREADS = 4, 2
# So many threads are busy on average, of eight: there is one for a short request nearly always.
BUSY = 2.4
# The part of all requests that may get no answer. They are in no percentile, so whoever loses more would look the better for it.
LOST = 0.01

# Kind of connection, share of long requests, their milliseconds.
Row = collections.namedtuple("Row", "title kind share milliseconds")
ROWS = [
    Row("1 ms beside 1 s, new connections", "new", 0.02, 1000),
    Row("1 ms beside 1 s, keep-alive", "kept", 0.02, 1000),
    Row("1 ms beside 100 ms, new connections", "new", 0.1, 100),
    Row("1 ms beside 100 ms, keep-alive", "kept", 0.1, 100),
]
SERVERS = {
    "rwsgi": lambda: peers.sized(PROCESSES, THREADS),
    "granian": lambda: peers.granian(PROCESSES, THREADS),
    "gunicorn": lambda: peers.gunicorn(PROCESSES, THREADS),
    "uWSGI": lambda: peers.uwsgi(PROCESSES, THREADS),
}

Figure = collections.namedtuple("Figure", "median p99 p999 worst failed refused due rate")


def run(rounds, seconds, rows=tuple(ROWS)):
    needs.check()
    servers = [name for name in SERVERS if name != "uWSGI" or needs.uwsgi_is_there()]
    figures = table.interleave(rounds, rows, servers, lambda row, name: measure(row, SERVERS[name](), seconds))
    print(f"{PROCESSES} processes x {THREADS} threads, {BUSY} of them busy on average; {rounds} rounds of {seconds} s, interleaved")
    print("milliseconds of the short requests from when they were due: medians over the rounds, and the worst of all")
    return [of_row(row, table.of_row(figures, row, name=str)) for row in rows]


def of_row(row, figures):
    print(f"\n{row.title} ({rate(row):.0f} requests a second)")
    print(f"{'':14}{'50 %':>10}{'99 %':>10}{'99.9 %':>10}{'worst':>10}{'failed':>8}{'refused':>9}")
    for name, values in figures.items():
        middle = [statistics.median(getattr(value, field) for value in values) for field in ("median", "p99", "p999")]
        worst = max(value.worst for value in values)
        failed, refused = (sum(getattr(value, field) for value in values) for field in ("failed", "refused"))
        print(f"{name:14}{middle[0]:10.2f}{middle[1]:10.2f}{middle[2]:10.2f}{worst:10.1f}{failed:8}{refused:9}")
    result = Result(f"p99 of {row.title}", "ms", table.field(figures, "p99"), [Target(1, BEST_PEER)], less_is_better=True)
    table.print_result(result)
    return result


def rate(row):
    return BUSY / (row.share * row.milliseconds + (1 - row.share)) * 1000


def measure(row, server, seconds):
    with server:
        server.wait_until_it_answers()
        return arrive(server, row.kind, rate(row), seconds, "/sleep?1", f"/sleep?{row.milliseconds}", row.share)


def print_lost(figures):
    for name, values in figures.items():
        failed, refused, due = (sum(getattr(value, field) for value in values) for field in ("failed", "refused", "due"))
        print(f"{name}: of {due} requests, {failed} failed and {refused} were refused")


def arrive(server, kind, rate, seconds, short, long="/", share=0, may_refuse=False):
    """Requests of arrivals.py, and the milliseconds of the short ones."""
    command = ["taskset", "-c", "1", "setpriv", "--pdeathsig", "TERM", sys.executable,
               os.path.join(needs.HERE, "arrivals.py"), str(server.port), kind, str(rate), str(seconds), str(share), long, short]
    run = subprocess.run(command, stdout=subprocess.PIPE, universal_newlines=True)
    if run.returncode:
        server.fail(f"does not take requests for {short} when they come")
    done = json.loads(run.stdout)
    if done["failed"] + (0 if may_refuse else done["refused"]) > LOST * done["due"]:
        server.fail(f"failed {done['failed']} and refused {done['refused']} of {done['due']} requests for {short}")
    ordered = sorted(done["short"])
    if not ordered:
        server.fail(f"has answered no {short}")
    at = lambda part: ordered[math.ceil(part * len(ordered)) - 1]
    return Figure(at(0.5), at(0.99), at(0.999), ordered[-1], done["failed"], done["refused"], done["due"],
                  len(ordered) / done["seconds"])
