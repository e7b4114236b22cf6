"""The load: wrk, or h2load, on a processor of its own, and no figure without right answers."""
import collections
import concurrent.futures
import json
import os
import re
import subprocess
import sys

import needs
import probe
from server import Failed

CONNECTIONS = 32
# As many as all servers together can answer some large requests of within a second.
FEW = 2
SCRIPT = os.path.join(needs.HERE, "request.lua")
H2LOAD = re.compile(r"finished in .*, ([\d.]+) req/s.*?"
                    r"requests: .* (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout.*?"
                    r"traffic: \S+ \((\d+)\) total", re.DOTALL)

Figure = collections.namedtuple("Figure", "rate microseconds")


class Request:
    """A row of a table: what is asked, by how many connections, and the body that has to be answered with 200."""

    def __init__(self, name, path, answer, method="GET", headers=None, body=0, connections=CONNECTIONS, by="wrk"):
        self.name, self.path, self.answer, self.by = name, path, answer, by
        self.method, self.headers, self.body, self.connections = method, headers or {}, body, connections


def verify(servers, request):
    """All servers at once, as nothing is timed: those that do not answer it as they have to, each as a pair with the request."""
    failed = set()
    with concurrent.futures.ThreadPoolExecutor(max(1, len(servers))) as threads:
        for server, result in [(server, threads.submit(verify_one, server, request)) for server in servers]:
            try:
                result.result()
            except Failed as error:
                print(error, file=sys.stderr, flush=True)
                failed.add((request, server))
    return failed


def verify_one(server, request):
    """One answer to the byte, then a second of load in which each is 200 and as long as it has to be."""
    answer = exchange(server, request)
    if (answer.status, answer.body) != (200, request.answer):
        server.fail(f"answers {request.name} with {answer.status} and {len(answer.body)} bytes")
    wrk(server, request, 1, len(request.answer), FEW)
    if request.by == "h2load":
        h2load(server, request, 1, "1")


def measure(server, request, seconds, cpu="1"):
    """Requests per second, and the processor time of the server for each in microseconds."""
    answer = exchange(server, request)
    before = server.cpu_seconds()
    if request.by == "h2load":
        done = h2load(server, request, seconds, cpu)
    else:
        done = wrk(server, request, seconds, -1, cpu=cpu)
    spent = server.cpu_seconds() - before
    check_bytes(server, request, answer, done)
    server.settle()
    return Figure(done["requests"] / done["microseconds"] * 1e6, spent / done["requests"] * 1e6)


def exchange(server, request):
    try:
        return probe.ask(server.port, request.path, request.method, request.headers, b"x" * request.body)
    except (OSError, probe.HTTPException) as error:
        return server.fail(f"does not answer {request.name}: {error}")


def wrk(server, request, seconds, length, connections=None, cpu="1"):
    headers = [word for name, value in request.headers.items() for word in ("-H", f"{name}: {value}")]
    command = ["taskset", "-c", cpu, "wrk", "-t1", f"-c{connections or request.connections}", f"-d{seconds}", "--timeout", "10", "-s", SCRIPT,
               *headers, server.url(request.path), "--", request.method, str(request.body), str(length)]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    output = run.stdout
    if run.returncode:
        server.fail(f"cannot be asked for {request.name}: {output}")
    return unless_failed(server, request, json.loads(output.rpartition("done: ")[2]))


def h2load(server, request, seconds, cpu):
    """The same by HTTP/1.1 with another program, which does not tell how long answers are: GET without a body alone."""
    headers = [word for name, value in request.headers.items() for word in ("-H", f"{name}: {value}")]
    command = ["taskset", "-c", cpu, "h2load", "--h1", "-t1", f"-c{request.connections}", f"-D{seconds}", *headers, server.url(request.path)]
    try:
        run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, timeout=seconds + 5)
    except subprocess.TimeoutExpired:
        # It never ends where each response ends its connection.
        server.fail(f"cannot be asked for {request.name}: h2load does not end")
    found = H2LOAD.search(run.stdout)
    if run.returncode or not found:
        server.fail(f"cannot be asked for {request.name}: {run.stdout}")
    rate, count, succeeded, failed, errored, timeout, size = map(float, found.groups())
    failed = {"failed": failed, "errored": errored, "timeout": timeout, "not 2xx": count - succeeded}
    microseconds = count / rate * 1e6 if rate else 0
    return unless_failed(server, request, {"requests": count, "bytes": size, "microseconds": microseconds, "failed": failed})


def unless_failed(server, request, done):
    if any(done["failed"].values()) or not done["requests"]:
        server.fail(f"failed requests of {request.name}: {done}")
    return done


def check_bytes(server, request, answer, done):
    """All answers together are as long as so many answers are, and those that were on the way when time was up."""
    # Pieces of a body may be put together differently each time, and the last answer of a connection says that it is.
    least, most = len(request.answer), answer.size * (1.05 if answer.chunked else 1) + len("Connection: keep-alive\r\n")
    if not done["requests"] * least <= done["bytes"] <= (done["requests"] + request.connections) * most:
        server.fail(f"sent {done['bytes']} bytes for {done['requests']} requests of {request.name}, {answer.size} each")
