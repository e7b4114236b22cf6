import csv
import io
import json
import logging
import os
import shutil
import tempfile
from pathlib import Path
from unittest import mock

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import OperationalError
from django.test import Client, RequestFactory, SimpleTestCase, TestCase, override_settings
from django.urls import clear_script_prefix, reverse

from BookStore.settings import secret_key_kept_in
from BookStore.wsgi import application
from books import catalogue, validators, views
from books.models import Author, Book

PNG = b'\x89PNG\r\n\x1a\n' + bytes(64)
JPEG = b'\xff\xd8\xff\xe0' + bytes(64)


def set_console_level(level):
    logging.getLogger('django').handlers[0].setLevel(level)


def setUpModule():
    set_console_level(logging.CRITICAL)  # or the errors that are provoked here would look like failures


def tearDownModule():
    set_console_level(logging.NOTSET)


def run(command, **options):
    out, err = io.StringIO(), io.StringIO()
    call_command(command, stdout=out, stderr=err, **options)
    return out.getvalue(), err.getvalue()


class ShopTestCase(TestCase):
    @classmethod
    def setUpTestData(cls):
        run('seed')


class PageTests(ShopTestCase):
    def test_first_page_has_ten_books_in_order_of_title(self):
        response = self.client.get('/')
        titles = [book.title for book in response.context['page']]
        self.assertEqual(len(titles), views.PAGE_SIZE)
        self.assertEqual(titles, list(Book.objects.values_list('title', flat=True)[:views.PAGE_SIZE]))
        self.assertContains(response, 'rel="next" href="?page=2"')
        self.assertNotContains(response, 'rel="prev"')

    def test_the_pages_together_show_each_book_once(self):
        slugs = []
        for number in range(1, self.client.get('/').context['page'].paginator.num_pages + 1):
            slugs += [book.slug for book in self.client.get('/', {'page': number}).context['page']]
        self.assertEqual(len(slugs), len(set(slugs)))
        self.assertEqual(set(slugs), set(Book.objects.values_list('slug', flat=True)))

    def test_a_page_beyond_the_end_is_the_last_one_and_nonsense_is_the_first(self):
        last = self.client.get('/', {'page': 999}).context['page']
        self.assertEqual(last.number, last.paginator.num_pages)
        self.assertEqual(self.client.get('/', {'page': 'x'}).context['page'].number, 1)

    def test_a_list_is_read_with_a_bounded_number_of_queries(self):
        with self.assertNumQueries(2):
            self.client.get('/')

    def test_search_finds_title_author_and_isbn(self):
        self.assertContains(self.client.get('/?q=moby'), 'Moby-Dick')
        self.assertContains(self.client.get('/', {'q': 'Brontë'}), 'Wuthering Heights')
        dracula = Book.objects.get(slug='dracula')
        hyphenated = dracula.isbn[:3] + '-' + dracula.isbn[3:]
        self.assertEqual([dracula], list(self.client.get('/', {'q': hyphenated}).context['page']))

    def test_search_understands_text_that_is_not_latin(self):
        self.assertContains(self.client.get('/', {'q': '聊斋'}), 'Strange Tales from a Chinese Studio')

    def test_search_keeps_its_text_from_page_to_page_and_escapes_it(self):
        response = self.client.get('/', {'q': 'e'})
        self.assertContains(response, 'href="?q=e&amp;page=2"')
        response = self.client.get('/', {'q': '<script>"&'})
        self.assertContains(response, 'Nothing found')
        self.assertNotContains(response, '<script>')

    def test_detail_shows_the_book_and_links_its_author(self):
        response = self.client.get('/books/les-miserables/')
        self.assertContains(response, 'Les Misérables')
        self.assertContains(response, 'href="/authors/victor-hugo/"')
        self.assertContains(response, 'csrfmiddlewaretoken')

    def test_author_page_lists_the_works_by_date(self):
        books = list(self.client.get('/authors/jane-austen/').context['books'])
        self.assertEqual(books[0].title, 'Sense and Sensibility')
        self.assertEqual(len(books), 4)

    def test_about(self):
        self.assertContains(self.client.get('/about/'), '<h1>About</h1>', html=True)

    def test_unknown_pages_are_404_in_the_style_of_the_site(self):
        for path in ('/books/no-such-book/', '/authors/nobody/', '/nowhere', '/static/none.css', '/media/none.png'):
            with self.subTest(path=path):
                response = self.client.get(path)
                self.assertContains(response, 'There is no such page', status_code=404)

    def test_pages_answer_head_without_a_body_and_refuse_post(self):
        response = self.client.head('/')
        self.assertEqual((response.status_code, response.content), (200, b''))
        self.assertEqual(self.client.post('/').status_code, 405)
        self.assertEqual(self.client.get('/books/emma/cover/').status_code, 405)


