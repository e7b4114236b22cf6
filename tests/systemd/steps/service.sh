# The good days of an instance that opens its port itself.
# shellcheck shell=bash disable=SC2154

start_returns_when_it_serves() {
    inside systemctl stop rwsgi@probe
    inside systemctl start rwsgi@probe
    contains "$(get /)" one
}

status_tells_the_workers() {
    contains "$(property probe StatusText)" 2
    contains "$(inside rwsgi status --json probe)" 2
}

runs_as_its_user() {
    equal "$(property probe User)" rwsgi
    equal "$(inside stat --format=%U "/proc/$(property probe MainPID)")" rwsgi
    equal "$(get / | cut -d' ' -f3)" "$(inside id -u rwsgi)"
    equal "$(inside stat --format=%U:%a /run/rwsgi/probe /var/lib/rwsgi/probe /var/cache/rwsgi/probe /var/log/rwsgi/probe | uniq)" \
        rwsgi:755
}

nothing_is_world_writable() {
    equal "$(inside find /run/rwsgi /var/lib/rwsgi /var/cache/rwsgi /var/log/rwsgi /etc/rwsgi -perm -o=w ! -type l)" ''
}

check_finds_nothing_to_mend() {
    local said
    said=$(inside rwsgi check probe 2>&1)
    fails grep -E '^error' <<<"$said"
    contains "$said" 'served by the instance itself'
}

reload_serves_new_code() {
    start_load
    probe_code "'two'"
    inside systemctl reload rwsgi@probe
    # At once, from every worker: reload has waited for it.
    local _
    for _ in 1 2 3 4 5 6 7 8; do
        contains "$(get /)" two
    done
    load_was_served
    eventually journal_has probe RWSGI_EVENT=reloaded
}

stop_finishes_what_is_in_flight() {
    get /slow >"$work/slow" &
    local request=$!
    sleep 0.5
    inside systemctl stop rwsgi@probe
    wait "$request"
    contains "$(cat "$work/slow")" two
    equal "$(condition probe)" inactive/success/0
    fails get /
}

leaves_no_runtime_directory() {
    fails inside test -e /run/rwsgi/probe
}

restart_refuses_nothing() {
    inside systemctl start rwsgi@probe
    local before
    before=$(property probe MainPID)
    start_load
    inside systemctl restart rwsgi@probe
    load_was_served
    fails equal "$(property probe MainPID)" "$before"
}

# status_number KEY.KEY…: of `rwsgi status --json`
status_number() {
    inside rwsgi status --json probe | python3 -c 'import functools, json, sys
print(functools.reduce(lambda value, key: value[key], sys.argv[1].split("."), json.load(sys.stdin)))' "$1"
}

restart_on_its_own_unix_socket_refuses_nothing() {
    probe_serves 'http = /run/rwsgi/probe/http.sock'
    start_load "$files/run/rwsgi/probe/http.sock"
    inside systemctl restart rwsgi@probe
    load_was_served
}

counters_survive_a_restart() {
    local requests starts
    requests=$(status_number total.requests)
    starts=$(status_number starts)
    [ "$requests" -gt 100 ] || { echo "$requests requests"; return 1; }
    inside systemctl restart rwsgi@probe
    equal "$(status_number starts)" "$((starts + 1))"
    [ "$(status_number total.requests)" -ge "$requests" ] || { echo "$(status_number total.requests) after $requests"; return 1; }
}

# ------------------------------------------------------------------ a log of its own

rotation_loses_no_line() {
    local log=/var/log/rwsgi/probe/probe.log requests lines
    probe_serves "logto = $log"
    start_load
    inside logrotate --force /etc/logrotate.d/rwsgi
    eventually inside test -s "$log"
    load_was_served
    requests=$(cut -d' ' -f1 "$work/load")
    lines=$(inside sh -c "cat $log $log.1 | grep -c 'GET / '")
    [ "$lines" -ge "$requests" ] || { echo "$requests requests, $lines lines"; return 1; }
    equal "$(inside stat --format=%U:%G "$log" "$log.1" | uniq)" rwsgi:rwsgi
    equal "$(condition probe)" active/success/0
}

theme_service() {
    expect_silence
    probe_serves
    check 'systemctl start returns when it serves' start_returns_when_it_serves
    check 'the status tells the number of workers' status_tells_the_workers
    check 'it runs as its user, in directories of that user' runs_as_its_user
    check 'nothing is world-writable' nothing_is_world_writable
    check 'rwsgi check finds nothing to mend in what runs' check_finds_nothing_to_mend
    check 'a reload under load serves new code and fails no request' reload_serves_new_code
    check 'systemctl stop finishes the request in flight' stop_finishes_what_is_in_flight
    check 'a stopped instance leaves no runtime directory' leaves_no_runtime_directory
    check 'a restart under load refuses nothing, without a socket unit' restart_refuses_nothing
    check 'a restart under load refuses nothing, on a UNIX socket of its own' restart_on_its_own_unix_socket_refuses_nothing
    check 'what it has counted survives a restart' counters_survive_a_restart
    check 'logrotate under load loses no line of a log file' rotation_loses_no_line
    check 'none of it leaves a warning' nothing_was_warned_of
}
