"""Decorators of uWSGI's module of this name. Those that rwsgi cannot do say so when they are used."""
import functools
import threading

import uwsgi

postfork_chain = []


def postfork_chain_hook():
    """Calls what was decorated with `postfork`, in that order."""
    for function in postfork_chain:
        function()


uwsgi.post_fork_hook = postfork_chain_hook


def postfork(what):
    """`@postfork`: to be called in each worker, before it serves. `@postfork(2)`: only in worker 2."""
    if callable(what):
        postfork_chain.append(what)
        return what

    def decorate(function):
        def in_one_worker():
            if uwsgi.worker_id() == what:
                function()

        postfork_chain.append(in_one_worker)
        return function

    return decorate


def get_free_signal():
    """The lowest signal that has no handler in this process."""
    for signum in range(256):
        if not uwsgi.signal_registered(signum):
            return signum
    raise Exception("all 256 signals of the uwsgi module have handlers")


class signal:
    """`@signal(17, target="workers")`: the function is the handler of a signal."""

    def __init__(self, num, target=""):
        self.num = num
        self.target = target

    def __call__(self, function):
        uwsgi.register_signal(self.num, self.target, function)
        self.begin()
        return function

    def begin(self):
        """Has the signal be sent; here others do that."""


class _Sent(signal):
    """A handler whose signal is sent by what `begin` asks for."""

    def __init__(self, *what, signum=None, target=""):
        super().__init__(signum, target)
        self.what = what

    def __call__(self, function):
        if self.num is None:
            self.num = get_free_signal()
        return super().__call__(function)


class timer(_Sent):
    """`@timer(30)`: every 30 seconds."""

    def __init__(self, secs, **where):
        super().__init__(secs, **where)

    def begin(self):
        uwsgi.add_timer(self.num, *self.what)


class rbtimer(_Sent):
    """`@rbtimer(30)`: the same."""

    def __init__(self, secs, **where):
        super().__init__(secs, **where)

    def begin(self):
        uwsgi.add_rb_timer(self.num, *self.what)


class cron(_Sent):
    """`@cron(59, 3, -1, -1, -1)`: at 3:59 every day."""

    def __init__(self, minute, hour, day, month, dayweek, **where):
        super().__init__(minute, hour, day, month, dayweek, **where)

    def begin(self):
        uwsgi.add_cron(self.num, *self.what)


class filemon(_Sent):
    """`@filemon("/etc/motd")`: when that file changes."""

    def __init__(self, fsobj, **where):
        super().__init__(fsobj, **where)

    def begin(self):
        uwsgi.add_file_monitor(self.num, *self.what)


def lock(function):
    """Runs in one thread of all workers at a time: with lock 0."""

    @functools.wraps(function)
    def locked(*arguments, **keywords):
        uwsgi.lock()
        try:
            return function(*arguments, **keywords)
        finally:
            uwsgi.unlock()

    return locked


def thread(function):
    """Each call runs in a daemon thread of its own."""

    @functools.wraps(function)
    def start(*arguments, **keywords):
        threading.Thread(target=function, args=arguments, kwargs=keywords, daemon=True).start()
        return function

    return start


def harakiri(seconds):
    """The request may take `seconds` from the call on; afterwards `harakiri` counts anew."""

    def decorate(function):
        @functools.wraps(function)
        def limited(*arguments, **keywords):
            uwsgi.set_user_harakiri(seconds)
            try:
                return function(*arguments, **keywords)
            finally:
                uwsgi.set_user_harakiri(0)

        return limited

    return decorate


def _missing(name, like):
    def refuse(*_arguments, **_keywords):
        try:
            getattr(uwsgi, like)()
        except NotImplementedError as error:
            reason = str(error).split(": ", 1)[-1]
        raise NotImplementedError("uwsgidecorators.%s: %s" % (name, reason))

    refuse.__name__ = name
    return refuse


def _missing_when_called(name, like):
    # Libraries decorate when they are imported; whether somebody calls that is another question.
    refuse = _missing(name, like)

    def decorate(function=None, *_arguments, **_keywords):
        if not callable(function):
            return decorate

        @functools.wraps(function)
        def call(*_arguments, **_keywords):
            refuse()

        call.spool = call
        return call

    decorate.__name__ = name
    return decorate


for _name in ("spool", "spoolraw", "spoolforever"):
    globals()[_name] = _missing_when_called(_name, "spool")

for _like, _names in [
    ("mule_msg", ("mule", "mulefunc", "mulemsg", "mulemsg_dispatcher", "mule_msg_hook")),
    ("farm_msg", ("farm", "farm_loop")),
    ("rpc", ("rpc", "erlang")),
]:
    for _name in _names:
        globals()[_name] = _missing(_name, _like)

__all__ = [name for name in list(globals()) if not name.startswith("_")]
__all__ = [name for name in __all__ if name not in ("functools", "threading")]
