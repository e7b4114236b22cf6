import fcntl

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = 'Make the database ready to be served: migrate, then seed. May be run at any time, any number of times.'

    def handle(self, *args, **options):
        # Two migrations at once would both create the same tables; the second one waits and finds nothing to do.
        with open(str(settings.BOOKSTORE_DATA / 'prepare.lock'), 'w') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            call_command('migrate', interactive=False, verbosity=options['verbosity'], stdout=self.stdout)
            call_command('seed', stdout=self.stdout)
