"""How each server is started: without an access log, otherwise as its documentation advises for speed.

docs/benchmarks.md says the same in words. What a server cannot do, more processes or threads than one, it is not asked for.
"""
import collections
import os

import needs
from server import Server, free_port

PYTHON = f"{needs.VENV}/bin/python"
PAGES = "pages:application"

# Programs for servers that have none, or none with all of their settings.
FASTWSGI = """\
import fastwsgi, {module}
fastwsgi.server.tcp_nodelay = 1
fastwsgi.run({module}.{callable}, '127.0.0.1', {port}, loglevel=0, workers={processes})"""
BJOERN = """\
import bjoern, os, {module}
bjoern.listen({module}.{callable}, '127.0.0.1', {port})
for _ in range({processes} - 1):
    if os.fork() == 0:
        break
bjoern.run()"""
WAITRESS = """\
import waitress, {module}
waitress.serve({module}.{callable}, host='127.0.0.1', port={port}, threads={threads}, connection_limit=20000, backlog=1024,
               channel_timeout=120, asyncore_use_poll=True)"""
CHEROOT = """\
import cheroot.wsgi, {module}
server = cheroot.wsgi.Server(('127.0.0.1', {port}), {module}.{callable}, numthreads={threads}, request_queue_size=1024)
server.keep_alive_conn_limit = 20000
server.start()"""
PYRUVATE = """\
import pyruvate, {module}
pyruvate.serve({module}.{callable}, '127.0.0.1:{port}', {threads})"""


def rwsgi(*more, name="rwsgi", application=PAGES):
    port = free_port()
    return Server(name, rwsgi_command("--http", f"127.0.0.1:{port}", *more, application=application), port)


def rwsgi_command(*more, application=PAGES):
    return [needs.RWSGI, "--module", application, "--disable-logging", "--virtualenv", needs.VENV, *more]


def sized(processes, threads, application=PAGES, name="rwsgi"):
    return rwsgi("--processes", str(processes), "--threads", str(threads), name=name, application=application)


def granian(processes=1, threads=1, application=PAGES):
    port = free_port()
    return Server("granian", [
        f"{needs.VENV}/bin/granian", "--interface", "wsgi", "--http", "1", "--no-ws", "--workers", str(processes),
        "--blocking-threads", str(threads), "--no-access-log", "--log-level", "error", "--port", str(port), application], port)


def gunicorn(processes=1, threads=4, application=PAGES):
    """gthread has never less than four threads, as with one it would serve one connection at a time."""
    threads = max(threads, 4)
    return gunicorn_of(f"gunicorn {processes}x{threads}", "gthread", processes, application, "--threads", str(threads))


def gunicorn_sync(processes=1, _threads=1, application=PAGES):
    return gunicorn_of("gunicorn sync", "sync", processes, application)


def gunicorn_of(name, kind, processes, application, *more):
    port = free_port()
    return Server(name, [
        f"{needs.VENV}/bin/gunicorn", "--worker-class", kind, "--workers", str(processes), *more, "--keep-alive", "75",
        "--worker-tmp-dir", "/dev/shm", "--no-control-socket", "--log-level", "error",
        "--bind", f"127.0.0.1:{port}", application], port)


def scripted(name, script, processes, threads, application):
    port = free_port()
    module, _, function = application.partition(":")
    return Server(name, [PYTHON, "-c", script.format(
        module=module, callable=function, port=port, processes=processes, threads=threads)], port)


def fastwsgi(processes=1, threads=1, application=PAGES):
    return scripted("fastwsgi", FASTWSGI, processes, threads, application)


def bjoern(processes=1, threads=1, application=PAGES):
    return scripted("bjoern", BJOERN, processes, threads, application)


def waitress(processes=1, threads=1, application=PAGES):
    return scripted("waitress", WAITRESS, processes, threads, application)


def cheroot(processes=1, threads=1, application=PAGES):
    return scripted("cheroot", CHEROOT, processes, threads, application)


def pyruvate(processes=1, threads=1, application=PAGES):
    return scripted("pyruvate", PYRUVATE, processes, threads, application)


def uwsgi(processes=1, threads=1, application=PAGES, more=()):
    """`http-socket`, which serves one request for each connection and does not say so: wrk would take the end for an error.

    `http11-socket` keeps connections, but a process that keeps one waits for it and leaves the others alone. Chunks it sends
    only where a route says so; without, wrk takes the end of the body for an error, too."""
    port = free_port()
    return Server("uWSGI", uwsgi_command(
        "--http-socket", f"127.0.0.1:{port}", "--add-header", "Connection: close", "--route", "^/(stream|lines)$ chunked:",
        *uwsgi_size(processes, threads), *more, application=application), port)


def uwsgi_router(processes=1, threads=1, application=PAGES):
    """`http`: a process in front that keeps connections, and asks the workers by the uwsgi protocol."""
    port = free_port()
    return Server("uWSGI router", uwsgi_command(
        "--http", f"127.0.0.1:{port}", "--http-keepalive", "--http-auto-chunked", *uwsgi_size(processes, threads),
        application=application), port)


def uwsgi_size(processes, threads):
    # One thread is not the same as none: uWSGI would take and give the GIL for it.
    return ["--processes", str(processes), *(["--threads", str(threads)] if threads > 1 else []),
            *(["--thunder-lock"] if processes > 1 else [])]


def uwsgi_command(*more, application=PAGES):
    return [
        "uwsgi-core", "--plugins", "python3,http,transformation_chunked", "--module", application, "--home", needs.VENV,
        "--pythonpath", ".", "--master", "--single-interpreter", "--need-app", "--die-on-term", "--disable-logging",
        "--listen", "1024", *more]


# `name` is that of the package; whether it can have several processes, and threads.
Peer = collections.namedtuple("Peer", "start name processes threads")
PEERS = [
    Peer(granian, "granian", True, True),
    Peer(fastwsgi, "fastwsgi", True, False),
    Peer(bjoern, "bjoern", True, False),
    Peer(pyruvate, "pyruvate", False, True),
    Peer(uwsgi, "uWSGI", True, True),
    Peer(uwsgi_router, "uWSGI", True, True),
    Peer(gunicorn, "gunicorn", True, True),
    Peer(gunicorn_sync, "gunicorn", True, False),
    Peer(cheroot, "cheroot", False, True),
    Peer(waitress, "waitress", False, True),
]


def beside(processes=1, threads=1, application=PAGES):
    """Every peer that is here and can have so many of both."""
    return [peer.start(processes, threads, application=application) for peer in PEERS
            if is_there(peer) and (processes == 1 or peer.processes) and (threads == 1 or peer.threads)]


def is_there(peer):
    return needs.uwsgi_is_there() if peer.name == "uWSGI" else needs.is_installed(peer.name)


def hyper():
    """Hello world without Python: a list of one server, or none where it cannot be built."""
    return without_python("hyper")


def constant(socket=None):
    """What kernel and load allow: who sends what was made before, and nothing else. The same list."""
    return without_python("constant", socket)


def without_python(name, socket=None):
    if not needs.bounds():
        return []
    port = free_port()
    server = Server(name, [os.path.join(needs.bounds(), name), socket or str(port)], port)
    server.is_bound = True
    return [server]


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