class CoverTests(ShopTestCase):
    def setUp(self):
        media = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, media)
        override = override_settings(MEDIA_ROOT=media)
        override.enable()
        self.addCleanup(override.disable)
        self.covers = os.path.join(media, 'covers')

    def upload(self, name, content, client=None, **more):
        data = dict(more, cover=SimpleUploadedFile(name, content))
        return (client or self.client).post('/books/emma/cover/', data)

    def stored(self):
        return sorted(os.listdir(self.covers)) if os.path.isdir(self.covers) else []

    def test_an_image_is_stored_shown_and_served(self):
        response = self.client.post('/books/emma/cover/', {'cover': SimpleUploadedFile('My É.PNG', PNG)}, follow=True)
        self.assertEqual(response.redirect_chain, [('/books/emma/', 302)])
        self.assertContains(response, 'the cover is stored')
        self.assertContains(response, 'src="/media/covers/emma.png"')
        served = self.client.get('/media/covers/emma.png')
        self.assertEqual(b''.join(served.streaming_content), PNG)
        self.assertEqual(served['Content-Type'], 'image/png')
        self.assertEqual(served['X-Content-Type-Options'], 'nosniff')
        served.close()

    def test_a_new_cover_replaces_the_old_file(self):
        self.upload('a.png', PNG)
        self.upload('b.jpg', JPEG)
        self.assertEqual(self.stored(), ['emma.jpg'])
        self.upload('c.jpg', JPEG + b'again')
        self.assertEqual(len(self.stored()), 1)
        self.assertEqual(Book.objects.get(slug='emma').cover.size, len(JPEG) + 5)

    def test_a_large_cover_goes_through_a_temporary_file(self):
        content = PNG + bytes(3 * 1024 * 1024)
        self.assertEqual(self.upload('large.png', content).status_code, 302)
        self.assertEqual(Book.objects.get(slug='emma').cover.size, len(content))

    def assertRefused(self, response, reason):
        self.assertContains(response, reason, status_code=400)
        self.assertEqual(self.stored(), [])
        self.assertEqual(Book.objects.get(slug='emma').cover.name, '')

    def test_other_extensions_are_refused(self):
        for name in ('cover.svg', 'cover.html', 'cover', 'cover.png.exe'):
            with self.subTest(name=name):
                self.assertRefused(self.upload(name, PNG), 'A cover must be one of')

    def test_content_that_is_not_what_the_name_says_is_refused(self):
        self.assertRefused(self.upload('cover.png', b'<html>'), 'This is not a PNG image')
        self.assertRefused(self.upload('cover.png', JPEG), 'This is not a PNG image')

    def test_an_empty_file_a_huge_file_and_no_file_are_refused(self):
        self.assertRefused(self.upload('cover.png', b''), 'empty')
        with mock.patch.object(validators, 'MAX_COVER_BYTES', 10):
            self.assertRefused(self.upload('cover.png', PNG), 'at most 5 MB')
        self.assertRefused(self.client.post('/books/emma/cover/'), 'This field is required')

    def test_upload_needs_the_csrf_token_of_the_form(self):
        client = Client(enforce_csrf_checks=True)
        self.assertEqual(self.upload('cover.png', PNG, client).status_code, 403)
        client.get('/books/emma/')
        token = client.cookies['csrftoken'].value
        response = self.upload('cover.png', PNG, client, csrfmiddlewaretoken=token)
        self.assertEqual(response.status_code, 302)

    def test_upload_for_an_unknown_book_is_404(self):
        self.assertEqual(self.client.post('/books/none/cover/').status_code, 404)


