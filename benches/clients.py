"""Slow clients, as many as wanted of one kind, in a process of their own: clients.py PORT KIND COUNT

    head        a head that never ends, byte by byte
    body        a whole head, and a body of 10 KiB byte by byte
    response    a whole request, and an answer of 256 KiB taken byte by byte

Each has its turn once a second. "ready" is said when all have begun; at the end of standard input, how many the server still has.
"""
import select
import socket
import sys

# What a second turn finds in the kernel's buffers was not sent slowly: they are to hold little of the answer.
SEGMENT = 1400
BUFFER = 4096
# As /proc/net/tcp writes it.
ESTABLISHED = "01"

BEGIN = {
    "head": "GET / HTTP/1.1\r\nHost: slow\r\nX-Slow: ",
    "body": "POST /length HTTP/1.1\r\nHost: slow\r\nContent-Length: 10240\r\n\r\n",
    "response": "GET /256k HTTP/1.1\r\nHost: slow\r\n\r\n",
}


def main(port, kind, count):
    clients = [begin(port, kind) for _ in range(count)]
    print("ready", flush=True)
    turns = 0
    while not ends_within(1 / count):
        turn(clients[turns % count], kind)
        turns += 1
    connected = ports_connected_to(port)
    print(sum(is_held(client, kind, connected) for client in clients), flush=True)


def begin(port, kind):
    client = socket.socket()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.connect(("127.0.0.1", port))
    client.setblocking(False)
    client.send(BEGIN[kind].encode())
    return client


def ends_within(seconds):
    return bool(select.select([sys.stdin], [], [], seconds)[0])


def turn(client, kind):
    try:
        if kind == "response":
            client.recv(1)
        else:
            client.send(b"x")
    except OSError:
        # Nothing to take yet, or cut off: is_held tells which.
        pass


def ports_connected_to(port):
    """The clients' ports of connections that the server has not ended. A client learns of an end after all that was sent before."""
    with open("/proc/net/tcp") as table:
        fields = [line.split() for line in table][1:]
    ends = [(local.split(":")[1], remote.split(":")[1]) for _, local, remote, state, *_ in fields if state == ESTABLISHED]
    return {int(remote, 16) for local, remote in ends if int(local, 16) == port}


def is_held(client, kind, connected):
    """Whether the server still waits for the client: has neither left, nor answered a request that has not ended."""
    return client.getsockname()[1] in connected and (kind == "response" or not is_answered(client))


def is_answered(client):
    try:
        return bool(client.recv(1, socket.MSG_PEEK))
    except OSError:
        return False


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
