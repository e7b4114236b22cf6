"""Imports and answers as the files in its directory say."""
import os
import time

LABEL = open('label').read() if os.path.exists('label') else 'first'


def mood(kind):
    return open(kind).read() if os.path.exists(kind) else ''


def gate(name):
    open('entered-' + name, 'w').close()
    deadline = time.time() + 120
    while not os.path.exists('open-' + name) and time.time() < deadline:
        time.sleep(0.005)


if mood('import') == 'gate':
    gate('import')
if mood('import') == 'hang':
    while True:
        time.sleep(0.01)
if mood('import') == 'count':
    # Lazily: whoever is the third to import cannot.
    with open('imports', 'a') as file:
        file.write('.')
    if os.path.getsize('imports') >= 3:
        raise RuntimeError('no third one')


def probe(start_response):
    kind = mood('probe')
    if kind == 'hang':
        time.sleep(1000)
    if kind == 'crash':
        os.kill(os.getpid(), 9)
    if kind == 'raise':
        raise ValueError('not well')
    start_response('500 Oops' if kind == 'bad' else '204 No Content', [])
    return []


def application(environ, start_response):
    path = environ['PATH_INFO']
    if path == '/healthz':
        names = 'REMOTE_ADDR', 'HTTP_HOST', 'HTTP_USER_AGENT', 'REQUEST_METHOD'
        environ['wsgi.errors'].write('probed: %s\n' % [environ[name] for name in names])
        return probe(start_response)
    if path.startswith('/gate/'):
        gate(path[len('/gate/'):])
    start_response('200 OK', [])
    return [('%s %d' % (LABEL, os.getpid())).encode()]
