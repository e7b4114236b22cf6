from django.urls import path

from books import api, demo, views

app_name = 'books'

urlpatterns = [
    path('', views.book_list, name='list'),
    path('books/<slug:slug>/', views.book_detail, name='detail'),
    path('books/<slug:slug>/cover/', views.upload_cover, name='cover'),
    path('authors/<slug:slug>/', views.author_detail, name='author'),
    path('about/', views.about, name='about'),
    path('export/books.csv', views.export_csv, name='export'),
    path('healthz', views.healthz, name='healthz'),
    path('api/books/', api.book_list, name='api-list'),
    path('api/books/<slug:slug>/', api.book_detail, name='api-detail'),
    path('whoami', demo.whoami, name='whoami'),
    path('boom/', demo.boom, name='boom'),
    path('slow/', demo.slow, name='slow'),
]
