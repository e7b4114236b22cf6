"""What hello world costs each server, counted: instructions, system calls, turns of the GIL and of the scheduler.

The first three as in `count`, what two runs on one connection differ in; of all processes, without limits, as only `count` has
them. Context switches are those of the kernel's books under the load of wrk, when nothing else is counted. A turn of the GIL is a
call that takes it, so one that a thread loses at the end of its interval and takes back is not counted.
"""
import concurrent.futures
import tempfile

import counting
import load
import needs
import peers
import table
import wire
from result import Result
from server import Failed

ROUNDS, SECONDS = 1, 1

FEW, MANY = 50, 1050
UNITS = {
    "instructions": "a request, one connection", "system calls": "a request, one connection", "the GIL taken": "a request, one connection",
    "context switches": f"a request, {load.CONNECTIONS} connections"}


def run(_rounds, seconds):
    needs.check("wrk", "valgrind", "strace", "objdump")
    kinds = [peers.rwsgi, *(peer.start for peer in peers.PEERS if peers.is_there(peer))]
    if needs.bounds():
        kinds.append(lambda: peers.hyper()[0])
    figures = {unit: {} for unit in UNITS}
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        counted = list(threads.map(lambda kind: cost_of(kind, COUNTERS), kinds))
    # Whatever else runs makes switches, too.
    counted += [cost_of(kind, {("context switches",): lambda kind: of_scheduler(kind, seconds)}) for kind in kinds]
    for name, costs in counted:
        for unit, cost in costs.items():
            figures[unit][name] = [cost]
    return [table.print_result(Result(f"{name} of hello world", unit, figures[name], bounds=["hyper"], less_is_better=True))
            for name, unit in UNITS.items()]


def cost_of(kind, counters):
    """What could be counted: some servers do not run under all of what counts."""
    costs = {}
    for names, count in counters.items():
        try:
            costs.update(zip(names, count(kind)))
        except Failed as error:
            table.tell(error)
    return kind().name, costs


def of_callgrind(kind):
    for _ in range(counting.ATTEMPTS):
        few, many = (total(kind, counting.under_callgrind, count, counting.read_counts) for count in (FEW, MANY))
        # One that was killed before it had written its count is in neither run; if that is the worker, the rest costs nothing.
        if len(few) == len(many) > 0:
            costs = [(sum(many) - sum(few)) / (MANY - FEW)
                     for few, many in zip(zip(*map(measured, few)), zip(*map(measured, many)))]
            if costs[0] > counting.LEAST:
                return costs
    raise Failed(f"{kind().name}: not all of its processes have been counted")


def of_strace(kind):
    few, many = (total(kind, counting.under_strace, count, lambda directory: sum(map(len, counting.read_calls(directory))))
                 for count in (FEW, MANY))
    return [(many - few) / (MANY - FEW)]


def total(kind, under, count, read):
    with tempfile.TemporaryDirectory() as directory:
        with under(kind(), directory) as server:
            counting.ask(server, wire.KEEP_ALIVE, count)
        return read(directory)


def measured(count):
    return count.all, count.gil


def of_scheduler(kind, seconds):
    with kind() as server:
        server.wait_until_it_answers()
        before = server.context_switches()
        done = load.wrk(server, wire.KEEP_ALIVE, seconds, -1)
        return [(server.context_switches() - before) / done["requests"]]


COUNTERS = {("instructions", "the GIL taken"): of_callgrind, ("system calls",): of_strace}
