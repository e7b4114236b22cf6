"""Asks the settings of a Django project, and says what they are as JSON in the last line."""
import importlib
import json
import os
import sys

directory, name = sys.argv[1:3]
os.chdir(directory)
sys.path.insert(0, directory)
os.environ["DJANGO_SETTINGS_MODULE"] = name
settings = importlib.import_module("django.conf").settings


def text(key):
    value = getattr(settings, key, None)
    return os.fspath(value) if value else None


keys = ("WSGI_APPLICATION", "STATIC_URL", "STATIC_ROOT", "MEDIA_ROOT")
found = dict((key, text(key)) for key in keys)
found["DEBUG"] = bool(getattr(settings, "DEBUG", False))
found["ALLOWED_HOSTS"] = [str(host) for host in getattr(settings, "ALLOWED_HOSTS", [])]
databases = getattr(settings, "DATABASES", None) or {}
found["SQLITE"] = [
    os.fspath(database["NAME"])
    for database in databases.values()
    if str(database.get("ENGINE", "")).endswith(("sqlite3", "spatialite"))
    and ":memory:" not in str(database.get("NAME", ":memory:"))
]
print("\n" + json.dumps(found))
