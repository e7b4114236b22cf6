"""What was measured in a row, and whether rwsgi's figure is what it has to be."""
import collections
import statistics

BEST_PEER = "best peer"

# rwsgi's figure is to be at least `factor` times that of `other`, or at most that where less is better. `other` is BEST_PEER
# or the name of a column: a peer, rwsgi otherwise, or a bound.
Target = collections.namedtuple("Target", "factor other")
Verdict = collections.namedtuple("Verdict", "target other ratio low high met")


class Result:
    """`figures`: by name of the server, one value for each round. Servers of ours have names that begin with rwsgi; `own` is the
    one that the targets are for. `bounds` are columns that are no servers to choose: what the machine allows, or a constant.
    Who failed has an empty list, or none. `processor`, where it was measured: microseconds of the server's processor time for a request, in the same form."""

    def __init__(self, title, unit, figures, targets=(), own="rwsgi", bounds=(), less_is_better=False, processor=None):
        self.title, self.unit, self.targets = title, unit, targets
        self.figures = {name: values for name, values in figures.items() if values}
        self.own, self.bounds, self.less_is_better, self.processor = own, bounds, less_is_better, processor or {}

    def peers(self):
        return [name for name in self.figures if not name.startswith("rwsgi") and name not in self.bounds]

    def best_peer(self):
        choose = min if self.less_is_better else max
        return choose(self.peers(), key=lambda name: statistics.median(self.figures[name]), default=None)

    def ratios(self, name, other):
        """Within the rounds: neighbours in time had the same machine."""
        return [value / reference if reference else float("inf")
                for value, reference in zip(self.figures.get(name, []), self.figures.get(other, []))]

    def ratio(self, name, other):
        ratios = self.ratios(name, other)
        return statistics.median(ratios) if ratios else None

    def verdicts(self):
        """`ratio` is None where one of the two has no figure: what is not here says nothing of rwsgi, and rwsgi is always here."""
        for target in self.targets:
            other = self.best_peer() if target.other == BEST_PEER else target.other
            ratios = self.ratios(self.own, other)
            if not ratios:
                missing = {self.own, other or BEST_PEER} - set(self.figures)
                met = False if any(name.startswith("rwsgi") for name in missing) else None
                yield Verdict(target, other, None, None, None, met)
                continue
            ratio = statistics.median(ratios)
            met = ratio <= target.factor if self.less_is_better else ratio >= target.factor
            yield Verdict(target, other, ratio, min(ratios), max(ratios), met)

    def sentence(self, verdict):
        """The target in words."""
        named = verdict.target.other
        if named == BEST_PEER and verdict.other:
            named += f" ({verdict.other})"
        return f"{'at most' if self.less_is_better else 'at least'} {verdict.target.factor:g} x {named}"
