"""What a keep-alive request costs, counted and not timed: instructions, allocations and system calls.

Two runs of the same server, which differ by some hundred requests of one kind; what they differ in is theirs. So the start does
not count, and neither does whatever else the machine does.
"""
import collections
import concurrent.futures
import glob
import os
import re
import socket
import sys
import tempfile

import needs
import peers
import probe
import wire
from server import Server, free_port

ROUNDS, SECONDS = 1, 1

FEW, MANY = 50, 350

# Limits for instructions of rwsgi itself, without Python and libc, and for allocations by it, with room for another
# compiler; and the system calls from one response to the next on a connection that is alone.
CALLS = ("epoll_wait", "recvfrom", "sendto")
Limit = collections.namedtuple("Limit", "instructions allocations")
Row = collections.namedtuple("Row", "request options limit")
ROWS = [
    Row(wire.KEEP_ALIVE, (), Limit(18_000, 12)),
    Row(wire.BROWSING, (), Limit(35_000, 19)),
    Row(wire.POST, (), Limit(22_500, 12)),
    Row(wire.KEEP_ALIVE, ("--logto", "{directory}/requests.log"), Limit(20_500, 12)),
]

Cost = collections.namedtuple("Cost", "all own allocations")


class Counted(Server):
    """Under a program that counts, which makes everything slow."""
    patience = 120, 60

    def __init__(self, directory, options):
        port = free_port()
        options = [option.format(directory=directory) for option in options] or ["--disable-logging"]
        command = [needs.RWSGI, "--http", f"127.0.0.1:{port}", "--wsgi-file", "pages.py", *options]
        super().__init__("rwsgi", command, port, cpu="0,1")
        self.command = [*self.counter(directory), *command]


class Callgrind(Counted):
    def counter(self, directory):
        # Not as arguments: these it reads again at the end, when rwsgi has written its title over them.
        self.env["VALGRIND_OPTS"] = f"--quiet --vgdb=no --trace-children=yes --callgrind-out-file={directory}/count.%p"
        return ["valgrind", "--tool=callgrind"]


class Strace(Counted):
    def counter(self, directory):
        return ["strace", "-ff", "-qq", "--signal=none", "-o", f"{directory}/calls"]


def run(_rounds, _seconds):
    """Ends with an error when a request costs more than it may."""
    needs.check_programs("valgrind", "strace")
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        costs = [threads.submit(cost_of, row) for row in ROWS]
        calls = [threads.submit(calls_of, row) for row in ROWS]
        costs, calls = [one.result() for one in costs], [one.result() for one in calls]
    print(f"{'':42}{'instructions':>13}{'of rwsgi':>10}{'allocations':>13}  system calls")
    excess = []
    for row, cost, made in zip(ROWS, costs, calls):
        name = row.request.name + (", logged to a file" if row.options else "")
        print(f"{name:42}{cost.all:13.0f}{cost.own:10.0f}{cost.allocations:13.1f}  {' '.join(made)}")
        if cost.own > row.limit.instructions:
            excess.append(f"{name}: {cost.own:.0f} instructions of rwsgi; the limit is {row.limit.instructions}")
        if cost.allocations > row.limit.allocations + 0.5:
            excess.append(f"{name}: {cost.allocations:.1f} allocations; the limit is {row.limit.allocations}")
        if made != CALLS:
            excess.append(f"{name}: {' '.join(made)}; it should be {' '.join(CALLS)}")
    if excess:
        sys.exit("\n".join(["", "more than it may be (benches/count.py):", *excess]))


def cost_of(row):
    few, many = (instructions(row, count) for count in (FEW, MANY))
    return Cost(*((after - before) / (MANY - FEW) for before, after in zip(few, many)))


def instructions(row, count):
    with tempfile.TemporaryDirectory() as directory:
        with Callgrind(directory, row.options) as server:
            ask(server, row.request, count)
        return max(map(read_counts, glob.glob(f"{directory}/count.*")))


def read_counts(path):
    """Of one process: instructions, those of the extension, and its allocations."""
    objects, functions = {}, {}
    total = own = allocations = 0
    is_own = is_allocation = is_call = False
    with open(path, errors="replace") as file:
        for line in file:
            key, equals, value = line.rstrip().partition("=")
            if equals and key == "ob":
                is_own = named(objects, value).endswith("_rwsgi.so")
            elif equals and key == "cob":
                named(objects, value)
            elif equals and key == "fn":
                named(functions, value)
            elif equals and key == "cfn":
                is_allocation = named(functions, value) in ("malloc", "calloc", "realloc", "posix_memalign")
            elif equals and key == "calls":
                is_call = True
                if is_own and is_allocation:
                    allocations += int(value.split()[0])
            elif line[0] in "0123456789+-*":
                spent = 0 if is_call else int(line.split()[1])
                total, own, is_call = total + spent, own + (spent if is_own else 0), False
    return total, own, allocations


def named(names, value):
    """callgrind says a name once and its number from then on: `(3) name`, `(3)`."""
    number, name = re.match(r"(\(\d+\))? ?(.*)", value).groups()
    return names.setdefault(number, name) if name else names.get(number, "")


def calls_of(row):
    """What the thread that answers most often does between two responses, most of the times: the watcher takes over from a
    thread that the machine has stopped, and what that costs is not what a request costs."""
    with tempfile.TemporaryDirectory() as directory:
        with Strace(directory, row.options) as server:
            ask(server, row.request, MANY)
        between = max(map(read_calls, glob.glob(f"{directory}/calls.*")), key=len)
    return collections.Counter(between).most_common(1)[0][0]


def read_calls(path):
    between, made = [], []
    with open(path, errors="replace") as file:
        for line in file:
            name = line.partition("(")[0]
            if re.fullmatch(r"\w+", name):
                made.append(name)
            if name == CALLS[-1]:
                between.append(tuple(made))
                made = []
    return between


def ask(server, request, count):
    server.wait_until_it_answers()
    with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
        for _ in range(count):
            body = b"x" * request.body
            answer = probe.ask_on(connection, server.port, request.path, request.method, request.headers, body)
            if (answer.status, answer.body) != (200, request.answer):
                server.fail(f"answers {request.name} with {answer.status} and {len(answer.body)} bytes")
