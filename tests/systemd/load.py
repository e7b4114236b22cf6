"""Requests a page over and over, each time on a new connection, until SIGTERM; then tells what became of them.

    load.py HOST PORT PATH STARTED

The file STARTED appears with the first outcome.
One line for each outcome, "COUNT OUTCOME": `200`, another status, `ConnectionRefusedError`, `ConnectionResetError`, …
"""

import collections
import http.client
import pathlib
import signal
import sys
import threading

CLIENTS = 4

stopping = threading.Event()


def outcome(host, port, path):
    connection = http.client.HTTPConnection(host, port, timeout=60)
    try:
        connection.request('GET', path, headers={'Connection': 'close'})
        response = connection.getresponse()
        response.read()
        return str(response.status)
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


def client(target, outcomes, started):
    while not stopping.is_set():
        outcomes.append(outcome(*target))
        started.touch()
        # The server is to be interrupted, not to be measured.
        stopping.wait(0.005)


def main():
    host, port, path, started = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    outcomes = []
    args = ((host, int(port), path), outcomes, pathlib.Path(started))
    clients = [threading.Thread(target=client, args=args) for _ in range(CLIENTS)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    for name, count in sorted(collections.Counter(outcomes).items()):
        print(count, name)


main()
