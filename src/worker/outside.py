"""What an application may import of rwsgi where rwsgi does not run it: in `manage.py`, in tests.

A worker has a module of this name of its own.
"""

__all__ = ["RequestTimeout", "request_id", "set_deadline"]


class RequestTimeout(Exception):
    """Raised by rwsgi in the thread of a request that has taken longer than `harakiri`."""


def request_id():
    """The name of the request that this thread works on: none."""
    return None


def set_deadline(seconds):
    """As in a thread that works on no request."""
    raise RuntimeError("rwsgi.set_deadline() is for the thread of a request, while it works on one")
