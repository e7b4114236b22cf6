"""Whether memory grows with the requests that were answered: some hundred thousand of all kinds, and a line through what it was."""
import math

import load
import needs
import peers
import table
import wire
from result import Result, Target

ROUNDS, SECONDS = 28, 1

# Rounds until everything has been used by as many connections at a time as it ever is, and the allocator has what it wants.
WARM = 12
# Bytes for each request: 2.5 MB after ten million.
LIMIT = 0.25


def run(rounds, seconds):
    """A round is a turn of each kind of request. Each page that is lost again and again counts, single ones are chance."""
    needs.check("wrk")
    with peers.sized(1, 4) as server:
        server.wait_until_it_answers()
        points = list(weighed(server, max(rounds, ROUNDS), seconds))
    slope, error = fitted(points[WARM:])
    result = Result(f"memory gained by each of {points[-1][0]} requests, but for what may be chance", "bytes",
                    {"rwsgi": [max(0, slope - 2 * error)], "limit": [LIMIT]}, [Target(1, "limit")], bounds=["limit"],
                    less_is_better=True)
    print(f"\nfrom {points[WARM][1] >> 10} to {points[-1][1] >> 10} KiB: {slope:.3f} bytes for each request, give or take {2 * error:.3f}")
    return [table.print_result(result)]


def weighed(server, rounds, seconds):
    """Requests so far, and bytes, after each round."""
    done = 0
    for _ in range(rounds):
        for row in [wire.KEEP_ALIVE, *wire.ROWS]:
            done += load.wrk(server, row, seconds, -1)["requests"]
        yield done, server.resident_set_size() << 10


def fitted(points):
    """The slope of the line with the least squares, and its standard error."""
    count = len(points)
    x_mean, y_mean = (sum(values) / count for values in zip(*points))
    spread = sum((x - x_mean) ** 2 for x, _ in points)
    slope = sum((x - x_mean) * (y - y_mean) for x, y in points) / spread
    rest = sum((y - y_mean - slope * (x - x_mean)) ** 2 for x, y in points)
    return slope, math.sqrt(rest / (count - 2) / spread)
