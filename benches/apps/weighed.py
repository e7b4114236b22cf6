"""The pages, and what the allocator says of this process. With LOSES set, hello world loses memory on purpose."""
import ctypes
import itertools
import os

import pages

LOSES = "LOSES" in os.environ
HELLOS = itertools.count()


class Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]


LIBC = ctypes.CDLL(None)
# From glibc 2.33 on; its numbers are those of all arenas.
LIBC.mallinfo2.restype = Mallinfo


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/heap":
        heap = LIBC.mallinfo2()
        text = b"%d %d" % (heap.uordblks + heap.hblkhd, len(os.listdir("/proc/self/fd")))
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))])
        return [text]
    if LOSES and path == "/":
        # malloc's least, once in 64 requests: 32 bytes, or those of a hole that is a little larger.
        if next(HELLOS) % 64 == 0:
            LIBC.malloc(1)
    return pages.application(environ, start_response)