class SignatureTests(SimpleTestCase):
    def test_each_kind_of_image_is_known_by_its_first_bytes(self):
        webp = b'RIFF\x0a\x00\x00\x00WEBPVP8 '
        for name, content in (('a.gif', b'GIF89a...'), ('a.jpeg', JPEG), ('a.JPG', JPEG), ('a.png', PNG), ('a.webp', webp)):
            with self.subTest(name=name):
                validators.validate_cover(SimpleUploadedFile(name, content))

    def test_isbn_check_digit(self):
        validators.validate_isbn13('9780306406157')  # the worked example of the ISBN users' manual
        for wrong in ('9780306406158', '978030640615', 'abcdefghijklm', '9780306406157\n'):
            with self.subTest(isbn=wrong), self.assertRaises(ValidationError):
                validators.validate_isbn13(wrong)


class ApiTests(ShopTestCase):
    def test_list_is_paged(self):
        answer = self.client.get('/api/books/').json()
        self.assertEqual(answer['count'], Book.objects.count())
        self.assertEqual((answer['page'], len(answer['results'])), (1, 20))
        last = self.client.get('/api/books/', {'page': answer['pages']}).json()
        self.assertEqual(len(last['results']), answer['count'] - 20 * (answer['pages'] - 1))

    def test_list_is_filtered(self):
        def slugs(**query):
            return {book['slug'] for book in self.client.get('/api/books/', query).json()['results']}
        self.assertEqual(slugs(q='karenina'), {'anna-karenina'})
        self.assertEqual(slugs(author='herman-melville'), {'typee', 'moby-dick'})
        self.assertEqual(slugs(q='huckleberry', in_stock='1'), set())
        self.assertEqual(slugs(q='no such thing'), set())

    def test_detail_has_absolute_addresses_of_the_host_asked_for(self):
        book = self.client.get('/api/books/pride-and-prejudice/', HTTP_HOST='shop.example:8080').json()
        self.assertEqual(book['published'], '1813-01-28')
        self.assertEqual(book['price'], '9.50')
        self.assertEqual(book['author'], {'name': 'Jane Austen', 'slug': 'jane-austen'})
        self.assertEqual(book['url'], 'http://shop.example:8080/books/pride-and-prejudice/')
        self.assertIsNone(book['cover'])

    def test_addresses_follow_the_path_that_the_application_is_mounted_at(self):
        # Through the WSGI callable: it is what reads SCRIPT_NAME, and the test client goes round it.
        self.addCleanup(clear_script_prefix)
        environ = RequestFactory(SCRIPT_NAME='/shop').get('/api/books/emma/').environ
        start_response = mock.Mock()
        body = b''.join(application(environ, start_response))
        self.assertEqual(start_response.call_args[0][0], '200 OK')
        self.assertEqual(json.loads(body.decode('utf-8'))['url'], 'http://testserver/shop/books/emma/')

    def test_unknown_book_is_404_in_json(self):
        response = self.client.get('/api/books/none/')
        self.assertEqual((response.status_code, response.json()['error']), (404, 'no such book'))


class ExportTests(ShopTestCase):
    def test_csv_is_streamed_and_complete(self):
        response = self.client.get('/export/books.csv')
        self.assertTrue(response.streaming)
        self.assertFalse(response.has_header('Content-Length'))
        self.assertEqual(response['Content-Type'], 'text/csv; charset=utf-8')
        self.assertIn('books.csv', response['Content-Disposition'])
        rows = list(csv.DictReader(io.StringIO(b''.join(response.streaming_content).decode('utf-8'))))
        self.assertEqual([row['title'] for row in rows], list(Book.objects.values_list('title', flat=True)))
        self.assertIn('Les Misérables', {row['title'] for row in rows})

    def test_each_chunk_is_one_line_and_quotes_survive(self):
        Book.objects.filter(slug='emma').update(title='Emma, or "the match-maker"\nvol. 1')
        chunks = list(views.csv_lines())
        self.assertEqual(len(chunks), Book.objects.count() + 1)
        titles = [row[0] for row in csv.reader(io.StringIO(''.join(chunks), newline=''))]
        self.assertIn('Emma, or "the match-maker"\nvol. 1', titles)

    def test_nothing_is_read_before_the_first_line_is_wanted(self):
        with self.assertNumQueries(0):
            response = self.client.get('/export/books.csv')
        with self.assertNumQueries(1):
            list(response.streaming_content)


