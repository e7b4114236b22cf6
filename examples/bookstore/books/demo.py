"""Views that show the server at work: who answers, what a crash and a slow request look like."""

import functools
import os
import threading
import time

from django.conf import settings
from django.http import Http404, HttpResponse, HttpResponseBadRequest, JsonResponse
from django.views.decorators.cache import never_cache

LONGEST_SLEEP = 30


class Boom(Exception):
    """What /boom/ raises; nothing catches it."""


def demo_endpoint(view):
    @never_cache
    @functools.wraps(view)
    def wrapper(request):
        if not settings.BOOKSTORE_DEMO_ENDPOINTS:
            raise Http404('the demo endpoints are switched off')
        return view(request)
    return wrapper


@demo_endpoint
def whoami(request):
    return JsonResponse({
        'pid': os.getpid(),
        'thread': threading.current_thread().name,
        'multiprocess': request.META['wsgi.multiprocess'],
        'multithread': request.META['wsgi.multithread'],
    })


@demo_endpoint
def boom(request):
    raise Boom('raised on purpose by /boom/')


@demo_endpoint
def slow(request):
    try:
        seconds = float(request.GET.get('seconds', '1'))
    except ValueError:
        return HttpResponseBadRequest('seconds must be a number\n', content_type='text/plain')
    if not 0 <= seconds <= LONGEST_SLEEP:  # false for NaN as well
        return HttpResponseBadRequest('seconds must be from 0 to 30\n', content_type='text/plain')
    time.sleep(seconds)
    return HttpResponse('slept %g seconds\n' % seconds, content_type='text/plain')
