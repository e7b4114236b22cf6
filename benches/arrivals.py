"""Requests that come when they come, be the server ready or not: arrivals.py PORT KIND RATE SECONDS SHARE LONG SHORT

    new     each on a new connection
    kept    on a connection that is idle, the one that has been so for shortest, or else a new one
    pooled  the same, as of a proxy that has been busy: there are POOL connections from the beginning

RATE is a second's, with pauses as chance has them (the same for all servers). SHARE of them ask for the path LONG, the others
for SHORT. What a request took counts from when it was to be sent, so a server that holds up its clients does not get fewer
requests. Written as JSON: the milliseconds of each SHORT one that was answered with 200, how many there were of both, how many
were answered with 503, how many failed, and the seconds from the first to the last answer.
"""
import collections
import json
import random
import re
import selectors
import socket
import sys
import time

SEED = 4
# What is not answered by then has failed.
LIMIT = 30.0
POOL = 200
REQUEST = "GET {} HTTP/1.1\r\nHost: tail\r\nConnection: {}\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)


def main(port, kind, rate, seconds, share, long, short):
    chance = random.Random(SEED)
    clients, now = Clients(port, kind != "new", short), 0.0
    schedule = collections.deque()
    while now < seconds:
        now += chance.expovariate(rate)
        schedule.append((now, long if chance.random() < share else short))
    due = len(schedule)
    if kind == "pooled":
        clients.warm()
    began = time.perf_counter()
    clients.run(schedule)
    elapsed = time.perf_counter() - began
    json.dump({"short": clients.took, "due": due, "refused": clients.refused, "failed": clients.failed, "seconds": elapsed}, sys.stdout)


class Clients:
    def __init__(self, port, keep, short):
        self.port, self.keep, self.short = port, keep, short
        self.selector = selectors.DefaultSelector()
        self.idle, self.took = [], []
        self.refused = self.failed = self.open = 0

    def warm(self):
        deadline = time.perf_counter() + LIMIT
        for _ in range(POOL):
            self.begin(time.perf_counter(), self.short)
        while self.open and time.perf_counter() < deadline:
            self.wait(1)
        if self.open or self.failed:
            sys.exit(f"of {POOL} connections to begin with, {self.open} have no answer and {self.failed} failed")
        self.took, self.refused = [], 0

    def run(self, schedule):
        start = time.perf_counter()
        while schedule or self.open:
            now = time.perf_counter() - start
            while schedule and schedule[0][0] <= now:
                at, path = schedule.popleft()
                self.begin(start + at, path)
            if not schedule and now > LIMIT + 60:
                self.failed += self.open
                return
            wait = max(0, schedule[0][0] - now) if schedule else 1
            self.wait(min(wait, 1))

    def wait(self, seconds):
        for key, _ in self.selector.select(seconds):
            self.go_on(key.fileobj, key.data)

    def begin(self, due, path):
        text = REQUEST.format(path, "keep-alive" if self.keep else "close").encode()
        while True:
            is_new = not self.idle
            client = self.connect() if is_new else self.idle.pop()
            try:
                client.send(text)
                break
            except OSError:
                client.close()
                if is_new:
                    self.failed += 1
                    return
        self.open += 1
        self.selector.register(client, selectors.EVENT_READ, [due, path, b"", is_new])

    def connect(self):
        client = socket.create_connection(("127.0.0.1", self.port), LIMIT)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setblocking(False)
        return client

    def go_on(self, client, state):
        due, path, answer, is_new = state
        try:
            piece = client.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        state[2] = answer = answer + piece
        if piece and not is_complete(answer):
            return
        self.selector.unregister(client)
        self.open -= 1
        if not piece and not answer and not is_new:
            # It was closed while the request was on its way, as a server may; a proxy asks again.
            client.close()
            self.begin(due, path)
        elif not is_complete(answer) or not answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 503 ")):
            client.close()
            self.failed += 1
        else:
            if answer.startswith(b"HTTP/1.1 503 "):
                self.refused += 1
            elif path == self.short:
                self.took.append((time.perf_counter() - due) * 1000)
            if self.keep and b"\r\nconnection: close\r\n" not in answer.lower():
                self.idle.append(client)
            else:
                client.close()


def is_complete(answer):
    head, end, body = answer.partition(b"\r\n\r\n")
    length = LENGTH.search(head)
    return bool(end and length) and len(body) == int(length.group(1))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5]), *sys.argv[6:])
