"""How each server is started: one process, one thread, no access log, otherwise what its documentation advises for speed."""
import os

import needs
from server import Server, free_port

PYTHON = f"{needs.VENV}/bin/python"
APPLICATION = "pages:application"
FASTWSGI = "import fastwsgi, pages; fastwsgi.run(pages.application, '127.0.0.1', {port}, loglevel=0)"


def rwsgi(*more, name="rwsgi"):
    port = free_port()
    return Server(name, rwsgi_command("--http", f"127.0.0.1:{port}", *more), port)


def rwsgi_command(*more):
    return [needs.RWSGI, "--wsgi-file", "pages.py", "--disable-logging", "--virtualenv", needs.VENV, *more]


def granian(workers=1, threads=1):
    port = free_port()
    return Server("granian", [
        f"{needs.VENV}/bin/granian", "--interface", "wsgi", "--http", "1", "--no-ws", "--workers", str(workers),
        "--blocking-threads", str(threads), "--no-access-log", "--log-level", "error", "--port", str(port), APPLICATION], port)


def gunicorn(workers=1, threads=4):
    """Four threads, as with one it would serve one connection at a time."""
    port = free_port()
    return Server(f"gunicorn {workers}x{threads}", [
        f"{needs.VENV}/bin/gunicorn", "--worker-class", "gthread", "--workers", str(workers), "--threads", str(threads),
        "--worker-tmp-dir", "/dev/shm", "--no-control-socket", "--log-level", "error",
        "--bind", f"127.0.0.1:{port}", APPLICATION], port)


def fastwsgi():
    port = free_port()
    return Server("fastwsgi", [PYTHON, "-c", FASTWSGI.format(port=port)], port)


def uwsgi(*more):
    """`http-socket`, which serves one request for each connection and does not say so: wrk would take the end for an error.

    `http11-socket` keeps connections, but a process that keeps one waits for it and leaves the others alone. Chunks it sends
    only where a route says so; without, wrk takes the end of the body for an error, too."""
    port = free_port()
    return Server("uWSGI", uwsgi_command(
        "--http-socket", f"127.0.0.1:{port}", "--add-header", "Connection: close", "--route", "^/stream$ chunked:", *more), port)


def uwsgi_command(*more):
    return [
        "uwsgi-core", "--plugins", "python3,transformation_chunked", "--wsgi-file", "pages.py", "--home", needs.VENV,
        "--master", "--processes", "1", "--single-interpreter", "--need-app", "--die-on-term", "--disable-logging", *more]


NGINX = """\
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    default_type application/octet-stream;
    keepalive_requests 1000000;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
{servers}
}}
"""


def nginx(directory, servers, port, path="/"):
    """`servers` are the server blocks of its configuration."""
    configuration = os.path.join(directory, "nginx.conf")
    with open(configuration, "w") as file:
        file.write(NGINX.format(directory=directory, servers=servers))
    return Server("nginx", [needs.program("nginx"), "-p", directory, "-c", configuration, "-e", "stderr"], port, path)
