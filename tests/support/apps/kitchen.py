"""One WSGI application with a path for each behaviour. Runs on Python 3.6 and newer."""
import json
import os
import sys
import threading
import time

PLAIN = [('Content-Type', 'text/plain')]


def application(environ, start_response):
    name = environ['PATH_INFO'].strip('/') or 'ok'
    return globals().get('do_' + name, do_missing)(environ, start_response)


def say(environ, text):
    environ['wsgi.errors'].write(text + '\n')
    environ['wsgi.errors'].flush()


def gate(name):
    """Says in which process it is, and waits for leave to go on. Both are files."""
    with open('entering-' + name, 'w') as file:
        file.write(str(os.getpid()))
    os.rename('entering-' + name, 'entered-' + name)
    deadline = time.time() + 30
    while not os.path.exists('open-' + name):
        if time.time() > deadline:
            raise RuntimeError('nobody opened the gate ' + name)
        time.sleep(0.005)


def do_missing(environ, start_response):
    start_response('404 Not Found', PLAIN)
    return [b'missing']


def do_ok(environ, start_response):
    start_response('200 OK', PLAIN)
    return [b'ok']


def do_pid(environ, start_response):
    start_response('200 OK', PLAIN)
    return [str(os.getpid()).encode()]


def do_environ(environ, start_response):
    def plain(value):
        if isinstance(value, (str, bool, int)):
            return value
        if isinstance(value, tuple):
            return list(value)
        return type(value).__name__
    start_response('200 OK', [('Content-Type', 'application/json')])
    text = json.dumps({key: plain(value) for key, value in environ.items()})
    exact = 'dict' if type(environ) is dict else 'other'
    return [json.dumps({'type': exact, 'environ': json.loads(text)}).encode()]


def do_gate(environ, start_response):
    gate(environ['QUERY_STRING'])
    start_response('200 OK', PLAIN)
    return [threading.current_thread().name.encode()]


def do_team(environ, start_response):
    """Returns once QUERY_STRING requests run in this process at the same time."""
    wanted = int(environ['QUERY_STRING'])
    with TEAM:
        global HERE
        HERE += 1
        TEAM.notify_all()
        together = TEAM.wait_for(lambda: HERE >= wanted, 10)
    start_response('200 OK' if together else '503 Alone', PLAIN)
    return [str(os.getpid()).encode()]


HERE = 0
TEAM = threading.Condition()


def do_error(environ, start_response):
    raise KeyError('on purpose')


# start_response

def do_twice(environ, start_response):
    start_response('200 OK', PLAIN)
    start_response('201 Created', PLAIN)
    return [b'twice']


def do_replace(environ, start_response):
    start_response('200 OK', [('X-First', '1')])
    try:
        raise ValueError('replaced')
    except ValueError:
        start_response('503 Busy', [('X-Second', '2')], sys.exc_info())
    return [b'replaced']


def do_after_head(environ, start_response):
    start_response('200 OK', PLAIN)
    yield b'begun'
    try:
        raise ValueError('after the head')
    except ValueError:
        start_response('500 Oops', PLAIN, sys.exc_info())
    yield b'must not come'


def do_bad_status(environ, start_response):
    start_response('OK', PLAIN)
    return [b'bad']


def do_bad_value(environ, start_response):
    start_response('200 OK', [('X-Split', 'a\r\nSet-Cookie: evil=1')])
    return [b'bad']


def do_hop(environ, start_response):
    start_response('200 OK', [('Transfer-Encoding', 'chunked')])
    return [b'bad']


def do_write(environ, start_response):
    write = start_response('200 OK', PLAIN)
    write(b'one,')
    write(b'two,')
    return [b'three']


def do_reason(environ, start_response):
    start_response('299 Quite Fine', PLAIN)
    return [b'fine']


def do_nothing(environ, start_response):
    return [b'no head']


def do_late(environ, start_response):
    def chunks():
        start_response('201 Created', [('X-Late', 'yes')])
        yield b'late'
    return chunks()


# bodies

def do_list(environ, start_response):
    start_response('200 OK', PLAIN)
    return [b'a', b'', b'bc']


def do_tuple(environ, start_response):
    start_response('200 OK', PLAIN)
    return (b'a', b'bc')


def do_generator(environ, start_response):
    start_response('200 OK', PLAIN)
    return (b'chunk%d,' % number for number in range(3))


def do_empty(environ, start_response):
    start_response('200 OK', PLAIN)
    return []


def do_text(environ, start_response):
    start_response('200 OK', PLAIN)
    return ['text']


def do_none(environ, start_response):
    start_response('200 OK', PLAIN)
    return None


def do_mid(environ, start_response):
    start_response('200 OK', PLAIN)
    yield b'begun'
    raise ValueError('in the middle')


def do_short(environ, start_response):
    start_response('200 OK', [('Content-Length', '10')])
    return [b'abc']


def do_long(environ, start_response):
    start_response('200 OK', [('Content-Length', '2')])
    return [b'abc', b'def']


def do_204(environ, start_response):
    start_response('204 No Content', [])
    return [b'']


def do_304(environ, start_response):
    start_response('304 Not Modified', [('ETag', '"x"')])
    return [b'not sent']


def do_file(environ, start_response):
    start_response('200 OK', PLAIN)
    return environ['wsgi.file_wrapper'](open(__file__, 'rb'))


class Closing:
    def __init__(self, environ, start_response):
        self.environ = environ
        self.kind = environ['QUERY_STRING']
        if self.kind != 'headless':
            start_response('200 OK', PLAIN)

    def __iter__(self):
        if self.kind == 'early':
            raise ValueError('early')
        yield b'' if self.kind == 'text' else b'x' * 100
        if self.kind == 'text':
            yield 'text'
        if self.kind == 'middle':
            raise ValueError('middle')
        while self.kind == 'endless':
            yield b'x' * 65536

    def close(self):
        say(self.environ, 'closed ' + self.kind)
        if self.kind == 'closing':
            raise ValueError('closing')


do_closing = Closing


# input

def do_echo(environ, start_response):
    body = environ['wsgi.input'].read()
    start_response('200 OK', [('X-Length', environ.get('CONTENT_LENGTH', '-'))])
    return [body]


def parts(environ, start_response):
    source = environ['wsgi.input']
    kind = environ['QUERY_STRING']
    if kind == 'read':
        got = list(iter(lambda: source.read(3), b''))
    elif kind == 'readline':
        got = list(iter(source.readline, b''))
    elif kind == 'readline4':
        got = list(iter(lambda: source.readline(4), b''))
    elif kind == 'readlines':
        got = source.readlines()
    else:
        got = list(source)
    got.append(source.read())
    got.append(source.read(10))
    start_response('200 OK', PLAIN)
    return [b'|'.join(got)]


do_parts = parts


def do_count(environ, start_response):
    open('entered-count', 'w').close()
    total = 0
    try:
        for block in iter(lambda: environ['wsgi.input'].read(65536), b''):
            total += len(block)
    except OSError:
        say(environ, 'upload broken')
        raise
    say(environ, 'upload complete')
    start_response('200 OK', PLAIN)
    return [str(total).encode()]


def do_gated_echo(environ, start_response):
    gate(environ['QUERY_STRING'])
    return do_echo(environ, start_response)
