"""Rounds over servers, and tables of what they gave."""
import statistics
import sys

from server import Failed


def tell(text):
    print(text, file=sys.stderr, flush=True)


def interleave(rounds, rows, servers, measure, left_out=()):
    """Figures of each row and server: in each round every server has its turn, and each time another one is first.

    A server that fails a row has no figures for it, as those of `left_out`, pairs of both; the others go on."""
    figures = {(row, server): [] for row in rows for server in servers if (row, server) not in left_out}
    for number in range(rounds):
        tell(f"round {number + 1} of {rounds}")
        first = number % max(1, len(servers))
        for row in rows:
            for server in servers[first:] + servers[:first]:
                if (row, server) not in figures:
                    continue
                try:
                    figures[row, server].append(measure(row, server))
                except Failed as error:
                    tell(error)
                    del figures[row, server]
    return figures


def of_row(figures, row, name=lambda server: server.name):
    """Those of one row, by the names of the servers."""
    return {name(server): values for (this, server), values in figures.items() if this is row}


def field(figures, name):
    return {server: [getattr(figure, name) for figure in values] for server, values in figures.items()}


def print_result(result):
    best = result.best_peer()
    print(f"\n{result.title} ({result.unit})")
    processor = f"{'CPU us':>9}" if result.processor else ""
    print(f"{'':20}{'median':>12}{'min':>12}{'max':>12}{'x best peer':>13}{'x ' + result.own:>12}{processor}")
    for name, values in result.figures.items():
        beside = ratio(result.ratio(name, best)) if best else "-"
        own = ratio(result.ratio(name, result.own))
        spent = f"{statistics.median(result.processor[name]):9.1f}" if None not in result.processor.get(name, [None]) else ""
        print(f"{name:20}{number(statistics.median(values)):>12}{number(min(values)):>12}{number(max(values)):>12}"
              f"{beside:>13}{own:>12}{spent}")
    return print_verdicts(result)


def print_verdicts(result):
    for verdict in result.verdicts():
        print(f"{result.own}: {result.sentence(verdict)}: {outcome(verdict)}", flush=True)
    return result


def outcome(verdict):
    if verdict.ratio is None:
        return "not measured" if verdict.met is None else "no figures, NOT met"
    return f"{verdict.ratio:.2f} ({verdict.low:.2f} - {verdict.high:.2f}), {'met' if verdict.met else 'NOT met'}"


def ratio(value):
    return "-" if value in (None, float("inf")) else f"{value:.2f}"


def number(value):
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"
