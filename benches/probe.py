"""One request, and its answer to the byte."""
import collections
import http.client
import socket

HTTPException = http.client.HTTPException
Answer = collections.namedtuple("Answer", "status body size chunked is_last")


class CountingSocket(socket.socket):
    received = 0

    def recv_into(self, *arguments):
        count = super().recv_into(*arguments)
        self.received += count
        return count


def ask(port, path, method="GET", headers=None, body=b"", timeout=5):
    """`size` of the answer is that of head and body on the wire."""
    with CountingSocket(socket.AF_INET, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(("127.0.0.1", port))
        answer = ask_on(connection, port, path, method, headers, body)
        return answer._replace(size=connection.received)


def ask_on(connection, port, path, method="GET", headers=None, body=b""):
    """One of the requests of a connection."""
    send_on(connection, port, path, method, headers, body)
    with response_on(connection, method) as response:
        return Answer(response.status, response.read(), None, bool(response.chunked), response.will_close)


def send_on(connection, port, path, method="GET", headers=None, body=b""):
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    connection.sendall("\r\n".join(lines + ["", ""]).encode() + body)


def ask_by_uwsgi(path, target, method="GET", body=b"", timeout=60):
    """As nginx asks a UNIX socket, with the variables of its uwsgi_params."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(path)
        connection.sendall(packet(target, method, len(body)) + body)
        with response_on(connection, method) as response:
            return Answer(response.status, response.read(), None, False, True)


def packet(target, method, length):
    variables = {
        "QUERY_STRING": "", "REQUEST_METHOD": method, "CONTENT_TYPE": "", "CONTENT_LENGTH": str(length or ""),
        "REQUEST_URI": target, "PATH_INFO": target, "DOCUMENT_ROOT": "/usr/share/nginx/html", "SERVER_PROTOCOL": "HTTP/1.1",
        "REQUEST_SCHEME": "http", "REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": "50000", "SERVER_PORT": "80", "SERVER_NAME": "",
        "HTTP_HOST": "127.0.0.1",
    }
    texts = [text.encode() for variable in variables.items() for text in variable]
    content = b"".join(len(text).to_bytes(2, "little") + text for text in texts)
    return b"\0" + len(content).to_bytes(2, "little") + b"\0" + content


def response_on(connection, method="GET"):
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    return response
