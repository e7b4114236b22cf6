"""What a request costs, counted and not timed: instructions, those that are locked, allocations and system calls.

Two runs of the same server, which differ by some hundred requests of one kind; what they differ in is theirs. So the start does
not count, and neither does whatever else the machine does.
"""
import collections
import concurrent.futures
import os
import sys
import tempfile

import counting
import needs
import wire
from counting import Cost
from load import Request
from server import Failed, Server, free_port

ROUNDS, SECONDS = 1, 1

FEW, MANY = 50, 350

# Limits for instructions of rwsgi itself, without Python and libc, for those that are locked, and for allocations, with room for another
# compiler; and the most system calls from one response to the next, on a connection that is alone, or on one after the other.
CALLS = ("epoll_wait", "recvfrom", "sendto")
CALLS_OF_NEW = ("recvfrom", "close", "epoll_wait", "accept4", "recvfrom", "sendto")
# Who connects to a UNIX socket is let in before it has sent anything, if the server is idle.
CALLS_BY_UWSGI = (*CALLS_OF_NEW, "epoll_ctl", "epoll_wait", "epoll_wait", "recvfrom", "epoll_ctl")
CALLS_OF_FILE = ("epoll_wait", "recvfrom", "openat2", "statx", "pread64", "sendto", "close")
Limit = collections.namedtuple("Limit", "instructions locked allocations")
Row = collections.namedtuple("Row", "request options limit calls")
FILE = Request("file of 10 KiB", "/file.bin", bytes(10 << 10))
SOCKET = "{directory}/socket"
BY_UWSGI = ("--disable-logging", "--socket", SOCKET)
ROWS = [
    Row(wire.KEEP_ALIVE, (), Limit(8_300, 86, 6), CALLS),
    Row(wire.BROWSING, (), Limit(15_600, 86, 6), CALLS),
    Row(wire.POST, (), Limit(11_400, 97, 9), CALLS),
    Row(wire.CLOSE, (), Limit(10_900, 86, 13), CALLS_OF_NEW),
    Row(wire.KEEP_ALIVE, ("--logto", "{directory}/requests.log"), Limit(9_900, 87, 6), CALLS),
    # valgrind does not know openat2, so what is counted has a second attempt in it.
    Row(FILE, ("--disable-logging", "--check-static", "{directory}"), Limit(15_300, 61, 18), CALLS_OF_FILE),
    Row(wire.HELLO_WORLD, BY_UWSGI, Limit(11_800, 103, 10), CALLS_BY_UWSGI),
    Row(wire.POST, BY_UWSGI, Limit(13_000, 115, 12), CALLS_BY_UWSGI),
]


def run(_rounds, _seconds):
    """Ends with an error when a request costs more than it may."""
    needs.check_programs("valgrind", "strace", "objdump")
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        costs = [threads.submit(cost_of, row) for row in ROWS]
        calls = [threads.submit(calls_of, row) for row in ROWS]
        costs, calls = [one.result() for one in costs], [one.result() for one in calls]
    print(f"{'':42}{'instructions':>13}{'of rwsgi':>10}{'locked':>8}{'allocations':>13}  system calls")
    excess = []
    for row, cost, made in zip(ROWS, costs, calls):
        name = name_of(row)
        print(f"{name:42}{cost.all:13.0f}{cost.own:10.0f}{cost.locked:8.1f}{cost.allocations:13.1f}  {' '.join(made)}")
        if cost.own > row.limit.instructions:
            excess.append(f"{name}: {cost.own:.0f} instructions of rwsgi; the limit is {row.limit.instructions}")
        if cost.locked > row.limit.locked + 0.5:
            excess.append(f"{name}: {cost.locked:.1f} locked instructions of rwsgi; the limit is {row.limit.locked}")
        if cost.allocations > row.limit.allocations + 0.5:
            excess.append(f"{name}: {cost.allocations:.1f} allocations; the limit is {row.limit.allocations}")
        # Who finds the next connection there already has not waited for it.
        if collections.Counter(made) - collections.Counter(row.calls):
            excess.append(f"{name}: {' '.join(made)}; it may be {' '.join(row.calls)}")
    if excess:
        sys.exit("\n".join(["", "more than it may be (benches/count.py):", *excess]))


def name_of(row):
    if row.options == BY_UWSGI:
        return f"{row.request.name}, by the uwsgi protocol"
    return row.request.name + (", logged to a file" if "--logto" in row.options else "")


def cost_of(row):
    """Of the process with the most instructions, which is the worker, unless that was killed before it had written its count."""
    for _ in range(counting.ATTEMPTS):
        few, many = (instructions(row, count) for count in (FEW, MANY))
        cost = Cost(*((after - before) / (MANY - FEW) for before, after in zip(few, many)))
        if few.own and cost.own > counting.LEAST:
            return cost
    raise Failed(f"{row.request.name}: the worker has not been counted")


def instructions(row, count):
    with tempfile.TemporaryDirectory() as directory:
        with counting.under_callgrind(server(directory, row.options), directory) as running:
            ask(running, row, count, directory)
        return max(counting.read_counts(directory), default=Cost(0, 0, 0, 0, 0))


def calls_of(row):
    """What the thread that answers most often does between two responses, most of the times: the watcher takes over from a
    thread that the machine has stopped, and what that costs is not what a request costs."""
    with tempfile.TemporaryDirectory() as directory:
        with counting.under_strace(server(directory, row.options), directory) as running:
            ask(running, row, MANY, directory)
        between = max(map(between_responses, counting.read_calls(directory)), key=len)
    return collections.Counter(between).most_common(1)[0][0]


def ask(running, row, count, directory):
    if row.options == BY_UWSGI:
        return counting.ask_by_uwsgi(running, row.request, count, SOCKET.format(directory=directory))
    return counting.ask(running, row.request, count)


def between_responses(calls):
    between, made = [], []
    # The clock of a thread is asked only where requests take half a millisecond, as under strace on a busy machine.
    for name in filter("clock_gettime".__ne__, calls):
        made.append(name)
        if name == CALLS[-1]:
            between.append(tuple(made))
            made = []
    return between


def server(directory, options):
    """Not `peers.rwsgi`: the peers' environment is not needed here."""
    port = free_port()
    with open(os.path.join(directory, "file.bin"), "wb") as file:
        file.write(FILE.answer)
    options = [option.format(directory=directory) for option in options] or ["--disable-logging"]
    return Server("rwsgi", [needs.RWSGI, "--http", f"127.0.0.1:{port}", "--wsgi-file", "pages.py", *options], port)
