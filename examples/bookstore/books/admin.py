from django.contrib import admin

from books.forms import BookAdminForm
from books.models import Author, Book


@admin.register(Author)
class AuthorAdmin(admin.ModelAdmin):
    list_display = ['name', 'born', 'died']
    search_fields = ['name']
    prepopulated_fields = {'slug': ['name']}


@admin.register(Book)
class BookAdmin(admin.ModelAdmin):
    form = BookAdminForm
    list_display = ['title', 'author', 'isbn', 'published', 'price', 'stock']
    list_editable = ['price', 'stock']
    list_filter = ['author']
    list_select_related = ['author']
    search_fields = ['title', 'isbn', 'author__name']
    autocomplete_fields = ['author']
    prepopulated_fields = {'slug': ['title']}
