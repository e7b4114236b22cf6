from django.conf import settings
from django.contrib import admin
from django.contrib.staticfiles.views import serve as serve_static
from django.urls import include, path, re_path
from django.views.static import serve


def serve_media(request, path):
    return serve(request, path, document_root=settings.MEDIA_ROOT)


urlpatterns = [
    path('admin/', admin.site.urls),
    path('', include('books.urls')),
    # So that the example looks right with nothing in front of it and DEBUG off, Django hands out the files itself,
    # straight from the applications ("insecure" is Django's word for: not through a web server). A production site
    # runs collectstatic and lets nginx, or the static-map option of rwsgi, serve STATIC_ROOT and MEDIA_ROOT.
    re_path(r'^static/(?P<path>.+)$', serve_static, {'insecure': True}),
    re_path(r'^media/(?P<path>.+)$', serve_media),
]
