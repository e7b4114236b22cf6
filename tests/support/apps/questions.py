"""Answers questions, which are Python expressions: the same application under uWSGI and under rwsgi."""

import json
import os
import sys
import time

import uwsgi

uwsgi.register_signal(30, "worker1", lambda number: None)


def known(text):
    """Without what differs from run to run."""
    for value, name in [(uwsgi.hostname.decode(), "HOST"), (uwsgi.version.decode(), "VERSION")]:
        text = text.replace("'%s'" % value, "'%s'" % name)
    return text


def answer(question, environ):
    try:
        return known(repr(eval(question, globals(), {"environ": environ})))
    except Exception as error:
        return type(error).__name__


def application(environ, start_response):
    if environ["PATH_INFO"] == "/raise":
        raise KeyError("x")
    if environ["PATH_INFO"] == "/slow":
        time.sleep(60)
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", [("Content-Type", "application/json")])
    questions = json.loads(body.decode() or "[]")
    return [json.dumps([answer(question, environ) for question in questions]).encode()]
