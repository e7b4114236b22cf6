"""Requests per second of hello world, with the threads that make it slower elsewhere."""
import needs
import peers
import wire

ROUNDS, SECONDS = 5, 3


def run(rounds, seconds):
    needs.check("wrk")
    servers = [
        peers.rwsgi(name="rwsgi 1x1"), peers.rwsgi("--threads", "4", name="rwsgi 1x4"), peers.granian(), peers.fastwsgi()]
    wire.compare([wire.KEEP_ALIVE], servers, rounds, seconds)
