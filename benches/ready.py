"""From the start to the first answer, with the BookStore and four workers, beside what its import takes."""
import subprocess
import tempfile
import time

import memory
import needs
import peers
import probe
import table
from result import Result, Target
from server import Failed

ROUNDS, SECONDS = 5, 1

# What may be added to the import, in seconds.
MORE = 0.1
IMPORT = "import time; start = time.perf_counter(); import BookStore.wsgi; print(time.perf_counter() - start)"


def run(rounds, _seconds):
    needs.check()
    figures = {}
    with tempfile.TemporaryDirectory() as data:
        for _ in range(rounds):
            # One after the other, as an import takes longer beside another.
            for server in memory.bookstores(data):
                try:
                    figures.setdefault(server.name, []).append(start(server))
                except Failed as error:
                    table.tell(error)
            figures.setdefault("import + 100 ms", []).append(import_time(server) + MORE)
    result = Result("BookStore with 4 workers, from exec to the first answer", "s", figures, [Target(1, "import + 100 ms")],
                    bounds=["import + 100 ms"], less_is_better=True)
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
