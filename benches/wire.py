"""What goes over the wire, one property of it in each row."""
import contextlib

import bound
import load
import needs
import peers
import table
from load import Request
from result import BEST_PEER, Result, Target
from server import wait_for

ROUNDS, SECONDS = 3, 1

HELLO = b"Hello world\n"

# What a browser sends with a navigation.
BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-GB,en;q=0.7,de;q=0.3",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Referer": "http://127.0.0.1/books/?page=2",
    "Cookie": "csrftoken=Zk3vQ0sYt7mX1cR8uW5aL2dN9bH4jE6f; sessionid=p8x2m4k6q1w3e5r7t9y0u2i4o6a8s1d3",
    "Upgrade-Insecure-Requests": "1",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "same-origin",
    "Sec-Fetch-User": "?1",
    "Priority": "u=0, i",
}

CLOSE = Request("accept and close", "/", HELLO, headers={"Connection": "close"})
KEEP_ALIVE = Request("keep-alive", "/", HELLO)
HELLO_WORLD = Request("hello world", "/", HELLO)
BROWSING = Request("keep-alive, 12 browser headers", "/", HELLO, headers=BROWSER)
POST = Request("POST of 10 KiB", "/length", b"10240\n", method="POST", body=10 << 10)
ECHO = Request("POST of 10 KiB, echoed", "/echo", b"x" * (10 << 10), method="POST", body=10 << 10)

# Each with what rwsgi has to reach, relative to the best peer.
ROWS = {
    CLOSE: 1.10,
    BROWSING: 1.15,
    ECHO: 1.10,
    Request("response of 64 KiB", "/64k", b"x" * (64 << 10)): 1.10,
    Request("response of 1 MiB", "/1m", b"x" * (1 << 20)): 1.10,
    Request("1 MiB streamed in pieces of 16 KiB", "/stream", b"x" * (1 << 20)): 1.10,
    Request("128 KiB streamed in lines of 64 bytes", "/lines", (b"x" * 63 + b"\n") * (1 << 11)): 1.10,
}


def run(rounds, seconds):
    needs.check("wrk")
    targets = {row: [Target(factor, BEST_PEER)] for row, factor in ROWS.items()}
    return compare(targets, [peers.rwsgi(), *peers.beside(), *peers.constant()], rounds, seconds)


def compare(rows, servers, rounds, seconds, bounds=(), **more):
    """Starts the servers, holds each to each row, and prints a table for each: `rows` are requests with their targets."""
    with contextlib.ExitStack() as running:
        ready = wait_for([running.enter_context(server) for server in servers])
        return compare_running(rows, ready, rounds, seconds, bounds, **more)


def compare_running(rows, servers, rounds, seconds, bounds=(), **more):
    left_out = {pair for row in rows for pair in load.verify(servers, row)}
    figures = table.interleave(rounds, list(rows), [*servers, *bounds],
                               lambda row, server: bound.measure(server, row, seconds), left_out)
    names = [one.name for one in [*servers, *bounds] if one.is_bound]
    return [rates(row, table.of_row(figures, row), targets, bounds=names, **more) for row, targets in rows.items()]


def rates(row, figures, targets, title="{}", **more):
    """`figures` are load's, by name of the server."""
    result = Result(title.format(row.name), "requests/s", table.field(figures, "rate"), targets,
                    processor=table.field(figures, "microseconds"), **more)
    table.print_result(result)
    return result
