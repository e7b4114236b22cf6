"""Views of Django and Flask, and how much of the rate of a mere loop is left of them."""
import json
import os
import subprocess
import sys

import needs
import peers
import wire
from bound import Bound
from load import Figure, Request
from result import BEST_PEER, Target

ROUNDS, SECONDS = 5, 1

DJANGO, FLASK = "django_view:application", "flask_view:application"
# The view's own rows say what it has to answer.
sys.path.insert(0, needs.APPS)
from rows import rows  # noqa: E402

PATH = "/books/"
DJANGO_VIEW = Request("Django view", PATH, json.dumps(rows()).encode())
FLASK_VIEW = Request("Flask view", PATH, json.dumps(rows(), sort_keys=True, separators=(",", ":")).encode() + b"\n")


def loop(application):
    """On the processor of the servers."""
    def measure(seconds):
        command = ["taskset", "-c", "0", peers.PYTHON, "loop.py", application, PATH, str(seconds)]
        output = subprocess.run(command, cwd=needs.APPS, env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"),
                                stdout=subprocess.PIPE, check=True).stdout
        done = json.loads(output)
        return Figure(done["requests"] / done["seconds"], done["seconds"] / done["requests"] * 1e6)
    return Bound("loop", measure)


def run(rounds, seconds):
    needs.check("wrk")
    best, most, alone = Target(1.05, BEST_PEER), Target(0.92, "loop"), Target(1, "rwsgi 1x1")
    return [
        *sized(DJANGO_VIEW, DJANGO, 1, 1, [best, most], rounds, seconds, loop(DJANGO)),
        *sized(DJANGO_VIEW, DJANGO, 1, 4, [best, alone], rounds, seconds),
        *sized(DJANGO_VIEW, DJANGO, 2, 2, [best], rounds, seconds),
        *sized(FLASK_VIEW, FLASK, 1, 1, [best, most], rounds, seconds, loop(FLASK)),
    ]


def sized(request, application, processes, threads, targets, rounds, seconds, *loops):
    own = f"rwsgi {processes}x{threads}"
    servers = [peers.sized(processes, threads, application, own)]
    if processes == 1 < threads:
        servers.append(peers.sized(1, 1, application, "rwsgi 1x1"))
    servers += peers.beside(processes, threads, application)
    for server in servers:
        server.path = PATH
    return wire.compare({request: targets}, servers, rounds, seconds, loops, own=own,
                        title=f"{{}}, {processes}x{threads}")

