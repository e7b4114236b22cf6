import os

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.urls import reverse

from books.validators import validate_isbn13


def cover_path(book, filename):
    # Named after the book, not as the visitor calls it: safe in any locale and file system.
    return 'covers/{}{}'.format(book.slug, os.path.splitext(filename)[1].lower())


class Author(models.Model):
    name = models.CharField(max_length=120)
    slug = models.SlugField(max_length=140, unique=True)
    born = models.PositiveSmallIntegerField('year of birth')
    died = models.PositiveSmallIntegerField('year of death', null=True, blank=True)
    bio = models.TextField(blank=True)

    class Meta:
        ordering = ['name']

    def __str__(self):
        return self.name

    def get_absolute_url(self):
        return reverse('books:author', args=[self.slug])


class BookQuerySet(models.QuerySet):
    def matching(self, text):
        text = text.strip()
        if not text:
            return self
        return self.filter(
            Q(title__icontains=text) | Q(author__name__icontains=text) | Q(isbn=text.replace('-', ''))
        )


class Book(models.Model):
    author = models.ForeignKey(Author, on_delete=models.PROTECT, related_name='books')
    title = models.CharField(max_length=200)
    slug = models.SlugField(max_length=220, unique=True)
    isbn = models.CharField('ISBN', max_length=13, unique=True, validators=[validate_isbn13])
    published = models.DateField(help_text='First edition; 1 January where only the year is known.')
    price = models.DecimalField(max_digits=7, decimal_places=2, validators=[MinValueValidator(0)])
    stock = models.PositiveIntegerField(default=0)
    description = models.TextField(blank=True)
    cover = models.FileField(upload_to=cover_path, blank=True)

    objects = BookQuerySet.as_manager()

    class Meta:
        ordering = ['title', 'pk']

    def __str__(self):
        return self.title

    def get_absolute_url(self):
        return reverse('books:detail', args=[self.slug])
