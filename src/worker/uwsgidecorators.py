"""Decorators of uWSGI's module of this name, as far as rwsgi has what is behind them."""
import functools
import threading

import uwsgi

__all__ = ["harakiri", "postfork", "postfork_chain", "postfork_chain_hook", "thread"]

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
