# What the sandbox leaves to libraries in use: Django, Pillow, psycopg, ctypes.
# shellcheck shell=bash disable=SC2154,SC2317  # the words set variables; checks are called through check

has_libraries() {
    inside python3 -c 'import django, PIL, psycopg2' 2>/dev/null
}

libraries_work() {
    mkdir -p "$files/srv/libraries"
    cp "$here/apps/libraries.py" "$files/srv/libraries/"
    printf '[rwsgi]\nhttp = 127.0.0.1:8002\nchdir = /srv/libraries\nwsgi-file = libraries.py\n' | put /etc/rwsgi/libraries.ini
    inside systemctl daemon-reload
    equal "$(property libraries ProtectHome)" yes
    libraries_answer
}

libraries_answer() {
    inside systemctl start rwsgi@libraries
    equal "$(use ctypes)" '[1, 2, 3]'
    equal "$(use pillow)" '(64, 48)'
    equal "$(use psycopg)" True
    equal "$(use django)" "['0', True]"
    equal "$(use system)" "'child'"
    inside systemctl stop rwsgi@libraries
}

use() {
    "$here/box" net "$name" curl --silent --show-error --fail --max-time 60 "http://127.0.0.1:8002/$1"
}

libraries_work_when_strict() {
    put /etc/systemd/system/rwsgi@libraries.service.d/strict.conf <"$root/packaging/examples/strict.conf"
    inside systemctl daemon-reload
    libraries_answer
    inside rm -r /etc/systemd/system/rwsgi@libraries.service.d /etc/rwsgi/libraries.ini
    inside systemctl daemon-reload
}

theme_libraries() {
    if ! has_libraries; then
        not_available 'Django, Pillow, psycopg and ctypes work in the sandbox' 'this release has not all of them'
        return
    fi
    check 'Django, Pillow, psycopg and ctypes work in the sandbox' libraries_work
    check 'and in the strict one' libraries_work_when_strict
}
