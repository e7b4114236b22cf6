"""What a master and four workers weigh, with Django's BookStore."""
import os
import subprocess
import tempfile

import needs
from server import Server, free_port

# It is weighed once: the figures do not depend on what else the machine does.
ROUNDS, SECONDS = 1, 2


def run(rounds, seconds):
    needs.check("wrk")
    with tempfile.TemporaryDirectory() as data:
        figures = {}
        for server in servers(data):
            with server:
                server.wait_until_it_answers()
                figures[server.name] = weigh(server, seconds)
    print("PSS of master and 4 workers with Django's BookStore, after requests to four pages")
    for name, value in figures.items():
        print(f"{name:20} {value / 1024:7.1f} MiB  {value / figures['rwsgi']:5.2f} x rwsgi")


def weigh(server, seconds):
    """Every worker gets to know every page before it is weighed."""
    for path in ["/", "/api/books/", "/admin/login/", "/healthz"]:
        command = ["wrk", "-t1", "-c16", f"-d{seconds}", server.url(path)]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return server.proportional_set_size()


def servers(data):
    site = os.path.join(needs.ROOT, "examples", "bookstore")
    env = {"BOOKSTORE_DATA": data}
    subprocess.run([f"{needs.VENV}/bin/python", "manage.py", "prepare", "-v", "0"], cwd=site,
                   env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1", **env), check=True)
    common = {"path": "/healthz", "cwd": site, "env": env, "cpu": "0,1"}
    a, b, c = (free_port() for _ in range(3))
    yield Server("rwsgi", [
        needs.RWSGI, "--http", f"127.0.0.1:{a}", "--wsgi-file", "BookStore/wsgi.py", "--processes", "4",
        "--disable-logging", "--virtualenv", needs.VENV], a, **common)
    yield Server("gunicorn --preload", [
        f"{needs.VENV}/bin/gunicorn", "--preload", "--workers", "4", "--bind", f"127.0.0.1:{b}",
        "BookStore.wsgi:application"], b, **common)
    if needs.uwsgi_is_there():
        yield Server("uWSGI", [
            "uwsgi-core", "--plugins", "python3", "--http-socket", f"127.0.0.1:{c}", "--wsgi-file",
            "BookStore/wsgi.py", "--master", "--processes", "4", "--home", needs.VENV, "--die-on-term",
            "--disable-logging"], c, **common)
    else:
        print("uWSGI is not measured: apt install uwsgi-core uwsgi-plugin-python3")
