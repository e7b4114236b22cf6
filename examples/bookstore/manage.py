#!/usr/bin/env python3
import os
import sys


def main():
    os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'BookStore.settings')
    try:
        from django.core.management import execute_from_command_line
    except ImportError as error:
        raise ImportError('Django cannot be imported: is the virtual environment active?') from error
    execute_from_command_line(sys.argv)


if __name__ == '__main__':
    main()
