"""From the start to the first answer, with the BookStore and four workers, beside what its import takes."""
import subprocess
import tempfile
import time

import memory
import needs
import peers
import probe
import table
from bound import Bound
from result import Result, Target

ROUNDS, SECONDS = 5, 1

# What may be added to the import, in seconds.
MORE = 0.1
IMPORTED = "import + 100 ms"
ROW = "BookStore with 4 workers, from exec to the first answer"
IMPORT = "import time; start = time.perf_counter(); import BookStore.wsgi; print(time.perf_counter() - start)"


def run(rounds, seconds):
    needs.check()
    with tempfile.TemporaryDirectory() as data:
        # One after the other, as an import takes longer beside another.
        servers = list(memory.bookstores(data))
        imported = Bound(IMPORTED, lambda _seconds: import_time(servers[0]) + MORE)
        figures = table.interleave(rounds, [ROW], [*servers, imported],
                                   lambda _row, one: one.measure(seconds) if one.is_bound else start(one))
    result = Result(ROW, "s", table.of_row(figures, ROW), [Target(1, IMPORTED)], bounds=[IMPORTED], less_is_better=True)
    table.print_result(result)
    return [result]


def start(server):
    """Asked again a millisecond after there was no answer."""
    begin = time.perf_counter()
    with server:
        while time.perf_counter() - begin < server.patience[0]:
            try:
                if probe.ask(server.port, server.path).status == 200:
                    return time.perf_counter() - begin
            except (OSError, probe.HTTPException):
                time.sleep(0.001)
        return server.fail("does not answer")


def import_time(server):
    """In a Python of its own, which has started already; on the same processors."""
    command = ["taskset", "-c", server.cpu, peers.PYTHON, "-c", IMPORT]
    return float(subprocess.run(command, cwd=server.cwd, env=server.env, stdout=subprocess.PIPE, check=True).stdout)
