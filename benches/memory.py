"""What a master and four workers weigh, with Django's BookStore after requests to four pages, and what an idle connection does."""
import contextlib
import os
import resource
import socket
import subprocess
import tempfile
import time

import needs
import peers
import probe
import table
import wire
from result import Result, Target
from server import Server, free_port

PAGES = ["/", "/api/books/", "/admin/login/", "/healthz"]

# It is weighed once: the figures do not depend on what else the machine does.
ROUNDS, SECONDS = 1, 2

IDLE = 4000
# Within this time the allocator gives back what it does not need.
REST = 2.5


def run(rounds, seconds):
    needs.check("wrk")
    with tempfile.TemporaryDirectory() as data:
        full = measured(rounds, list(bookstores(data)), lambda server: weigh(server, seconds) / 1024)
    weight = Result("PSS of master and 4 workers, Django's BookStore", "MiB", full,
                    [Target(0.8, "gunicorn --preload")], less_is_better=True)
    # The server gets it from us.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    idle = Result(f"memory of an idle keep-alive connection, of {IDLE}", "KiB",
                  {**measured(rounds, [peers.rwsgi()], weigh_idle), "limit": [8] * rounds}, [Target(1, "limit")],
                  bounds=["limit"], less_is_better=True)
    for result in (weight, idle):
        table.print_result(result)
    return [weight, idle]


def measured(rounds, servers, measure):
    """Each is started for its turn."""
    def turn(_row, server):
        with server:
            server.wait_until_it_answers()
            return measure(server)
    return table.of_row(table.interleave(rounds, [None], servers, turn), None)


def weigh_idle(server):
    """What the server gains with them, all of which have asked before the first is answered, and are then left alone."""
    before = server.proportional_set_size()
    with contextlib.ExitStack() as connections:
        try:
            crowd = [connections.enter_context(socket.create_connection(("127.0.0.1", server.port), 5)) for _ in range(IDLE)]
            for connection in crowd:
                probe.send_on(connection, server.port, "/", headers=wire.BROWSER)
            for connection in crowd:
                with probe.response_on(connection) as response:
                    response.read()
        except (OSError, probe.HTTPException) as error:
            server.fail(f"does not answer {IDLE} connections: {error!r}")
        time.sleep(REST)
        return (server.proportional_set_size() - before) / IDLE


def weigh(server, seconds):
    """Every worker gets to know every page before it is weighed."""
    for path in PAGES:
        command = ["wrk", "-t1", "-c16", f"-d{seconds}", server.url(path)]
        if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
            server.fail(f"cannot be asked for {path}")
    return server.proportional_set_size()


def bookstores(data):
    """`data` is an empty directory, or that of an earlier turn."""
    site = os.path.join(needs.ROOT, "examples", "bookstore")
    env = {"BOOKSTORE_DATA": data}
    if not os.listdir(data):
        subprocess.run([f"{needs.VENV}/bin/python", "manage.py", "prepare", "-v", "0"], cwd=site,
                       env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1", **env), stdout=subprocess.DEVNULL, check=True)
    common = {"path": "/healthz", "cwd": site, "env": env, "cpu": "0,1"}
    a, b, c, d = (free_port() for _ in range(4))
    warm_up = [word for path in PAGES for word in ("--warm-up", path)]
    for name, port, more in [("rwsgi", a, []), ("rwsgi, warm-up", d, warm_up)]:
        yield Server(name, [
            needs.RWSGI, "--http", f"127.0.0.1:{port}", "--wsgi-file", "BookStore/wsgi.py", "--processes", "4",
            "--disable-logging", "--virtualenv", needs.VENV, *more], port, **common)
    yield Server("gunicorn --preload", [
        f"{needs.VENV}/bin/gunicorn", "--preload", "--workers", "4", "--bind", f"127.0.0.1:{b}",
        "BookStore.wsgi:application"], b, **common)
    if needs.uwsgi_is_there():
        yield Server("uWSGI", [
            "uwsgi-core", "--plugins", "python3", "--http-socket", f"127.0.0.1:{c}", "--wsgi-file",
            "BookStore/wsgi.py", "--master", "--processes", "4", "--home", needs.VENV, "--die-on-term",
            "--disable-logging"], c, **common)
