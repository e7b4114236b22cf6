from django.core.paginator import Paginator
from django.http import JsonResponse
from django.views.decorators.http import require_safe

from books.models import Book

PAGE_SIZE = 20


def as_json(request, book):
    return {
        'title': book.title,
        'slug': book.slug,
        'author': {'name': book.author.name, 'slug': book.author.slug},
        'isbn': book.isbn,
        'published': book.published.isoformat(),
        'price': str(book.price),
        'stock': book.stock,
        'url': request.build_absolute_uri(book.get_absolute_url()),
        'cover': request.build_absolute_uri(book.cover.url) if book.cover else None,
    }


@require_safe
def book_list(request):
    """The books, filtered by ?q= (title, author or ISBN), ?author= (slug) and ?in_stock=1, in pages (?page=)."""
    books = Book.objects.select_related('author').matching(request.GET.get('q', ''))
    if request.GET.get('author'):
        books = books.filter(author__slug=request.GET['author'])
    if request.GET.get('in_stock') == '1':
        books = books.filter(stock__gt=0)
    page = Paginator(books, PAGE_SIZE).get_page(request.GET.get('page'))
    return JsonResponse({
        'count': page.paginator.count,
        'page': page.number,
        'pages': page.paginator.num_pages,
        'results': [as_json(request, book) for book in page],
    })


@require_safe
def book_detail(request, slug):
    try:
        book = Book.objects.select_related('author').get(slug=slug)
    except Book.DoesNotExist:
        return JsonResponse({'error': 'no such book', 'slug': slug}, status=404)
    return JsonResponse(dict(as_json(request, book), description=book.description))
