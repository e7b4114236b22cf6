"""The uwsgi protocol behind nginx, which is the same for both."""
import contextlib
import os
import tempfile

import needs
import peers
import wire
from result import Target
from server import Server, free_port, wait_for

ROUNDS, SECONDS = 7, 3

# One for each server behind it; nginx opens a connection for each request.
LOCATION = """\
    server {{
        listen 127.0.0.1:{port};
        location / {{
            include /etc/nginx/uwsgi_params;
            uwsgi_pass unix:{socket};
        }}
    }}"""

COMMANDS = {"rwsgi": peers.rwsgi_command, "uWSGI": peers.uwsgi_command}


def run(rounds, seconds):
    needs.check("wrk", "nginx", "uwsgi-core", "uwsgi-python3")
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as running:
        # nginx may have to connect as another user.
        os.chmod(directory, 0o755)
        sockets = {name: os.path.join(directory, f"{name}.sock") for name in [*COMMANDS, "constant"]}
        servers = [*(behind(name, sockets[name]) for name in COMMANDS), *peers.constant(sockets["constant"])]
        locations = [LOCATION.format(port=server.port, socket=sockets[server.name]) for server in servers]
        front = peers.nginx(directory, "\n".join(locations), servers[0].port)
        for server in servers + [front]:
            running.enter_context(server)
        print("nginx and the server behind it share processor 0; CPU us is the time of the server alone")
        rows = {wire.HELLO_WORLD: [Target(1.5, "uWSGI")], wire.POST: [Target(1.5, "uWSGI")]}
        return wire.compare_running(rows, wait_for(servers), rounds, seconds, title="uwsgi protocol behind nginx: {}")


def behind(name, socket):
    return Server(name, COMMANDS[name]("--socket", socket, "--chmod-socket=666"), free_port())
