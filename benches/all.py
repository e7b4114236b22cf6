"""Everything, one after the other; then docs/benchmarks.md has the tables, and docs/benchmarks.svg the chart."""
import sys
import time

import accesslog
import blocking
import chart
import cost
import count
import files
import growth
import latency
import memory
import needs
import overload
import page
import ready
import scaling
import slow
import soak
import speed
import table
import tail
import transfer
import uwsgi
import views
import wire

ROUNDS, SECONDS = 5, 1

# With the most rounds, and the seconds of a turn, so that all of it takes less than 40 minutes.
PLAN = [
    (count, 1, 1), (speed, 9, 1), (wire, 9, 1), (views, 9, 1), (blocking, 5, 2), (transfer, 9, 1), (files, 9, 1), (uwsgi, 9, 1),
    (latency, 5, 2), (tail, 2, 4), (overload, 9, 2), (slow, 3, 1), (accesslog, 9, 1), (scaling, 9, 1), (memory, 1, 1), (ready, 5, 1),
    (growth, 3, 1), (soak, soak.ROUNDS, 1), (cost, 1, 1)]


def run(rounds, seconds):
    """What cannot be measured is told, and the rest goes on."""
    needs.check("wrk", "h2load", "nginx", "valgrind", "strace", "objdump")
    results, failed = [], []
    for module, most, turn in PLAN:
        start = time.monotonic()
        print(f"\n=== {module.__name__}: {module.__doc__.splitlines()[0]}", flush=True)
        try:
            results += module.run(min(rounds, most), turn * seconds) or []
        except (Exception, SystemExit) as error:
            # A number is that of a signal which ends us.
            if isinstance(getattr(error, "code", None), int):
                raise
            failed.append(f"{module.__name__}: {error or type(error).__name__}")
            table.tell(failed[-1])
        table.tell(f"{module.__name__} took {time.monotonic() - start:.0f} s")
    print_summary(results, failed)
    page.write(results, failed, rounds)
    chart.write(results)
    if failed:
        sys.exit(f"{len(failed)} of {len(PLAN)} commands failed")
    return results


def print_summary(results, failed):
    print("\n=== targets")
    for result in results:
        for verdict in result.verdicts():
            print(f"{result.title:70} {result.sentence(verdict):36} {table.outcome(verdict)}")
    for text in failed:
        print(f"FAILED {text}")
