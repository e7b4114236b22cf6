"""Servers under programs that count: valgrind's callgrind and strace; and what these have written."""
import collections
import functools
import glob
import re
import socket
import subprocess

import probe

# How often it is counted until the worker's count is whole.
ATTEMPTS = 3
# No request costs fewer instructions.
LEAST = 1_000

Cost = collections.namedtuple("Cost", "all own locked allocations gil")

# Each ends with the lock of Python in the hands of the thread that calls it.
GIL = ("PyEval_RestoreThread", "PyEval_AcquireThread", "PyEval_AcquireLock")
ALLOCATIONS = ("malloc", "calloc", "realloc", "posix_memalign")

# One that other processors must not come between, of x86 and ARM: a lock that is taken, a reference that is counted.
LOCKED = re.compile(r" ([0-9a-f]+):\t(?:lock |xchg .*\(|(?:cas|swp|ldadd|ldset|ldclr|stadd|stl?xr)\w*\s)")


def under_callgrind(server, directory):
    # Not as arguments: these it reads again at the end, when rwsgi has written its title over them.
    server.env["VALGRIND_OPTS"] = f"--quiet --vgdb=no --trace-children=yes --dump-instr=yes --callgrind-out-file={directory}/count.%p"
    return under(server, "valgrind", "--tool=callgrind")


def under_strace(server, directory):
    return under(server, "strace", "-ff", "-qq", "--signal=none", "-o", f"{directory}/calls")


def under(server, *counter):
    """Which makes everything slow."""
    server.command, server.patience, server.cpu = [*counter, *server.command], (120, 60), "0,1"
    # Two runs are to differ in the requests alone.
    server.env["PYTHONHASHSEED"] = "0"
    return server


def ask(server, request, count):
    """On one connection for as long as the server keeps it."""
    server.wait_until_it_answers()
    connection = None
    for _ in range(count):
        connection = connection or socket.create_connection(("127.0.0.1", server.port), 60)
        body = b"x" * request.body
        answer = probe.ask_on(connection, server.port, request.path, request.method, request.headers, body)
        check(server, request, answer)
        if answer.is_last:
            connection.close()
            connection = None
    if connection:
        connection.close()


def ask_by_uwsgi(server, request, count, path):
    """On a connection for each, to a UNIX socket."""
    server.wait_until_it_answers()
    for _ in range(count):
        check(server, request, probe.ask_by_uwsgi(path, request.path, request.method, b"x" * request.body))


def check(server, request, answer):
    if (answer.status, answer.body) != (200, request.answer):
        server.fail(f"answers {request.name} with {answer.status} and {len(answer.body)} bytes")


def read_counts(directory):
    """Of each process that has ended by itself: one that was killed meanwhile has written a part only."""
    counts = [read_count(path) for path in glob.glob(f"{directory}/count.*")]
    return [count for count in counts if count]


def read_count(path):
    """Instructions, those of rwsgi's extension, how many of them are locked, and its allocations; and how often the GIL was
    taken. `None`: it is a part."""
    objects, functions = {}, {}
    total = own = held = allocations = gil = address = 0
    is_own = is_call = is_whole = False
    callee, locked = "", ()
    with open(path, errors="replace") as file:
        for line in file:
            key, equals, value = line.rstrip().partition("=")
            if equals and key == "ob":
                name = named(objects, value)
                is_own = name.endswith("_rwsgi.so")
                locked = locked_of(name) if is_own else locked
            elif equals and key == "cob":
                named(objects, value)
            elif equals and key == "fn":
                named(functions, value)
            elif equals and key == "cfn":
                callee = named(functions, value)
            elif equals and key == "calls":
                is_call, times = True, int(value.split()[0])
                allocations += times if is_own and callee in ALLOCATIONS else 0
                gil += times if callee in GIL else 0
            elif line.startswith("totals:"):
                is_whole = True
            elif line[0] in "0123456789+-*" and len(words := line.split()) > 2:
                # Of an instruction, and of a line of source.
                address = moved(address, words[0])
                spent = 0 if is_call else int(words[2])
                total, own, is_call = total + spent, own + (spent if is_own else 0), False
                held += spent if is_own and address in locked else 0
    return Cost(total, own, held, allocations, gil) if is_whole else None


def moved(address, words):
    """callgrind says where an instruction is, or how far it is from the last one: `0x1f0`, `+4`, `*`."""
    if words == "*":
        return address
    return int(words, 16) if words.startswith("0x") else address + int(words, 0)


@functools.lru_cache(None)
def locked_of(path):
    """The addresses of all locked instructions of a library."""
    text = subprocess.run(["objdump", "--disassemble", "--no-show-raw-insn", path], stdout=subprocess.PIPE, check=True,
                          universal_newlines=True).stdout
    return frozenset(int(address, 16) for address in LOCKED.findall(text))


def named(names, value):
    """callgrind says a name once and its number from then on: `(3) name`, `(3)`."""
    number, name = re.match(r"(\(\d+\))? ?(.*)", value).groups()
    return names.setdefault(number, name) if name else names.get(number, "")


def read_calls(directory):
    """The names of all system calls, in order, of each thread."""
    for path in glob.glob(f"{directory}/calls.*"):
        with open(path, errors="replace") as file:
            names = (line.partition("(")[0] for line in file)
            yield [name for name in names if re.fullmatch(r"\w+", name)]
