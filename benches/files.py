"""Static files, beside nginx that sends the same ones on the same processor."""
import os
import tempfile

import needs
import peers
import wire
from load import Request
from result import Target
from server import free_port

ROUNDS, SECONDS = 7, 2

SIZES = {"10 KiB": 10 << 10, "10 MiB": 10 << 20}

LOCATION = """\
    server {{
        listen 127.0.0.1:{port};
        location /static/ {{ alias {files}/; }}
    }}"""


def run(rounds, seconds):
    needs.check("wrk", "nginx")
    with tempfile.TemporaryDirectory() as directory:
        # nginx may read them as another user.
        os.chmod(directory, 0o755)
        files = os.path.join(directory, "files")
        rows = {row: [Target(0.8, "nginx")] for row in written(files)}
        return wire.compare(rows, [peers.rwsgi("--static-map", f"/static={files}"), nginx(directory, files)], rounds, seconds)


def written(directory):
    """Writes each file, and tells the row that asks for it."""
    os.mkdir(directory)
    for name, size in SIZES.items():
        content = os.urandom(size)
        file_name = name.replace(" ", "") + ".bin"
        with open(os.path.join(directory, file_name), "wb") as file:
            file.write(content)
        yield Request(f"file of {name}", f"/static/{file_name}", content)


def nginx(directory, files):
    port = free_port()
    return peers.nginx(directory, LOCATION.format(port=port, files=files), port, "/static/10KiB.bin")
