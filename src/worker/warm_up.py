"""A request that no client has sent."""
import io


def ask(application, environ):
    """The status of the answer, of which nothing else is kept."""
    said = [""]

    def start_response(status, headers, exc_info=None):
        said[0] = status
        return lambda data: None

    environ["wsgi.input"] = io.BytesIO()
    body = application(environ, start_response)
    try:
        for _ in body:
            pass
    finally:
        if hasattr(body, "close"):
            body.close()
    return said[0]
