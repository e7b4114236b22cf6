"""Requests a page over and over, each time on a new connection, until SIGTERM; then tells what became of them.

    load.py [--host NAME] ADDRESS PATH STARTED

ADDRESS is HOST:PORT, or the path of a UNIX socket. The file STARTED appears with the first outcome.
One line for each outcome, "COUNT OUTCOME": `200`, another status, `ConnectionRefusedError`, `ConnectionResetError`, …
"""

import argparse
import collections
import http.client
import pathlib
import signal
import socket
import threading

CLIENTS = 4
PATIENCE = 60  # seconds

stopping = threading.Event()


class Connection(http.client.HTTPConnection):
    """To an address of either kind."""

    def __init__(self, address):
        super().__init__('localhost', timeout=PATIENCE)
        self.address = address

    def connect(self):
        if self.address.startswith('/'):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(PATIENCE)
            self.sock.connect(self.address)
        else:
            host, port = self.address.rsplit(':', 1)
            self.sock = socket.create_connection((host, int(port)), PATIENCE)


def outcome(address, path, host):
    connection = Connection(address)
    try:
        connection.request('GET', path, headers={'Connection': 'close', 'Host': host})
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
    parser = argparse.ArgumentParser()
    parser.add_argument('--host', default='localhost')
    parser.add_argument('address')
    parser.add_argument('path')
    parser.add_argument('started', type=pathlib.Path)
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    outcomes = []
    args = ((asked.address, asked.path, asked.host), outcomes, asked.started)
    clients = [threading.Thread(target=client, args=args) for _ in range(CLIENTS)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    for name, count in sorted(collections.Counter(outcomes).items()):
        print(count, name)


main()
