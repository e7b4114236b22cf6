"""Rounds over servers, and tables of what they gave."""
import statistics
import sys


def interleave(rounds, rows, servers, measure):
    """Figures of each row and server: in each round every server has its turn, and each time another one is first."""
    figures = {(row, server): [] for row in rows for server in servers}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        first = number % len(servers)
        for row in rows:
            for server in servers[first:] + servers[:first]:
                figures[row, server].append(measure(row, server))
    return figures


def ratio(values, others):
    """The median of the ratios within the rounds: neighbours in time had the same machine."""
    return statistics.median(value / other for value, other in zip(values, others))


def print_rates(title, figures):
    """`figures`: of each server by name, rwsgi's by a name that begins so; requests per second and processor time."""
    rates = {name: [figure.rate for figure in values] for name, values in figures.items()}
    own = next(name for name in rates if name.startswith("rwsgi"))
    peers = [name for name in rates if not name.startswith("rwsgi")]
    best = max(peers, key=lambda name: statistics.median(rates[name]))
    print(f"\n{title}")
    print(f"{'':14}{'median/s':>10}{'min':>10}{'max':>10}{'x best peer':>13}{'x rwsgi':>9}{'CPU us':>9}")
    for name, values in rates.items():
        microseconds = statistics.median(figure.microseconds for figure in figures[name])
        print(f"{name:14}{statistics.median(values):10.0f}{min(values):10.0f}{max(values):10.0f}"
              f"{ratio(values, rates[best]):13.2f}{ratio(values, rates[own]):9.2f}{microseconds:9.1f}")
