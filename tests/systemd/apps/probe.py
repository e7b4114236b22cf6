"""The application of the scenario: it tells which code answers and which worker, it takes its time, it fails."""

import ctypes
import os
import time

VERSION = 'one'


def application(environ, start_response):
    path = environ['PATH_INFO']
    if path == '/slow':
        time.sleep(2)
    elif path == '/raise':
        raise ValueError('raised on purpose')
    elif path == '/segfault':
        ctypes.string_at(0)
    elif path == '/freeze':
        # A mutex that is locked twice, by PyDLL: without giving Python's lock back. No signal interrupts that.
        mutex = ctypes.create_string_buffer(64)
        ctypes.PyDLL(None).pthread_mutex_lock(mutex)
        ctypes.PyDLL(None).pthread_mutex_lock(mutex)
    elif path == '/eat':
        # More than any limit of the scenario, and touched.
        b'x' * (1 << 30)
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [('%s %d %d\n' % (VERSION, os.getpid(), os.getuid())).encode()]
