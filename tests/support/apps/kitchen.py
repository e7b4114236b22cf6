"""One WSGI application with a path for each behaviour. Runs on Python 3.6 and newer."""
import gc
import json
import os
import sys
import threading
import time
import weakref

PLAIN = [('Content-Type', 'text/plain')]


def application(environ, start_response):
    name = environ['PATH_INFO'].strip('/').split('/')[0] or 'ok'
    return globals().get('do_' + name, do_missing)(environ, start_response)


def say(environ, text):
    environ['wsgi.errors'].write(text + '\n')
    environ['wsgi.errors'].flush()


def gate(name):
    """Says in which process it is, and waits for leave to go on. Both are files."""
    with open('entering-' + name, 'w') as file:
        file.write(str(os.getpid()))
    os.rename('entering-' + name, 'entered-' + name)
    deadline = time.time() + 120
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


def do_strings(environ, start_response):
    """The variables of CGI that are no native strings, or not of latin-1 characters only."""
    wrong = [key for key, value in environ.items() if not key.startswith('wsgi.')
             and (type(key) is not str or type(value) is not str or any(ord(c) > 255 for c in value))]
    start_response('200 OK', PLAIN)
    return [','.join(wrong).encode(), b'.']


def do_mutate(environ, start_response):
    """Changes its environ in every way, and says whether that of an earlier request shows."""
    clean = 'kitchen.left' not in environ and environ.get('SCRIPT_NAME') == ''
    environ['kitchen.left'] = environ
    environ['SCRIPT_NAME'] = '/changed'
    for key in list(environ):
        if key.startswith('wsgi.'):
            del environ[key]
    start_response('200 OK', PLAIN)
    return [b'clean' if clean else b'soiled']


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


RAISED = {
    'exit': lambda: sys.exit('bye'),
    'interrupt': lambda: (_ for _ in ()).throw(KeyboardInterrupt('pressed')),
    'generator': lambda: (_ for _ in ()).throw(GeneratorExit('closed')),
    'stop': lambda: next(iter(())),
    'base': lambda: (_ for _ in ()).throw(BaseException('of all')),
}


def do_raise(environ, start_response):
    """Raises QUERY_STRING, WHAT,WHEN."""
    what, when = environ['QUERY_STRING'].split(',')
    if when == 'before':
        RAISED[what]()
    start_response('200 OK', PLAIN)
    if when == 'called':
        RAISED[what]()
    return Raising(RAISED[what], when)


class Raising:
    """An iterator that raises: no generator, which would turn StopIteration into something else."""
    def __init__(self, action, when):
        self.steps = [action] if when == 'first' else [lambda: b'begun', action]

    def __iter__(self):
        return self

    def __next__(self):
        return self.steps.pop(0)()


def do_die(environ, start_response):
    """Ends its process as QUERY_STRING says."""
    import ctypes
    how = environ['QUERY_STRING']
    if how == 'exit0':
        os._exit(0)
    if how == 'exit3':
        os._exit(3)
    ctypes.string_at(0)


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


def do_fails_after(environ, start_response):
    start_response('200 OK', PLAIN)
    end = time.monotonic() + int(environ['QUERY_STRING']) / 1e6
    yield b'begun'
    while time.monotonic() < end:
        pass
    raise ValueError('later')


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


def do_write_only(environ, start_response):
    write = start_response('200 OK', PLAIN)
    write(b'one,')
    write(b'')
    write(b'two')
    return []


def do_write_text(environ, start_response):
    start_response('200 OK', PLAIN)('text')
    return []


def do_write_long(environ, start_response):
    write = start_response('200 OK', [('Content-Length', '4')])
    write(b'abc')
    write(b'def')
    return [b'must not come']


def do_write_gated(environ, start_response):
    write = start_response('200 OK', PLAIN)
    write(b'before')
    gate(environ['QUERY_STRING'])
    write(b',after')
    return []


KEPT = []


def do_write_nothing(environ, start_response):
    start_response('200 OK', PLAIN)(b'')
    gate(environ['QUERY_STRING'])
    return []


