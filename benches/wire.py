"""What goes over the wire, one property of it in each row."""
import contextlib
import sys

import load
import needs
import peers
import table
from load import Request
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

ROWS = [
    CLOSE,
    KEEP_ALIVE,
    BROWSING,
    POST,
    Request("response of 64 KiB", "/64k", b"x" * (64 << 10)),
    Request("response of 1 MiB", "/1m", b"x" * (1 << 20)),
    Request("1 MiB streamed in pieces of 16 KiB", "/stream", b"x" * (1 << 20)),
]


def run(rounds, seconds):
    needs.check("wrk")
    servers = [peers.rwsgi(), peers.granian(), peers.gunicorn(), peers.fastwsgi()]
    if needs.uwsgi_is_there():
        servers.append(peers.uwsgi())
    else:
        print("uWSGI is not measured: apt install uwsgi-core uwsgi-plugin-python3", file=sys.stderr)
    compare(ROWS, servers, rounds, seconds)


def compare(rows, servers, rounds, seconds):
    """Starts the servers, holds each to each row, and prints a table for each row."""
    with contextlib.ExitStack() as running:
        wait_for([running.enter_context(server) for server in servers])
        compare_running(rows, servers, rounds, seconds)


def compare_running(rows, servers, rounds, seconds):
    for row in rows:
        load.verify(servers, row)
    figures = table.interleave(rounds, rows, servers, lambda row, server: load.measure(server, row, seconds))
    print(f"{load.CONNECTIONS} connections; {rounds} rounds of {seconds} s, interleaved; ratios are medians of those of a round")
    for row in rows:
        table.print_rates(row.name, {server.name: figures[row, server] for server in servers})