class HealthTests(TestCase):
    def test_ok_even_without_books(self):
        response = self.client.get('/healthz')
        self.assertEqual((response.status_code, response.content), (200, b'ok'))
        self.assertIn('no-store', response['Cache-Control'])

    def test_503_and_a_traceback_in_the_log_when_the_database_fails(self):
        failure = OperationalError('unable to open database file')
        with mock.patch('django.db.models.query.QuerySet.exists', side_effect=failure):
            with self.assertLogs('books', 'ERROR') as logs:
                response = self.client.get('/healthz')
        self.assertEqual(response.status_code, 503)
        self.assertIn('unable to open database file', logs.output[0])


@override_settings(BOOKSTORE_DEMO_ENDPOINTS=True)
class DemoTests(SimpleTestCase):
    def test_whoami_names_the_process_and_what_the_server_says_of_itself(self):
        answer = self.client.get('/whoami', **{'wsgi.multiprocess': True, 'wsgi.multithread': False}).json()
        self.assertEqual(answer, {'pid': os.getpid(), 'thread': 'MainThread', 'multiprocess': True, 'multithread': False})

    def test_boom_is_a_500_with_its_traceback_in_one_record(self):
        client = Client(raise_request_exception=False)
        with self.assertLogs('django.request', 'ERROR') as logs:
            response = client.get('/boom/')
        self.assertContains(response, 'Server error', status_code=500)
        self.assertEqual(len(logs.records), 1)
        self.assertIn('Traceback', logs.output[0])
        self.assertIn('raised on purpose by /boom/', logs.output[0])

    def test_slow_sleeps_as_long_as_asked(self):
        with mock.patch('time.sleep') as sleep:
            response = self.client.get('/slow/?seconds=2.5')
        sleep.assert_called_once_with(2.5)
        self.assertEqual(response.content, b'slept 2.5 seconds\n')

    def test_slow_refuses_what_it_cannot_sleep(self):
        with mock.patch('time.sleep') as sleep:
            for seconds in ('31', '-1', 'nan', 'inf', 'soon', ''):
                with self.subTest(seconds=seconds):
                    self.assertEqual(self.client.get('/slow/', {'seconds': seconds}).status_code, 400)
        sleep.assert_not_called()

    @override_settings(BOOKSTORE_DEMO_ENDPOINTS=False)
    def test_all_of_them_can_be_switched_off(self):
        for path in ('/whoami', '/boom/', '/slow/'):
            with self.subTest(path=path):
                self.assertEqual(self.client.get(path).status_code, 404)


class StaticTests(SimpleTestCase):
    def test_own_and_admin_files_are_served_without_debug(self):
        self.assertFalse(settings.DEBUG)
        for path in ('/static/books/style.css', '/static/admin/css/base.css'):
            with self.subTest(path=path):
                response = self.client.get(path)
                self.assertEqual((response.status_code, response['Content-Type']), (200, 'text/css'))
                self.assertEqual(len(b''.join(response.streaming_content)), int(response['Content-Length']))
                response.close()

    def test_a_browser_that_has_the_file_gets_304(self):
        first = self.client.get('/static/books/style.css')
        first.close()
        again = self.client.get('/static/books/style.css', HTTP_IF_MODIFIED_SINCE=first['Last-Modified'])
        self.assertEqual(again.status_code, 304)

    def test_no_way_out_of_the_directories(self):
        for path in ('/static/../BookStore/settings.py', '/media/../secret_key', '/media/%2e%2e/secret_key'):
            with self.subTest(path=path):
                self.assertEqual(self.client.get(path).status_code, 400)


