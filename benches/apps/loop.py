"""An application called without a server: loop.py MODULE:CALLABLE PATH SECONDS

The environ is a copy of one that was made before, as quick as it gets, and nothing is read, written or parsed. As JSON: requests,
and the seconds that they took.
"""
import importlib
import io
import json
import sys
import time

ENVIRON = {
    "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "QUERY_STRING": "", "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "8000",
    "SERVER_PROTOCOL": "HTTP/1.1", "SERVER_SOFTWARE": "none", "REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": "40000",
    "HTTP_HOST": "127.0.0.1:8000", "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.errors": sys.stderr,
    "wsgi.multithread": False, "wsgi.multiprocess": False, "wsgi.run_once": False}


def main(name, path, seconds):
    module, _, function = name.partition(":")
    application = getattr(importlib.import_module(module), function)
    template = dict(ENVIRON, PATH_INFO=path)
    call(application, template)
    requests, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for _ in range(100):
            call(application, template)
        requests += 100
    json.dump({"requests": requests, "seconds": time.perf_counter() - start}, sys.stdout)


def call(application, template):
    environ = template.copy()
    environ["wsgi.input"] = io.BytesIO()
    answer = []

    def start_response(status, headers, exc_info=None):
        answer.append(status)

    body = application(environ, start_response)
    for _ in body:
        pass
    if hasattr(body, "close"):
        body.close()
    if answer != ["200 OK"]:
        sys.exit(f"answers with {answer}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
