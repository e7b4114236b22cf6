import csv
import logging

from django.contrib import messages
from django.core.paginator import Paginator
from django.db import DatabaseError
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from books.forms import CoverForm
from books.models import Author, Book

PAGE_SIZE = 10

logger = logging.getLogger(__name__)


@require_safe
def book_list(request):
    query = request.GET.get('q', '').strip()
    books = Book.objects.select_related('author').matching(query)
    page = Paginator(books, PAGE_SIZE).get_page(request.GET.get('page'))
    return render(request, 'books/list.html', {'page': page, 'query': query})


@require_safe
def book_detail(request, slug):
    book = get_object_or_404(Book.objects.select_related('author'), slug=slug)
    return render(request, 'books/detail.html', {'book': book, 'form': CoverForm()})


@require_POST
def upload_cover(request, slug):
    # Open to every visitor, so that uploading can be tried without an account.
    book = get_object_or_404(Book.objects.select_related('author'), slug=slug)
    previous = book.cover.name
    form = CoverForm(request.POST, request.FILES, instance=book)
    if not form.is_valid():
        return render(request, 'books/detail.html', {'book': book, 'form': form}, status=400)
    form.save()
    if previous:
        book.cover.storage.delete(previous)
    logger.info('new cover of %s: %s, %d bytes', book.slug, book.cover.name, book.cover.size)
    messages.success(request, 'Thank you: the cover is stored.')
    return redirect(book)


@require_safe
def author_detail(request, slug):
    author = get_object_or_404(Author, slug=slug)
    books = author.books.select_related('author').order_by('published', 'title')
    return render(request, 'books/author.html', {'author': author, 'books': books})


@require_safe
def about(request):
    return render(request, 'books/about.html')


class Line:
    """The file that csv.writer writes to: it hands each line back instead of keeping it."""

    def write(self, line):
        return line


def csv_lines():
    writer = csv.writer(Line())
    yield writer.writerow(['title', 'author', 'isbn', 'published', 'price', 'stock'])
    for book in Book.objects.select_related('author').iterator(chunk_size=100):
        yield writer.writerow([book.title, book.author.name, book.isbn, book.published, book.price, book.stock])


@require_safe
def export_csv(request):
    response = StreamingHttpResponse(csv_lines(), content_type='text/csv; charset=utf-8')
    response['Content-Disposition'] = 'attachment; filename="books.csv"'
    return response


@never_cache
@require_safe
def healthz(request):
    try:
        # A query of a real table: SQLite would say yes to "SELECT 1" in a file that it has just created empty.
        Book.objects.exists()
    except DatabaseError:
        logger.exception('health check: the database does not answer')
        return HttpResponse('database unavailable\n', content_type='text/plain', status=503)
    return HttpResponse('ok', content_type='text/plain')
