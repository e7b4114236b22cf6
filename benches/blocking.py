"""Requests that wait 10 ms each, with threads: the most that there can be is known."""
import bound
import needs
import peers
import wire
from load import Request
from result import Target

ROUNDS, SECONDS = 5, 2

THREADS, MILLISECONDS = 8, 10
MOST = THREADS * 1000 / MILLISECONDS
ROW = Request(f"{MILLISECONDS} ms blocking, {THREADS} threads, 64 connections", f"/sleep?{MILLISECONDS}", b"slept\n", connections=64)


def run(rounds, seconds):
    needs.check("wrk")
    servers = [peers.sized(1, THREADS), *peers.beside(1, THREADS)]
    return wire.compare({ROW: [Target(0.99, "at most")]}, servers, rounds, seconds,
                        [bound.constant("at most", MOST)])
