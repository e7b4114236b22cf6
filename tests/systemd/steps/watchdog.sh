# Signs of life: what systemd is told, and what follows when there are none.
# shellcheck shell=bash disable=SC2154

# A watchdog that takes seconds instead of minutes.
watchdog_of_four_seconds() {
    printf '[Service]\nWatchdogSec=4\n' | put /etc/systemd/system/rwsgi@probe.service.d/watchdog.conf
    probe_serves
}

unit_has_a_watchdog() {
    [[ $(property probe WatchdogUSec) != @(0|infinity|'') ]] || { echo 'no WatchdogSec='; return 1; }
    note "WatchdogSec=$(property probe WatchdogUSec)"
}

idle_instance_gives_signs_of_life() {
    local before
    watchdog_of_four_seconds
    before=$(property probe WatchdogTimestampMonotonic)
    eventually later_sign_of_life "$before"
    sleep 6
    equal "$(condition probe)" active/success/0
}

later_sign_of_life() {
    [ "$(property probe WatchdogTimestampMonotonic)" -gt "$1" ]
}

stopped_worker_is_replaced() {
    local victim entry
    victim=$(get / | awk '{ print $2 }')
    inside sh -c "kill -STOP $victim"
    eventually journal_has probe RWSGI_EVENT=worker_stuck "WORKER_PID=$victim"
    entry=$(journal probe RWSGI_EVENT=worker_stuck "WORKER_PID=$victim")
    contains "$(field MESSAGE <<<"$entry")" 'the process is stopped'
    eventually two_workers_without "$victim"
    equal "$(condition probe)" active/success/0
}

stopped_worker_costs_others_nothing() {
    local victim
    victim=$(get / | awk '{ print $2 }')
    start_load
    inside sh -c "kill -STOP $victim"
    eventually two_workers_without "$victim"
    # What the stopped one had taken in dies with it, one request of each client at most.
    load_was_served_but_for 4
    equal "$(condition probe)" active/success/0
}

# An extension that does not give Python's lock back. One worker is all of them: no request goes to another one.
frozen_python_restarts_the_service() {
    local before
    sed -i 's/^processes = .*/processes = 1/' "$files/etc/rwsgi/probe.ini"
    inside systemctl restart rwsgi@probe
    before=$(property probe MainPID)
    fetch 8000 /freeze --max-time 30 >/dev/null 2>&1 &
    eventually came_back probe "$before"
    wait
    contains "$(get /)" one
    equal "$(property probe NRestarts)" 1
    # systemd itself knows why, and so does the instance: what it ran, and that it has asked for the end.
    contains "$(inside journalctl --no-pager --output=cat --unit=rwsgi@probe _PID=1)" "Failed with result 'watchdog'"
    contains "$(journal probe RWSGI_EVENT=unresponsive PRIORITY=3 | field MESSAGE)" /freeze
    journal_has probe RWSGI_EVENT=unresponsive PRIORITY=2
}

theme_watchdog() {
    probe_serves
    check 'the unit has a watchdog' unit_has_a_watchdog
    check 'an idle instance gives signs of life' idle_instance_gives_signs_of_life
    check 'a stopped worker is replaced, and the journal tells' stopped_worker_is_replaced
    check 'a stopped worker costs no request but those that it has' stopped_worker_costs_others_nothing
    check 'Python that is frozen in all workers has systemd restart the service' frozen_python_restarts_the_service
    inside rm -r /etc/systemd/system/rwsgi@probe.service.d
    inside systemctl daemon-reload
}