def do_write_late(environ, start_response):
    """Writes into the response of the request before, too."""
    for write in KEPT:
        write(b'late')
    KEPT.append(start_response('200 OK', PLAIN))
    return (b'%d' % number for number in range(2))


def do_reason(environ, start_response):
    start_response('299 Quite Fine', PLAIN)
    return [b'fine']


class Text(str):
    pass


STARTS = {
    'bare': ('204', []),
    'reason': ('200 Fine, thanks', []),
    'text': (Text('200 OK'), [(Text('X-Name'), Text('value'))]),
    'status-int': (200, []),
    'status-bytes': (b'200 OK', []),
    'status-word': ('OK', []),
    'status-euro': ('200 \u20ac', []),
    'status-newline': ('200 OK\r\nX-Split: 1', []),
    'status-100': ('100 Continue', []),
    'headers-tuple': ('200 OK', (('X-Name', 'value'),)),
    'headers-iterator': ('200 OK', iter([('X-Name', 'value')])),
    'headers-dict': ('200 OK', {'X-Name': 'value'}),
    'pair-list': ('200 OK', [['X-Name', 'value']]),
    'pair-three': ('200 OK', [('X-Name', 'value', 'more')]),
    'pair-text': ('200 OK', ['ab']),
    'name-bytes': ('200 OK', [(b'X-Name', 'value')]),
    'value-bytes': ('200 OK', [('X-Name', b'value')]),
    'value-int': ('200 OK', [('X-Name', 1)]),
    'name-euro': ('200 OK', [('X-\u20ac', 'value')]),
    'name-colon': ('200 OK', [('X-Name:', 'value')]),
    'name-blank': ('200 OK', [('X Name', 'value')]),
    'name-empty': ('200 OK', [('', 'value')]),
    'name-newline': ('200 OK', [('X-Split\r\nX-Evil', 'value')]),
    'value-euro': ('200 OK', [('X-Name', 'secret \u20ac')]),
    'value-surrogate': ('200 OK', [('X-Name', '\udcff')]),
    'value-cr': ('200 OK', [('X-Name', 'a\rX-Split: 1')]),
    'value-lf': ('200 OK', [('X-Name', 'a\nX-Split: 1')]),
    'value-end': ('200 OK', [('X-Name', 'a\r\n')]),
    'value-nul': ('200 OK', [('X-Name', 'a\0b')]),
    'value-tab': ('200 OK', [('X-Name', 'a\tb')]),
    'connection': ('200 OK', [('CONNECTION', 'close')]),
    'keep-alive': ('200 OK', [('Keep-Alive', '300')]),
    'proxy-connection': ('200 OK', [('Proxy-Connection', 'close')]),
    'transfer-encoding': ('200 OK', [('transfer-encoding', 'chunked')]),
    'upgrade': ('200 OK', [('Upgrade', 'h2c')]),
    'trailer': ('200 OK', [('Trailer', 'X-Name')]),
    'length-word': ('200 OK', [('Content-Length', 'two')]),
    'length-sign': ('200 OK', [('Content-Length', '+2')]),
    'length-twice': ('200 OK', [('Content-Length', '2'), ('content-length', '2')]),
    'too-many': ('200 OK', [('X-Name', 'value')] * 40000),
    'cookies': ('200 OK', [('Set-Cookie', 'a=1'), ('X-Name', 'v'), ('Set-Cookie', 'b=2')]),
    'latin': ('200 caf\xe9', [('X-Name', 'caf\xe9')]),
    'own': ('200 OK', [('date', 'my date'), ('SERVER', 'my server')]),
}


def do_start(environ, start_response):
    start_response(*STARTS[environ['QUERY_STRING']])
    return [b'ok']


def do_one_argument(environ, start_response):
    start_response('200 OK')
    return [b'ok']


def do_changed_headers(environ, start_response):
    headers = [('X-First', '1')]
    start_response('200 OK', headers)
    headers[0] = ('X-Bad', 'a\r\nb')
    headers.append(('X-Second', '2'))
    return [b'ok']


