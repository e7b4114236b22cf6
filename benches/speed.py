"""Requests per second of hello world, without threads and with those that make it slower elsewhere."""
import needs
import peers
import wire
from load import Request
from result import BEST_PEER, Target

ROUNDS, SECONDS = 5, 1

# Where wrk is what limits the rate, another program may say something else.
BY_H2LOAD = Request("hello world, asked by h2load", "/", wire.HELLO, by="h2load")


def run(rounds, seconds):
    needs.check("wrk", "h2load")
    alone = [peers.sized(1, 1, name="rwsgi 1x1"), *peers.beside(), *peers.hyper(), *peers.constant()]
    threaded = [peers.sized(1, 4, name="rwsgi 1x4"), peers.sized(1, 1, name="rwsgi 1x1"), *peers.beside(1, 4)]
    return [
        *wire.compare({row: [Target(1.10, BEST_PEER), Target(0.85, "hyper")] for row in (wire.HELLO_WORLD, BY_H2LOAD)}, alone,
                      rounds, seconds, own="rwsgi 1x1", title="{}, 1x1"),
        *wire.compare({wire.HELLO_WORLD: [Target(0.80, "rwsgi 1x1"), Target(2.0, "granian")]}, threaded, rounds, seconds,
                      own="rwsgi 1x4", title="{}, 1x4"),
    ]
