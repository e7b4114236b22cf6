"""What libraries in use do that a sandbox could forbid: each path is one, its answer what it did."""

import ctypes
import importlib
import io
import os
import sqlite3
import subprocess
import tempfile


def uses_ctypes():
    """Callbacks are code that is made at run time."""
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
    numbers = (ctypes.c_int * 3)(3, 1, 2)
    ctypes.CDLL(None).qsort(numbers, 3, ctypes.sizeof(ctypes.c_int), compare(lambda a, b: a[0] - b[0]))
    return list(numbers)


def uses_pillow():
    """Foreign code with its own memory: draws, compresses, reads again."""
    image = importlib.import_module('PIL.Image')
    data = io.BytesIO()
    image.new('RGB', (640, 480), (200, 10, 10)).resize((64, 48)).save(data, 'JPEG')
    data.seek(0)
    return image.open(data).size


def uses_psycopg():
    """Nobody listens there, which is what it has to say, after it has asked the network."""
    psycopg2 = importlib.import_module('psycopg2')
    try:
        psycopg2.connect(host='127.0.0.1', port=9, dbname='x', user='x', connect_timeout=2)
    except psycopg2.OperationalError as error:
        return 'refused' in str(error)
    return 'connected'


def uses_django():
    """A database in a directory of the instance, a password hash, a template."""
    conf = importlib.import_module('django.conf')
    if not conf.settings.configured:
        name = os.path.join(os.environ['STATE_DIRECTORY'], 'libraries.sqlite3')
        engine = {'ENGINE': 'django.db.backends.sqlite3', 'NAME': name}
        templates = [{'BACKEND': 'django.template.backends.django.DjangoTemplates'}]
        conf.settings.configure(DATABASES={'default': engine}, TEMPLATES=templates, SECRET_KEY='x')
        importlib.import_module('django').setup()
    hashers = importlib.import_module('django.contrib.auth.hashers')
    engines = importlib.import_module('django.template').engines
    connection = importlib.import_module('django.db').connection
    with connection.cursor() as cursor:
        cursor.execute('CREATE TABLE IF NOT EXISTS t (n INTEGER)')
        cursor.execute('SELECT count(*) FROM t')
        count = cursor.fetchone()[0]
    text = engines['django'].from_string('{{ n }}').render({'n': count})
    return [text, hashers.check_password('x', hashers.make_password('x'))]


def uses_system():
    """Processes, temporary files, locks between processes, addresses, TLS, random bytes."""
    lock = importlib.import_module('multiprocessing').Lock()
    with lock, tempfile.TemporaryFile() as file:
        file.write(os.urandom(8))
    socket = importlib.import_module('socket')
    socket.getaddrinfo('127.0.0.1', 80)
    ssl = importlib.import_module('ssl')
    ssl.create_default_context()
    sqlite3.connect(':memory:').execute('SELECT 1')
    return subprocess.check_output(['/bin/echo', 'child']).decode().strip()


LIBRARIES = {
    '/ctypes': uses_ctypes,
    '/pillow': uses_pillow,
    '/psycopg': uses_psycopg,
    '/django': uses_django,
    '/system': uses_system,
}


def application(environ, start_response):
    answer = repr(LIBRARIES[environ['PATH_INFO']]()).encode()
    start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', str(len(answer)))])
    return [answer]
