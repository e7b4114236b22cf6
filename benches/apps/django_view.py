"""Django: one view behind three of its middlewares, nothing that waits, and no database."""
import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path

from rows import rows

settings.configure(
    ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="of a benchmark", LOGGING_CONFIG=None,
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware"])
django.setup()


def books(request):
    return JsonResponse(rows())


urlpatterns = [path("books/", books)]
application = get_wsgi_application()