def do_refused(environ, start_response):
    """Goes on in the way that QUERY_STRING says after a first call that was refused."""
    how = environ['QUERY_STRING']
    if how == 'replacement':
        start_response('200 OK', PLAIN)
    try:
        exc_info = (None, ValueError('first'), None) if how == 'replacement' else None
        start_response('200 OK', [('X-Bad', 'a\nb')], exc_info)
    except ValueError:
        if how == 'again':
            start_response('200 OK', PLAIN)
        if how == 'exc_info':
            start_response('503 Busy', PLAIN, sys.exc_info())
    return [b'went on']


def do_changes_its_mind(environ, start_response):
    """The head is not sent before there is a body: it can still be another one."""
    start_response('200 OK', PLAIN)
    yield b''
    gate(environ['QUERY_STRING'])
    try:
        raise ValueError('late')
    except ValueError:
        start_response('503 Busy', PLAIN, sys.exc_info())
    yield b'busy'


def do_bad_exc_info(environ, start_response):
    start_response('200 OK', PLAIN)
    yield b'begun'
    start_response('500 Oops', PLAIN, 'no tuple')


class Witness:
    """Lives in the frame of an exception: who keeps the exception keeps it."""


WITNESSES = []


def do_exc_info(environ, start_response):
    gc.disable()
    witness = Witness()
    WITNESSES.append(weakref.ref(witness))
    after = environ['QUERY_STRING'] == 'after'
    write = start_response('200 OK', PLAIN)
    if after:
        write(b'begun')
    try:
        raise ValueError('with a frame')
    except ValueError:
        start_response('503 Busy', PLAIN, sys.exc_info())
    return [b'replaced']


def do_witnesses(environ, start_response):
    start_response('200 OK', PLAIN)
    alive = [reference for reference in WITNESSES if reference() is not None]
    return [b'%d of %d' % (len(alive), len(WITNESSES))]


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


def do_repeated(environ, start_response):
    fields = [('X-A', '1'), ('set-cookie', 'a=b'), ('X-A', ' 2 '), ('Server', 'own'), ('Set-Cookie', 'c=\xe4'), ('x-a', '')]
    start_response('201 Made', PLAIN + fields[:int(environ['QUERY_STRING'])])
    return [b'abc']


def do_tuple(environ, start_response):
    start_response('200 OK', PLAIN)
    return (b'a', b'bc')


def do_whole(environ, start_response):
    start_response('200 OK', PLAIN)
    return [b'x' * int(environ['QUERY_STRING'])]


def do_generator(environ, start_response):
    start_response('200 OK', PLAIN)
    return (b'chunk%d,' % number for number in range(3))


def do_gated(environ, start_response):
    start_response('200 OK', PLAIN)
    yield b'before'
    gate(environ['QUERY_STRING'])
    yield b',after'


def do_blocks(environ, start_response):
    start_response('200 OK', PLAIN)
    for name in environ['QUERY_STRING'].split(','):
        yield b'first of %s,' % name.encode()
        yield b'second of %s,' % name.encode()
        gate(name)
    yield b'end'


def do_lines(environ, start_response):
    start_response('200 OK', PLAIN)
    for _ in range(int(environ['QUERY_STRING'])):
        yield b'a line of text\n'


def do_blanks(environ, start_response):
    start_response('200 OK', PLAIN)
    for chunk in b'', b'a', b'', b'', b'b\r\n\n', b'':
        yield chunk


def do_nothing_at_all(environ, start_response):
    start_response('200 OK', PLAIN)
    yield b''


class Sized:
    """As many chunks as QUERY_STRING says, and a length that tells it."""
    def __init__(self, environ, start_response):
        self.chunks = [b'chunk'] * int(environ['QUERY_STRING'])
        start_response('200 OK', PLAIN)

    def __len__(self):
        return len(self.chunks)

    def __iter__(self):
        return iter(self.chunks)


do_sized = Sized


class Watched:
    """Notes which of its attributes are asked for."""
    def __init__(self, environ):
        object.__setattr__(self, 'environ', environ)

    def __getattribute__(self, name):
        environ = object.__getattribute__(self, 'environ')
        say(environ, 'asked for ' + name)
        return object.__getattribute__(self, name)

    def __iter__(self):
        return iter([b'a', b'b'])


