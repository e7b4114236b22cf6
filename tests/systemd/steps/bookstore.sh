# A Django project: alone, and behind nginx with the configuration of packaging/examples.
# shellcheck shell=bash disable=SC2154

has_django() {
    inside python3 -c 'import django, sys; sys.exit(django.VERSION < (3, 2))' 2>/dev/null
}

# The project with the uwsgi.ini from its root; what it stores, it stores in a directory of its own.
bookstore_serves() {
    mkdir -p "$files/srv"
    cp -R "$root/examples/bookstore" "$files/srv/"
    inside chown -R rwsgi:rwsgi /srv/bookstore
    bookstore_command prepare
    sed -e 's|%d|/srv/bookstore|' -e 's/127.0.0.1:8000/127.0.0.1:8001/' "$root/examples/bookstore/uwsgi.ini" |
        put /etc/rwsgi/bookstore.ini
    inside systemctl start rwsgi@bookstore
    contains "$(fetch 8001 /)" '<html'
    contains "$(fetch 8001 /admin/login/)" csrf
}

bookstore_command() {
    inside runuser -u rwsgi -- python3 /srv/bookstore/manage.py "$@"
}

bookstore_has_four_workers() {
    contains "$(property bookstore StatusText)" 4
}

bookstore_reloads() {
    inside systemctl reload rwsgi@bookstore
    contains "$(fetch 8001 /whoami)" '"multiprocess": true'
}

django_traceback_is_one_entry() {
    fetch 8001 /boom/ >/dev/null
    eventually journal_has bookstore PRIORITY=3
    equal "$(journal bookstore | grep -c 'raised on purpose by /boom/')" 1
    local entry
    entry=$(journal bookstore PRIORITY=3)
    contains "$(field MESSAGE <<<"$entry")" Boom
    contains "$(field PYTHON_EXCEPTION <<<"$entry")" Boom
    equal "$(field CODE_FILE <<<"$entry")" /srv/bookstore/books/demo.py
    equal "$(field LOGGER <<<"$entry")" django.request
    [[ $(field REQUEST_ID <<<"$entry") =~ ^[0-9a-f]{32}$ ]]
}

# ------------------------------------------------------------------ behind nginx

shop=bookstore.example.org

# For both ways to nginx: a socket of systemd for HTTP, a port for the uwsgi protocol.
bookstore_has_a_unix_socket() {
    put /etc/rwsgi/bookstore.ini <<'END_OF_INI'
[rwsgi]
http = 127.0.0.1:8001
socket = 127.0.0.1:3031
trusted-proxies = unix
chdir = /srv/bookstore
wsgi-file = BookStore/wsgi.py
processes = 4
threads = 2
END_OF_INI
    inside systemctl stop rwsgi@bookstore
    inside systemctl enable --now rwsgi@bookstore.socket
    inside systemctl start rwsgi@bookstore
    contains "$(fetch 8001 /)" '<html'
    contains "$(curl --silent --unix-socket "$files/run/rwsgi/bookstore.sock" http://shop/)" '<html'
}

# nginx_passes EXAMPLE: installed as its first line says
nginx_passes() {
    bookstore_command collectstatic --no-input --verbosity 0 --ignore vendor
    inside ln -sfn var/static /srv/bookstore/static
    inside rm -f /etc/nginx/conf.d/nginx.conf /etc/nginx/conf.d/nginx-uwsgi.conf
    inside cp "/usr/share/doc/rwsgi/examples/$1" /etc/nginx/conf.d/
    inside nginx -q -t
    inside systemctl restart nginx
    contains "$(through_nginx /)" '<html'
    contains "$(through_nginx "/static/$(cd "$files/srv/bookstore/var/static" && find . -name '*.css' -printf '%P\n' | head -n 1)")" '{'
    logs_in
    eventually journal_has bookstore REQUEST_PATH=/admin/login/ REQUEST_METHOD=POST HTTP_STATUS=302 "REMOTE_ADDR=127.0.0.1"
}

through_nginx() {
    local path=$1
    shift
    fetch 80 "$path" --fail --header "Host: $shop" "$@"
}

# A form with a cookie and a body.
logs_in() {
    local cookies=$work/cookies token
    rm -f "$cookies"
    through_nginx /admin/login/ --cookie-jar "$cookies" >/dev/null
    token=$(awk '$6 == "csrftoken" { print $7 }' "$cookies")
    equal "$(through_nginx /admin/login/ --cookie "$cookies" --output /dev/null --write-out '%{http_code}' \
        --data-urlencode "csrfmiddlewaretoken=$token" --data username=admin --data-urlencode "password=$password")" 302
}

administrator() {
    password=of-the-scenario
    inside runuser -u rwsgi -- env DJANGO_SUPERUSER_PASSWORD=$password \
        python3 /srv/bookstore/manage.py createsuperuser --no-input --username admin --email admin@rwsgi.invalid >/dev/null 2>&1
}

nobody_behind_nginx_notices_a_reload() {
    start_load 127.0.0.1:80 / "$shop"
    inside systemctl reload rwsgi@bookstore
    load_was_served
}

nobody_behind_nginx_notices_a_restart() {
    start_load 127.0.0.1:80 / "$shop"
    inside systemctl restart rwsgi@bookstore
    load_was_served
}

theme_bookstore() {
    if ! has_django; then
        not_available 'BookStore serves, alone and behind nginx' 'this release has no Django 3.2 or newer'
        return
    fi
    check 'BookStore serves with its uwsgi.ini' bookstore_serves
    check 'BookStore has the four workers of process=4' bookstore_has_four_workers
    check 'BookStore reloads' bookstore_reloads
    check 'a traceback that Django logs is one entry' django_traceback_is_one_entry

    expect_silence
    administrator
    check 'BookStore serves by TCP and by a UNIX socket at once' bookstore_has_a_unix_socket
    check 'nginx passes pages, files and forms by proxy_pass' nginx_passes nginx.conf
    check 'nobody behind proxy_pass notices a reload' nobody_behind_nginx_notices_a_reload
    check 'nobody behind proxy_pass notices a restart' nobody_behind_nginx_notices_a_restart
    check 'nginx passes pages, files and forms by uwsgi_pass' nginx_passes nginx-uwsgi.conf
    check 'nobody behind uwsgi_pass notices a reload' nobody_behind_nginx_notices_a_reload
    check 'nobody behind uwsgi_pass notices a restart' nobody_behind_nginx_notices_a_restart
    check 'none of it leaves a warning' nothing_was_warned_of
    inside systemctl stop nginx
    inside rm -f /etc/nginx/conf.d/nginx.conf /etc/nginx/conf.d/nginx-uwsgi.conf
}
