import datetime

from django.core.management.base import BaseCommand
from django.db import transaction
from django.utils.text import slugify

from books.catalogue import AUTHORS
from books.models import Author, Book
from books.validators import isbn13_check_digit


def demo_isbn(number):
    # Works of that age never had an ISBN. Prefix 979-9 is assigned to no country, so these belong to no real edition.
    first_twelve = '9799{:08d}'.format(number)
    return first_twelve + isbn13_check_digit(first_twelve)


def first_day(published):
    year, month, day = (published.split('-') + ['1', '1'])[:3]
    return datetime.date(int(year), int(month), int(day))


class Command(BaseCommand):
    help = 'Add the classic authors and books that are not in the database yet; what is there stays as it is.'

    def handle(self, *args, **options):
        added = 0
        number = 0
        with transaction.atomic():
            for name, born, died, bio, books in AUTHORS:
                author, created = Author.objects.get_or_create(
                    slug=slugify(name), defaults={'name': name, 'born': born, 'died': died, 'bio': bio})
                added += created
                for title, published, price, stock, description in books:
                    number += 1
                    _, created = Book.objects.get_or_create(slug=slugify(title), defaults={
                        'author': author,
                        'title': title,
                        'isbn': demo_isbn(number),
                        'published': first_day(published),
                        'price': price,
                        'stock': stock,
                        'description': description,
                    })
                    added += created
        self.stdout.write('seed: {} added; the shop has {} authors and {} books'.format(
            added, Author.objects.count(), Book.objects.count()))
