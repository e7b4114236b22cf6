# What an administrator finds in the journal, by field.
# shellcheck shell=bash disable=SC2154

request_is_an_entry_with_fields() {
    local entry
    get '/who' >/dev/null
    eventually journal_has probe RWSGI_EVENT=access REQUEST_PATH=/who
    entry=$(journal probe RWSGI_EVENT=access REQUEST_PATH=/who)
    equal "$(field REQUEST_METHOD <<<"$entry")" GET
    equal "$(field HTTP_STATUS <<<"$entry")" 200
    equal "$(field SYSLOG_IDENTIFIER <<<"$entry")" rwsgi
    equal "$(field REMOTE_ADDR <<<"$entry")" 127.0.0.1
    [ "$(field DURATION_USEC <<<"$entry")" -ge 0 ]
    [ "$(field RWSGI_WORKER <<<"$entry")" -ge 1 ]
}

readiness_is_an_entry() {
    # notice: of more weight than a request, no reason to worry
    equal "$(journal probe RWSGI_EVENT=ready | field PRIORITY | sort -u)" 5
    [[ $(journal probe RWSGI_EVENT=ready | field MESSAGE_ID) =~ ^[0-9a-f]{32} ]]
}

journal_explains_entries() {
    local said
    said=$(inside journalctl --no-pager --catalog --unit=rwsgi@probe RWSGI_EVENT=ready)
    contains "$said" 'Subject: probe serves'
    contains "$said" 'man:rwsgi(8)'
    # Every event that has happened so far has its text. What commands print into the journal is no event.
    inside journalctl --no-pager --output=json --all SYSLOG_IDENTIFIER=rwsgi | grep RWSGI_EVENT | field MESSAGE_ID |
        sort -u >"$work/events"
    while read -r id; do
        [[ $(inside journalctl --no-pager --dump-catalog "$id") == *Subject:*Documentation:* ]] ||
            { echo "no text for $id"; return 1; }
    done <"$work/events"
    note "$(wc -l <"$work/events") events"
}

traceback_is_one_entry() {
    local entry
    get /raise >/dev/null
    eventually journal_has probe PYTHON_EXCEPTION=ValueError
    entry=$(journal probe PYTHON_EXCEPTION=ValueError)
    equal "$(wc -l <<<"$entry")" 1
    equal "$(field PRIORITY <<<"$entry")" 3
    equal "$(field RWSGI_EVENT <<<"$entry")" traceback
    equal "$(field CODE_FILE <<<"$entry")" /srv/probe/probe.py
    equal "$(field CODE_FUNC <<<"$entry")" application
    equal "$(field CODE_LINE <<<"$entry")" "$(grep -n 'raise ValueError' "$here/apps/probe.py" | cut -d: -f1)"
    equal "$(field REQUEST_PATH <<<"$entry")" /raise
    [ "$(field RWSGI_WORKER <<<"$entry")" -ge 1 ]
    contains "$(field MESSAGE <<<"$entry")" 'ValueError: raised on purpose'
    equal "$(journal probe | grep -c 'raised on purpose')" 1
    [[ $(field REQUEST_ID <<<"$entry") =~ ^[0-9a-f]{32}$ ]]
}

# It says what it does not know where nobody in a box can read it. Its table of settings is in the program.
journald_knows_the_settings_of_its_example() {
    local key
    while IFS='=' read -r key _; do
        inside grep --quiet --text --fixed-strings "Journal.$key" /lib/systemd/systemd-journald || { echo "$key"; return 1; }
    done < <(grep '^[A-Z]' "$root/packaging/examples/journald.conf")
}

theme_journal() {
    probe_serves
    check 'a request is a journal entry with fields' request_is_an_entry_with_fields
    check 'readiness is a journal entry with an identity' readiness_is_an_entry
    check 'a traceback is one entry with the place in the code' traceback_is_one_entry
    check 'journalctl -x explains every event' journal_explains_entries
    check 'journald knows the settings of its example' journald_knows_the_settings_of_its_example
}
