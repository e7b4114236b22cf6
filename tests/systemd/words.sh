# The words of the scenario: how a check is made, and what is done in the box. Sourced by `run`, which sets
#
#   here   this directory            name   the box                      deb    the package
#   root   that of the repository    files  the box's files, from here   work   a directory of this run
#
# shellcheck shell=bash disable=SC2154,SC2034

passed=0
failed=0
unavailable=0

# ------------------------------------------------------------------ how a check is made

# A check is a function of straight lines: the first one that fails fails it.
check() {
    local title=$1 output status begin=$SECONDS
    shift
    rm -f "$work/notes"
    set +e
    output=$(set -e; "$@" 2>&1)
    status=$?
    set -e
    if [ "$status" = 0 ]; then
        passed=$((passed + 1))
        [ $((SECONDS - begin)) -lt 3 ] || note "$((SECONDS - begin)) s"
        echo "ok - $title$([ ! -e "$work/notes" ] || printf ' (%s)' "$(paste -sd, "$work/notes")")"
    else
        failed=$((failed + 1))
        echo "not ok - $title"
        [ -z "$output" ] || echo "#   ${output//$'\n'/$'\n#   '}"
    fi
}

# What cannot be tested here has not passed.
not_available() {
    unavailable=$((unavailable + 1))
    echo "not available here - $1: $2"
}

# A figure that belongs to the check which runs.
note() {
    echo "$*" >>"$work/notes"
}

equal() {
    [ "$1" = "$2" ] || { echo "expected: $2"; echo "found:    $1"; return 1; }
}

contains() {
    [[ $1 == *"$2"* ]] || { echo "expected: … $2 …"; echo "found:    $1"; return 1; }
}

fails() {
    if "$@"; then
        echo "must not succeed: $*"
        return 1
    fi
}

eventually() {
    local end=$((SECONDS + 15))
    until "$@"; do
        [ $SECONDS -lt $end ] || { echo "has not come true: $*"; return 1; }
        sleep 0.1
    done
}

# ------------------------------------------------------------------ in the box

inside() {
    "$here/box" exec "$name" "$@"
}

# A file in the box, from standard input.
put() {
    mkdir -p "$files$(dirname "$1")"
    cat >"$files$1"
}

# A page of 127.0.0.1: get PORT PATH [OPTION…]
fetch() {
    local port=$1 path=$2
    shift 2
    "$here/box" net "$name" curl --silent --show-error --max-time 60 "$@" "http://127.0.0.1:$port$path"
}

# A page of rwsgi@probe.
get() {
    fetch 8000 "$1"
}

# property INSTANCE NAME: of rwsgi@INSTANCE
property() {
    inside systemctl show --property="$2" "rwsgi@$1" | sed 's/^[^=]*=//'
}

# How it is: "active/success/0", with the number of times that systemd has restarted it.
condition() {
    echo "$(property "$1" ActiveState)/$(property "$1" Result)/$(property "$1" NRestarts)"
}

has_condition() {
    [ "$(condition "$1")" = "$2" ]
}

# Another process than PID is the master of rwsgi@INSTANCE, and serves.
came_back() {
    [ "$(property "$1" ActiveState)" = active ] && [ "$(property "$1" MainPID)" != "$2" ]
}

# ------------------------------------------------------------------ the journal

# Entries as JSON, one a line: journal INSTANCE FIELD=VALUE…
journal() {
    local instance=$1
    shift
    inside journalctl --sync
    inside journalctl --all --no-pager --quiet --output=json --unit="rwsgi@$instance" "$@"
}

journal_has() {
    [ -n "$(journal "$@")" ]
}

# One field of each entry on standard input.
field() {
    python3 -c 'import json, sys
for line in sys.stdin: print(json.loads(line).get(sys.argv[1]))' "$1"
}

# From here on, nothing is to be warned of.
expect_silence() {
    inside journalctl --sync
    inside journalctl --no-pager --quiet --lines=1 --show-cursor | sed -n 's/^-- cursor: //p' >"$work/cursor"
}

# Of the container, not of the package: systemd 262 misses the controllers that the box does not have.
of_the_box='Failed to read pids.max'

nothing_was_warned_of() {
    inside journalctl --sync
    equal "$(inside journalctl --no-pager --quiet --priority=warning --after-cursor="$(<"$work/cursor")" |
        grep -i rwsgi | grep -v "$of_the_box" || true)" ''
}

# ------------------------------------------------------------------ requests without end

# start_load [ADDRESS [PATH [HOST]]]
start_load() {
    rm -f "$work/started"
    "$here/box" net "$name" python3 "$here/load.py" --host "${3:-localhost}" "${1:-127.0.0.1:8000}" "${2:-/}" \
        "$work/started" >"$work/load" 2>&1 &
    load=$!
    # Also when the check fails before it looks at the outcome.
    trap 'kill -TERM "$load" 2>/dev/null || true' EXIT
    eventually test -e "$work/started"
}

end_load() {
    sleep 0.3
    kill -TERM "$load"
    wait "$load"
}

# All requests of the load were answered, and there were some.
load_was_served() {
    end_load
    [[ $(<"$work/load") =~ ^[0-9]+\ 200$ ]] || { echo 'outcomes of the load:'; cat "$work/load"; return 1; }
    note "$(cut -d' ' -f1 "$work/load") requests"
}

# load_was_served_but_for COUNT: so many may have been cut off; nobody was refused.
load_was_served_but_for() {
    end_load
    awk -v most="$1" '$2 == 200 { served = $1; next } $2 ~ /Refused|^[0-9]/ { bad = 1 } { lost += $1 }
        END { exit !(served && !bad && lost <= most) }' "$work/load" || { echo 'outcomes of the load:'; cat "$work/load"; return 1; }
    note "$(paste -sd, "$work/load")"
}

# ------------------------------------------------------------------ rwsgi@probe

probe_code() {
    sed "s/^VERSION = .*/VERSION = $1/" "$here/apps/probe.py" | put /srv/probe/probe.py
}

# probe_serves [LINE…]: with code 'one' and, besides what it needs, these lines in its INI file; on port 8000.
probe_serves() {
    probe_code "'one'"
    printf '%s\n' '[rwsgi]' 'http = 127.0.0.1:8000' 'chdir = /srv/probe' 'wsgi-file = probe.py' 'processes = 2' \
        'threads = 2' "$@" | put /etc/rwsgi/probe.ini
    inside systemctl daemon-reload
    inside systemctl restart rwsgi@probe
}
