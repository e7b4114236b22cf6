"""The application of the benchmarks: a path for each kind of answer."""
import time

HELLO = b"Hello world\n"
PIECE = b"x" * (16 << 10)
SIZES = {"/64k": 64 << 10, "/256k": 256 << 10, "/1m": 1 << 20}
PAGES = {path: b"x" * size for path, size in SIZES.items()}
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
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (PIECE for _ in range(64))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", LENGTHS[path])])
    return [PAGES[path]]
