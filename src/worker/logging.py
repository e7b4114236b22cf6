"""Records of `logging` as entries of rwsgi's log: in the journal, each with its fields.

    LOGGING = {
        "version": 1,
        "handlers": {"journal": {"class": "rwsgi.logging.JournalHandler"}},
        "root": {"handlers": ["journal"], "level": "INFO"},
    }

In a worker a record goes the way of all entries: over a queue, so that no request waits for it, to
the journal, or wherever the log of the instance goes. Elsewhere (`manage.py`, tests) it goes to the
journal if standard error does, and else to standard error, as text.
"""
import errno
import logging
import os
import re
import socket
import sys
import traceback

try:
    from rwsgi import _log
except ImportError:
    _log = None

__all__ = ["JournalHandler"]

# What `logging` puts into a record itself: all else was given as `extra`.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"asctime", "message", "taskName"}
_RESERVED = re.compile(
    r"(MESSAGE|MESSAGE_ID|PRIORITY|LOGGER|THREAD_NAME|WORKER_PID|(CODE|PYTHON|RWSGI|SYSLOG)_.*)\Z"
)
_LONGEST_NAME = 64
_LIBRARY = re.compile(r"<|.*(/lib/python3|/site-packages/|/dist-packages/)")
_JOURNAL = "/run/systemd/journal/socket"


class JournalHandler(logging.Handler):
    """`identifier` is SYSLOG_IDENTIFIER; without it that is the one of the process."""

    def __init__(self, level=logging.NOTSET, identifier=None):
        super().__init__(level)
        self.identifier = identifier
        self._journal = _Journal() if _log is None and _stderr_is_journal() else None

    def emit(self, record):
        try:
            message = self.format(record)
            if _log is None and self._journal is None:
                sys.stderr.write(message + "\n")
                return
            fields = _place(record) + _extra(record)
            if self.identifier:
                fields.append(("SYSLOG_IDENTIFIER", self.identifier))
            priority = _priority(record.levelno)
            thread = record.threadName or ""
            if _log is not None:
                _log(priority, record.name, thread, message, fields)
            else:
                self._journal.send(priority, record.name, thread, message, fields)
        except RecursionError:
            raise
        except Exception:
            self.handleError(record)


def _priority(level):
    for least, priority in ((50, 2), (40, 3), (30, 4), (25, 5), (20, 6)):
        if level >= least:
            return priority
    return 7


def _place(record):
    """Where it was raised, or, without an exception, where it was logged."""
    kind, error, trace = record.exc_info or (None, None, None)
    if kind is None:
        return [
            ("CODE_FILE", record.pathname),
            ("CODE_LINE", str(record.lineno)),
            ("CODE_FUNC", record.funcName or ""),
        ]
    module = kind.__module__
    name = kind.__qualname__
    fields = [
        ("PYTHON_EXCEPTION", name if module in ("builtins", "__main__") else module + "." + name),
        ("PYTHON_TRACEBACK", "".join(traceback.format_exception(kind, error, trace))),
    ]
    place = application = None
    while trace is not None:
        code = trace.tb_frame.f_code
        place = (code.co_filename, trace.tb_lineno, code.co_name)
        if not _LIBRARY.match(code.co_filename):
            application = place
        trace = trace.tb_next
    if place is not None:
        file, line, function = application or place
        fields += [("CODE_FILE", file), ("CODE_LINE", str(line)), ("CODE_FUNC", function)]
    return fields


def _extra(record):
    fields = []
    for name, value in vars(record).items():
        field = None if name in _OWN else _name(name)
        if field:
            fields.append((field, _text(value)))
    return fields


def _name(name):
    """As journald wants it: capitals, digits and underscores, a letter first."""
    name = re.sub("[^A-Z0-9_]", "_", str(name).upper())
    if not name.strip("_"):
        return None
    if not "A" <= name[0] <= "Z" or _RESERVED.match(name):
        name = "EXTRA_" + name.lstrip("_")
    return name[:_LONGEST_NAME]


def _text(value):
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "backslashreplace")
    try:
        return str(value)
    except Exception as error:
        return "<{} without text: {}>".format(type(value).__name__, type(error).__name__)


def _stderr_is_journal():
    """JOURNAL_STREAM names the file that descriptor 2 is (systemd.exec(5))."""
    try:
        stderr = os.fstat(2)
    except OSError:
        return False
    stream = "{}:{}".format(stderr.st_dev, stderr.st_ino)
    return os.environ.get("JOURNAL_STREAM") == stream and os.path.exists(_JOURNAL)


class _Journal:
    """journald by its own protocol, for processes that are not rwsgi's."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def send(self, priority, logger, thread, message, fields):
        head = [("MESSAGE", message), ("PRIORITY", str(priority))]
        head += [("LOGGER", logger), ("THREAD_NAME", thread)]
        if not any(name == "SYSLOG_IDENTIFIER" for name, _ in fields):
            program = os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] else "python"
            head.append(("SYSLOG_IDENTIFIER", program))
        entry = b"".join(_encode(name, value) for name, value in head + fields)
        try:
            self.socket.sendto(entry, _JOURNAL)
        except OSError as error:
            if error.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                raise
            self._send_as_file(entry)

    def _send_as_file(self, entry):
        import array
        import fcntl
        import tempfile

        # Python knows both from 3.8 on. Before, journald takes a file from there.
        can_seal = hasattr(os, "memfd_create") and hasattr(fcntl, "F_ADD_SEALS")
        if can_seal:
            number = os.memfd_create("journal-entry", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
            file = os.fdopen(number, "w+b", 0)
        else:
            file = tempfile.TemporaryFile(dir="/dev/shm", buffering=0)
        with file:
            file.write(entry)
            if can_seal:
                seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
                fcntl.fcntl(file.fileno(), fcntl.F_ADD_SEALS, seals | fcntl.F_SEAL_WRITE)
            fds = array.array("i", [file.fileno()])
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)]
            self.socket.sendmsg([b""], rights, 0, _JOURNAL)


def _encode(name, value):
    value = value.encode("utf-8", "backslashreplace")
    if b"\n" in value:
        return name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"
    return name.encode() + b"=" + value + b"\n"
