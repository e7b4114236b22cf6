from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = 'Create the user admin with the password admin, to try the admin pages on a machine that nobody else reaches.'

    def handle(self, *args, **options):
        users = get_user_model().objects
        if users.filter(username='admin').exists():
            self.stdout.write('There is a user admin already; nothing changed.')
            return
        users.create_superuser(username='admin', email='', password='admin')
        self.stderr.write('WARNING: anyone can log in to /admin/ as admin with the password admin. Change it by '
                          '"manage.py changepassword admin" before another machine can reach this site.')
