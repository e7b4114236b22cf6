"""How long quick requests take alone, and beside slow clients of each kind."""
import collections
import contextlib
import math
import operator
import os
import resource
import socket
import statistics
import subprocess
import sys
import time

import needs
import peers
import table
from result import Result, Target
from server import ourselves_on

ROUNDS, SECONDS = 3, 2

CLIENTS = 500
KINDS = ["alone", "head", "body", "response"]
TITLES = {
    "alone": "alone", "head": "head byte by byte", "body": "body byte by byte", "response": "response read slowly"}
# Without its limit, which would cut off slow clients after five seconds, rwsgi has them all the time.
SERVERS = {"rwsgi": lambda: peers.rwsgi("--minimum-rate", "0"), "granian": peers.granian, "gunicorn 1x4": peers.gunicorn}

QUICK = b"GET / HTTP/1.1\r\nHost: quick\r\nConnection: close\r\n\r\n"
BODY = b"Hello world\n"
# Between two quick requests.
PAUSE = 0.001
# What is not answered by then is not answered.
LIMIT = 1.0
# From the last slow client's beginning to the first quick request.
SETTLE = 0.5

Figure = collections.namedtuple("Figure", "median last unanswered kept")


def run(rounds, seconds):
    needs.check()
    # Servers and clients get it from us; a server may have two for each slow client.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with ourselves_on({1}):
        figures = table.interleave(rounds, KINDS, list(SERVERS), lambda kind, name: measure(kind, SERVERS[name](), seconds))
    print(f"quick requests, each on a new connection, beside {CLIENTS} slow clients; {rounds} rounds of {seconds} s, interleaved")
    print("milliseconds (lowest and highest round); ratios are medians of those to `alone` in the same round")
    by_server = {name: {kind: figures[kind, name] for kind in KINDS if (kind, name) in figures} for name in SERVERS}
    by_server = {name: kinds for name, kinds in by_server.items() if "alone" in kinds}
    for name, kinds in by_server.items():
        print_latencies(name, kinds)
    return [relative(kind, by_server, rounds) for kind in KINDS if kind != "alone"]


def relative(kind, by_server, rounds):
    """Medians, relative to those of the same server and round without slow clients."""
    figures = {name: [here.median / alone.median for here, alone in zip(kinds[kind], kinds["alone"])]
               for name, kinds in by_server.items() if kind in kinds}
    return Result(f"quick requests beside {CLIENTS} slow clients, {TITLES[kind]}", "x alone", {**figures, "alone": [1] * rounds},
                  [Target(1.1, "alone")], bounds=["alone"], less_is_better=True)


def measure(kind, server, seconds):
    """A new server each time, as what slow clients leave behind is not for the next."""
    with server:
        server.wait_until_it_answers()
        if kind == "alone":
            return figure(quick_requests(server, seconds), CLIENTS)
        with slow_clients(server, kind) as clients:
            time.sleep(SETTLE)
            latencies = quick_requests(server, seconds)
            return figure(latencies, int(clients.communicate()[0]))


@contextlib.contextmanager
def slow_clients(server, kind):
    command = ["setpriv", "--pdeathsig", "TERM", sys.executable, os.path.join(needs.HERE, "clients.py"),
               str(server.port), kind, str(CLIENTS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
                          universal_newlines=True) as clients:
        try:
            if clients.stdout.readline() != "ready\n":
                server.fail("does not take slow clients")
            yield clients
        finally:
            clients.kill()


def quick_requests(server, seconds):
    """The seconds that each took, from connecting to the end of the answer."""
    latencies = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        latencies.append(quick_request(server))
        time.sleep(PAUSE)
    return latencies


def quick_request(server):
    start = time.perf_counter()
    answer = b""
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT) as connection:
            connection.sendall(QUICK)
            while True:
                piece = connection.recv(65536)
                if not piece:
                    break
                answer += piece
    except socket.timeout:
        return LIMIT
    except OSError as error:
        server.fail(f"failed a quick request: {error}")
    if not answer.startswith(b"HTTP/1.1 200 ") or not answer.endswith(b"\r\n\r\n" + BODY):
        server.fail(f"answered a quick request with {answer!r}")
    return min(time.perf_counter() - start, LIMIT)


def figure(latencies, kept):
    ordered = sorted(latencies)
    last = ordered[math.ceil(0.99 * len(ordered)) - 1]
    return Figure(statistics.median(ordered), last, ordered.count(LIMIT) / len(ordered), kept)


def print_latencies(name, figures):
    print(f"\n{name:22}{'median':>24}{'ratio':>8}{'99 %':>26}{'ratio':>8}{'unanswered':>12}{'slow kept':>11}")
    for kind, values in figures.items():
        unanswered = statistics.median(value.unanswered for value in values)
        kept = min(value.kept for value in values)
        print(f"{TITLES[kind]:22}{column(values, figures, 'median')}  {column(values, figures, 'last')}"
              f"{unanswered:12.0%}{'' if kind == 'alone' else kept:>11}")


def column(values, figures, field):
    here, alone = ([getattr(value, field) for value in side] for side in (values, figures["alone"]))
    spread = f"{milliseconds(statistics.median(here))} ({milliseconds(min(here))} - {milliseconds(max(here))})"
    ratio = "-" if max(here) >= LIMIT else f"{statistics.median(map(operator.truediv, here, alone)):.2f}"
    return f"{spread:>24}{ratio:>8}"


def milliseconds(seconds):
    return f"> {LIMIT * 1000:.0f}" if seconds >= LIMIT else f"{seconds * 1000:.2f}"
