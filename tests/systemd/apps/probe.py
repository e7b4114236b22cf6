"""The application of the scenario: it tells which code answers and which worker, it takes its time, it fails."""

import os
import time

VERSION = 'one'


def application(environ, start_response):
    path = environ['PATH_INFO']
    if path == '/slow':
        time.sleep(2)
    elif path == '/raise':
        raise ValueError('raised on purpose')
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [('%s %d\n' % (VERSION, os.getpid())).encode()]