class AdminTests(ShopTestCase):
    @classmethod
    def setUpTestData(cls):
        super().setUpTestData()
        run('demo_admin')

    def log_in(self):
        return self.client.post('/admin/login/?next=/admin/', {'username': 'admin', 'password': 'admin'})

    def test_log_in_through_the_form(self):
        self.assertRedirects(self.client.get('/admin/'), '/admin/login/?next=/admin/')
        self.assertRedirects(self.log_in(), '/admin/')
        self.assertContains(self.client.get('/admin/'), 'Books')

    def test_a_wrong_password_is_refused(self):
        response = self.client.post('/admin/login/', {'username': 'admin', 'password': 'wrong'})
        self.assertContains(response, 'Please enter the correct username and password')

    def test_books_and_authors_are_searched(self):
        self.log_in()
        self.assertContains(self.client.get('/admin/books/book/?q=tolstoy'), 'Anna Karenina')
        self.assertNotContains(self.client.get('/admin/books/book/?q=tolstoy'), 'Moby-Dick')
        self.assertContains(self.client.get('/admin/books/author/?q=verne'), 'Jules Verne')

    def book_form(self, **changes):
        book = Book.objects.get(slug='emma')
        fields = ('title', 'slug', 'isbn', 'published', 'price', 'stock', 'description')
        data = dict({name: getattr(book, name) for name in fields}, author=book.author_id)
        return self.client.post(reverse('admin:books_book_change', args=[book.pk]), dict(data, **changes))

    def test_a_book_whose_cover_file_is_lost_can_be_saved(self):
        self.log_in()
        Book.objects.filter(slug='emma').update(cover='covers/lost.png')
        self.assertRedirects(self.book_form(stock=77), '/admin/books/book/')
        emma = Book.objects.get(slug='emma')
        self.assertEqual((emma.stock, emma.cover.name), (77, 'covers/lost.png'))

    def test_the_admin_checks_covers_as_the_shop_does(self):
        self.log_in()
        response = self.book_form(cover=SimpleUploadedFile('cover.png', b'not an image'))
        self.assertContains(response, 'This is not a PNG image')


class CommandTests(TestCase):
    def test_seed_is_complete_and_changes_nothing_the_second_time(self):
        run('seed')
        self.assertGreaterEqual(Author.objects.count(), 12)
        self.assertGreaterEqual(Book.objects.count(), 30)
        self.assertEqual(Author.objects.count(), len(catalogue.AUTHORS))
        Book.objects.filter(slug='emma').update(stock=1234)
        out, _ = run('seed')
        self.assertIn('0 added', out)
        self.assertEqual(Book.objects.get(slug='emma').stock, 1234)

    def test_every_seeded_book_is_valid(self):
        run('seed')
        for book in Book.objects.all():
            with self.subTest(book=book.title):
                book.full_clean()

    def test_prepare_migrates_and_seeds(self):
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        with override_settings(BOOKSTORE_DATA=Path(directory)):
            out, _ = run('prepare')
        self.assertIn('migrations', out)
        self.assertTrue(Book.objects.exists())

    def test_demo_admin_warns_and_leaves_an_existing_user_alone(self):
        _, err = run('demo_admin')
        self.assertIn('WARNING', err)
        admin = get_user_model().objects.get(username='admin')
        admin.set_password('better')
        admin.save()
        out, err = run('demo_admin')
        self.assertIn('nothing changed', out)
        self.assertEqual(err, '')
        admin.refresh_from_db()
        self.assertTrue(admin.check_password('better'))


@override_settings(BOOKSTORE_DEMO_ENDPOINTS=True)
class SettingsTests(SimpleTestCase):
    def test_the_secret_key_is_made_once_and_for_its_owner_only(self):
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        path = os.path.join(directory, 'secret_key')
        key = secret_key_kept_in(path)
        self.assertGreaterEqual(len(key), 50)
        self.assertEqual(secret_key_kept_in(path), key)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)

    def test_the_log_of_django_reaches_the_console(self):
        handlers = logging.getLogger('django').handlers
        self.assertEqual([type(handler) for handler in handlers], [logging.StreamHandler])
        self.assertTrue(logging.getLogger('django.request').propagate)

    def test_json_answers_are_plain_ascii_on_the_wire(self):
        response = self.client.get('/whoami')
        self.assertEqual(response['Content-Type'], 'application/json')
        json.loads(response.content.decode('ascii'))
