"""Settings of the BookStore example, for Django 3.2 to 6.0 and Python 3.6 and newer.

Everything that differs between machines comes from the environment:

    BOOKSTORE_DATA            directory of the database, covers and secret key (default: var/ beside manage.py)
    BOOKSTORE_DEBUG           1 for Django's debug pages (default: 0)
    BOOKSTORE_ALLOWED_HOSTS   host names, separated by commas (default: *)
    BOOKSTORE_SECRET_KEY      the secret key (default: generated once, kept in BOOKSTORE_DATA)
    BOOKSTORE_DEMO_ENDPOINTS  0 to switch off /whoami, /boom/ and /slow/ (default: 1)
"""

import fcntl
import importlib.util
import os
import secrets
from pathlib import Path

import django


def env_flag(name, default):
    return os.environ.get(name, default).strip().lower() in ('1', 'true', 'yes', 'on')


def secret_key_kept_in(path):
    # The lock is for the first start: several workers may import this at once, and all must get the same key.
    with os.fdopen(os.open(str(path), os.O_RDWR | os.O_CREAT, 0o600), 'r+', encoding='ascii') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        key = file.read()
        if not key:
            key = secrets.token_urlsafe(48)
            file.write(key)
        return key


BASE_DIR = Path(__file__).resolve().parent.parent

BOOKSTORE_DATA = Path(os.path.abspath(os.environ.get('BOOKSTORE_DATA') or str(BASE_DIR / 'var')))
BOOKSTORE_DATA.mkdir(parents=True, exist_ok=True)
BOOKSTORE_DEMO_ENDPOINTS = env_flag('BOOKSTORE_DEMO_ENDPOINTS', '1')

SECRET_KEY = os.environ.get('BOOKSTORE_SECRET_KEY') or secret_key_kept_in(BOOKSTORE_DATA / 'secret_key')
DEBUG = env_flag('BOOKSTORE_DEBUG', '0')

# Any Host header will do for an example that is reached by many names; a real site lists its own.
ALLOWED_HOSTS = os.environ.get('BOOKSTORE_ALLOWED_HOSTS', '*').split(',')

INSTALLED_APPS = [
    'django.contrib.admin',
    'django.contrib.auth',
    'django.contrib.contenttypes',
    'django.contrib.sessions',
    'django.contrib.messages',
    'django.contrib.staticfiles',
    'books',
]

MIDDLEWARE = [
    'django.middleware.security.SecurityMiddleware',
    'django.contrib.sessions.middleware.SessionMiddleware',
    'django.middleware.common.CommonMiddleware',
    'django.middleware.csrf.CsrfViewMiddleware',
    'django.contrib.auth.middleware.AuthenticationMiddleware',
    'django.contrib.messages.middleware.MessageMiddleware',
    'django.middleware.clickjacking.XFrameOptionsMiddleware',
]

ROOT_URLCONF = 'BookStore.urls'

TEMPLATES = [
    {
        'BACKEND': 'django.template.backends.django.DjangoTemplates',
        'DIRS': [],
        'APP_DIRS': True,
        'OPTIONS': {
            'context_processors': [
                'django.template.context_processors.request',
                'django.contrib.auth.context_processors.auth',
                'django.contrib.messages.context_processors.messages',
            ],
        },
    },
]

WSGI_APPLICATION = 'BookStore.wsgi.application'

DATABASES = {
    'default': {
        'ENGINE': 'django.db.backends.sqlite3',
        'NAME': str(BOOKSTORE_DATA / 'bookstore.sqlite3'),
        # Several processes share the file: wait for another one's write rather than fail with "database is locked".
        'OPTIONS': {'timeout': 20},
    }
}
if django.VERSION >= (5, 1):
    # Without it a transaction that reads before it writes is refused at once, whatever the timeout.
    DATABASES['default']['OPTIONS']['transaction_mode'] = 'IMMEDIATE'

DEFAULT_AUTO_FIELD = 'django.db.models.BigAutoField'

AUTH_PASSWORD_VALIDATORS = [
    {'NAME': 'django.contrib.auth.password_validation.UserAttributeSimilarityValidator'},
    {'NAME': 'django.contrib.auth.password_validation.MinimumLengthValidator'},
    {'NAME': 'django.contrib.auth.password_validation.CommonPasswordValidator'},
    {'NAME': 'django.contrib.auth.password_validation.NumericPasswordValidator'},
]

LANGUAGE_CODE = 'en-us'
TIME_ZONE = 'UTC'
USE_I18N = True
USE_TZ = True

STATIC_URL = 'static/'
STATIC_ROOT = str(BOOKSTORE_DATA / 'static')
MEDIA_URL = 'media/'
MEDIA_ROOT = str(BOOKSTORE_DATA / 'media')

# Below rwsgi each record is an entry of the journal with its fields, elsewhere a line.
HAS_JOURNAL = importlib.util.find_spec('rwsgi') is not None

LOGGING = {
    'version': 1,
    'disable_existing_loggers': False,
    'formatters': {
        # No time: the journal, or the log file of the server, stamps each record.
        'plain': {'format': '%(levelname)s %(name)s: %(message)s'},
    },
    'handlers': {
        'console': {'class': 'rwsgi.logging.JournalHandler'}
        if HAS_JOURNAL
        else {'class': 'logging.StreamHandler', 'formatter': 'plain'},
    },
    'root': {'handlers': ['console'], 'level': 'INFO'},
    'loggers': {
        # Replaces Django's own handlers, which say nothing on the console unless DEBUG is on;
        # django.request passes its tracebacks up to here.
        'django': {'handlers': ['console'], 'level': 'INFO', 'propagate': False},
    },
}