def do_watched(environ, start_response):
    start_response('200 OK', PLAIN)
    return Watched(environ)


def do_bytes(environ, start_response):
    start_response('200 OK', PLAIN)
    return b'no iterable of bytes'


def do_bad_iterator(environ, start_response):
    class Bad:
        def __iter__(self):
            raise TypeError('in __iter__')
    start_response('200 OK', PLAIN)
    return Bad()


def do_text_later(environ, start_response):
    start_response('200 OK', PLAIN)
    yield b'begun'
    yield 'text'


def do_short_stream(environ, start_response):
    start_response('200 OK', [('Content-Length', '10')])
    yield b'abc'


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


def do_stages(environ, start_response):
    start_response('200 OK', PLAIN)
    yield b'first,'
    gate(environ['QUERY_STRING'])
    yield b'second'


def do_large(environ, start_response):
    """As many lines as QUERY_STRING says, each with its number, bit by bit."""
    start_response('200 OK', PLAIN)
    lines = int(environ['QUERY_STRING'])
    for start in range(0, lines, 4096):
        numbers = range(start, min(start + 4096, lines))
        yield ''.join('%015d\n' % number for number in numbers).encode()


def do_send(environ, start_response):
    """Has the web server send a file: QUERY_STRING is the field that says so, and its value."""
    name, _, value = environ['QUERY_STRING'].partition('=')
    start_response('200 OK', PLAIN + [(name, value)])
    return [b'instead of the file']


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


class Filelike:
    """A file of which there is only what PEP 3333 demands."""
    def __init__(self, environ, text):
        self.environ = environ
        self.left = text

    def read(self, size=-1):
        size = len(self.left) if size < 0 else size
        block, self.left = self.left[:size], self.left[size:]
        return block

    def close(self):
        say(self.environ, 'closed the file')


def do_filelike(environ, start_response):
    wrapper = environ['wsgi.file_wrapper']
    length, _, text = environ['QUERY_STRING'].partition(',')
    unused = wrapper(Filelike(environ, b'nobody returns this'))
    start_response('200 OK', PLAIN + ([('Content-Length', length)] if length else []))
    file = Filelike(environ, text.encode() * 50000)
    file.read(len(text))
    assert iter(unused)
    return wrapper(file, 4096) if length else wrapper(file)


class Closing:
    def __init__(self, environ, start_response):
        self.environ = environ
        self.kind = environ['QUERY_STRING']
        length = [('Content-Length', '150')] if self.kind == 'enough' else []
        if self.kind != 'headless':
            start_response('200 OK', PLAIN + length)

    def __iter__(self):
        if self.kind == 'early':
            raise ValueError('early')
        yield b'' if self.kind == 'text' else b'x' * 100
        if self.kind == 'text':
            yield 'text'
        if self.kind == 'middle':
            raise ValueError('middle')
        while self.kind in ('endless', 'enough'):
            yield b'x' * 65536

    def close(self):
        say(self.environ, 'closed ' + self.kind)
        if self.kind == 'slow':
            gate('slow')
        if self.kind in ('closing', 'early'):
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


def do_sizes(environ, start_response):
    """Every way to say how much is to be read, and reads at and beyond the end."""
    source = environ['wsgi.input']
    got = [source.read(0), source.readline(0), source.readline(-1), source.readline(None),
           source.readlines(1), source.readlines(0), source.read(None), source.read(-1),
           source.read(), source.read(5), source.readline(), source.readline(3),
           source.readlines(), source.readlines(7), list(source)]
    start_response('200 OK', PLAIN)
    return [repr(got).encode()]


def do_complain(environ, start_response):
    errors = environ['wsgi.errors']
    errors.write('one line\n')
    errors.writelines(['two ', 'parts\n', 'and \u20ac \udcff\n'])
    errors.write('not ended')
    errors.flush()
    try:
        errors.write(b'bytes')
    except TypeError:
        errors.write('bytes are refused\n')
    start_response('200 OK', PLAIN)
    return []


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
