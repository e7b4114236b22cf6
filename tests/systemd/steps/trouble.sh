# The bad days: broken code, dead processes, wrong files, want of memory.
# shellcheck shell=bash disable=SC2154

broken_code_does_not_take_over() {
    start_load
    probe_code "'three"
    fails inside systemctl reload rwsgi@probe
    load_was_served
    contains "$(get /)" one
    equal "$(property probe ActiveState)" active
    eventually journal_has probe RWSGI_EVENT=reload_failed
    equal "$(journal probe RWSGI_EVENT=reload_failed | field PRIORITY)" 3
    contains "$(journal probe)" SyntaxError
}

reload_by_name_tells_the_reason() {
    local said
    if said=$(inside rwsgi reload probe 2>&1); then
        echo "succeeded, and said: $said"
        return 1
    fi
    contains "$said" SyntaxError
    probe_code "'one'"
    inside rwsgi reload probe
}

dead_worker_is_replaced() {
    local victim entry
    victim=$(get / | awk '{ print $2 }')
    inside sh -c "kill -KILL $victim"
    eventually journal_has probe RWSGI_EVENT=worker_died "WORKER_PID=$victim"
    entry=$(journal probe RWSGI_EVENT=worker_died "WORKER_PID=$victim")
    contains "$(field MESSAGE <<<"$entry")" "$victim"
    equal "$(field PRIORITY <<<"$entry")" 3
    eventually two_workers_without "$victim"
    equal "$(condition probe)" active/success/0
}

two_workers_without() {
    local _ answers
    answers=$(for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do get / | awk '{ print $2 }'; done | sort -u)
    [[ $answers != *"$1"* ]] && [[ $(property probe StatusText) == *2* ]]
}

fault_of_an_extension_names_its_request() {
    local entry
    fails get /segfault
    eventually journal_has probe RWSGI_EVENT=worker_died REQUEST_PATH=/segfault
    entry=$(journal probe RWSGI_EVENT=worker_died REQUEST_PATH=/segfault)
    contains "$(field MESSAGE <<<"$entry")" SIGSEGV
    equal "$(field REQUEST_METHOD <<<"$entry")" GET
    eventually get / >/dev/null
    equal "$(condition probe)" active/success/0
}

# Requests that it has accepted are gone with it, one for each client at most; whoever comes later waits.
dead_master_comes_back() {
    local before
    before=$(property probe MainPID)
    start_load
    inside sh -c "kill -KILL $before"
    eventually came_back probe "$before"
    load_was_served_but_for 4
    contains "$(get /)" one
    equal "$(property probe NRestarts)" 1
}

typo_is_a_failed_start() {
    fails inside systemctl start rwsgi@no-such-instance
    fails inside systemctl start rwsgi@no-such-instance.socket
}

wrong_ini_is_not_tried_again() {
    printf '[rwsgi]\nprocesess = many\n' | put /etc/rwsgi/wrong.ini
    fails inside systemctl start rwsgi@wrong
    equal "$(property wrong ExecMainStatus)" 78
    equal "$(property wrong ActiveState)/$(property wrong NRestarts)" failed/0
}

check_tells_what_is_wrong() {
    local said
    if said=$(inside rwsgi check wrong 2>&1); then
        echo "succeeded, and said: $said"
        return 1
    fi
    contains "$said" /etc/rwsgi/wrong.ini:2
    contains "$said" processes
}

failed_import_is_a_failed_start() {
    inside mkdir -p /srv/broken
    echo 'import no_such_module' | put /srv/broken/app.py
    printf '[rwsgi]\nhttp = 127.0.0.1:8009\nchdir = /srv/broken\nwsgi-file = app.py\n' | put /etc/rwsgi/broken.ini
    fails inside systemctl start rwsgi@broken
    equal "$(property broken ExecMainStatus)" 70
    inside systemctl stop rwsgi@broken
    contains "$(journal broken | field PYTHON_EXCEPTION)" ModuleNotFoundError
}

# Whoever asks for too much is killed; the others serve on.
out_of_memory_costs_one_worker() {
    probe_serves 'memory-max = 300m'
    fails get /eat
    eventually journal_has probe RWSGI_EVENT=out_of_memory REQUEST_PATH=/eat
    eventually get / >/dev/null
    equal "$(condition probe)" active/success/0
    probe_serves
}

has_memory_controller() {
    inside grep -qw memory /sys/fs/cgroup/cgroup.controllers
}

theme_trouble() {
    probe_serves
    check 'a reload of broken code fails under load, and the old code serves all' broken_code_does_not_take_over
    check 'rwsgi reload tells the reason' reload_by_name_tells_the_reason
    check 'a killed worker is replaced, and the journal tells' dead_worker_is_replaced
    check 'a worker that dies of a fault is replaced, and the journal names the request' fault_of_an_extension_names_its_request
    check 'a killed master comes back, and nobody is refused' dead_master_comes_back
    check 'an instance without an INI file is a failed start' typo_is_a_failed_start
    check 'a wrong INI file is a failed start that is not tried again' wrong_ini_is_not_tried_again
    check 'rwsgi check names file, line and remedy' check_tells_what_is_wrong
    check 'a failed import is a failed start, with its traceback' failed_import_is_a_failed_start
    if has_memory_controller; then
        check 'want of memory costs one worker (memory-max)' out_of_memory_costs_one_worker
    else
        not_available 'want of memory costs one worker (memory-max)' 'the box has no memory controller'
    fi
}
