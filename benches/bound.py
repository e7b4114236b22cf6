"""A column that is no server: takes its turn as servers do, and gives what cannot be more, or must not be."""
import load
from load import Figure


class Bound:
    is_bound = True

    def __init__(self, name, measure):
        self.name, self.measure = name, measure


def constant(name, rate):
    return Bound(name, lambda _seconds: Figure(rate, None))


def measure(server, request, seconds):
    return server.measure(seconds) if isinstance(server, Bound) else load.measure(server, request, seconds)
