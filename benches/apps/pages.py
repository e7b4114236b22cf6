"""The application of the benchmarks: a path for each kind of answer."""
import os
import time

HELLO = b"Hello world\n"
PIECE = b"x" * (16 << 10)
LINE = b"x" * 63 + b"\n"
SIZES = {"/64k": 64 << 10, "/256k": 256 << 10, "/1m": 1 << 20}
PAGES = {path: b"x" * size for path, size in SIZES.items()}
# The large file, and how many bytes it has.
FILE = os.environ.get("BENCH_FILE")
FILE_SIZE = os.path.getsize(FILE) if FILE else 0
LENGTHS = {path: str(size) for path, size in SIZES.items()}


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/":
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "12")])
        return [HELLO]
    if path == "/length":
        text = b"%d\n" % len(environ["wsgi.input"].read())
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))])
        return [text]
    if path == "/echo":
        body = environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(body)))])
        return [body]
    if path == "/sleep":
        time.sleep(int(environ["QUERY_STRING"]) / 1000)
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
        return [b"slept\n"]
    if path == "/burn":
        burn(int(environ["QUERY_STRING"]) / 1000)
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
        return [b"burnt\n"]
    if path == "/upload":
        return [upload(environ["wsgi.input"], start_response)]
    if path == "/download":
        start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(FILE_SIZE))])
        return read(open(FILE, "rb"))
    if path == "/file":
        start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(FILE_SIZE))])
        return environ.get("wsgi.file_wrapper", lambda file, _: read(file))(open(FILE, "rb"), 65536)
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (PIECE for _ in range(64))
    if path == "/lines":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (LINE for _ in range(1 << 11))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", LENGTHS[path])])
    return [PAGES[path]]


def burn(seconds):
    """Of the processor, whoever else has it meanwhile."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def upload(body, start_response):
    length = 0
    while True:
        piece = body.read(65536)
        if not piece:
            break
        length += len(piece)
    text = b"%d\n" % length
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))])
    return text


def read(file):
    with file:
        while True:
            piece = file.read(65536)
            if not piece:
                return
            yield piece
