# What an administrator has done beside the application: hooks, daemons, commands at certain times.
# shellcheck shell=bash disable=SC2154

state=/var/lib/rwsgi/probe

# beside_serves [LINE…]: the probe, which notes each migration
beside_serves() {
    inside rm -f "$state/migrations" "$state/cannot"
    probe_serves "exec-pre-app = date >> $state/migrations; test ! -e $state/cannot" "$@"
}

migrations() {
    inside sh -c "wc -l <$state/migrations"
}

migration_runs_before_the_start_and_the_reload() {
    equal "$(migrations)" 1
    probe_code "'two'"
    inside systemctl reload rwsgi@probe
    contains "$(get /)" two
    equal "$(migrations)" 2
    journal_has probe RWSGI_HOOK=exec-pre-app
}

failed_migration_keeps_the_code_out() {
    inside touch "$state/cannot"
    start_load
    probe_code "'three'"
    fails inside systemctl reload rwsgi@probe
    load_was_served
    contains "$(get /)" two
    equal "$(condition probe)" active/success/0
    contains "$(journal probe RWSGI_EVENT=hook_failed | field MESSAGE)" 'exited with code 1'
    inside rm "$state/cannot"
    inside systemctl reload rwsgi@probe
    contains "$(get /)" three
}

failed_migration_is_a_failed_start() {
    inside systemctl stop rwsgi@probe
    inside touch "$state/cannot"
    fails inside systemctl start rwsgi@probe
    equal "$(property probe ExecMainStatus)" 70
    inside systemctl stop rwsgi@probe
    inside rm "$state/cannot"
    inside systemctl start rwsgi@probe
    contains "$(get /)" three
}

nobody_is_made_root() {
    printf '%s\n' '[rwsgi]' 'http = 127.0.0.1:8009' 'chdir = /srv/probe' 'wsgi-file = probe.py' \
        "exec-as-root = touch $state/by-root" | put /etc/rwsgi/rooted.ini
    fails inside systemctl start rwsgi@rooted
    equal "$(property rooted ExecMainStatus)/$(property rooted NRestarts)" 78/0
    contains "$(journal rooted | field MESSAGE)" 'ExecStartPre=+COMMAND'
    fails inside test -e "$state/by-root"
    inside rm /etc/rwsgi/rooted.ini
}

# In a zone where the next minute begins within seconds.
clock_of_the_service() {
    local ahead=$(((112 - $(date +%-S)) % 60))
    printf '[Service]\nEnvironment=TZ=XXX-00:00:%02d\n' "$ahead" | put /etc/systemd/system/rwsgi@probe.service.d/clock.conf
}

daemon_and_cron_run() {
    clock_of_the_service
    beside_serves 'attach-daemon = sleep 3601 & exec sleep 3602' 'cron = -1 -1 -1 -1 -1 echo tick; exec sleep 3603'
    eventually journal_has probe 'RWSGI_COMMAND=daemon sleep'
    eventually journal_has probe 'RWSGI_COMMAND=cron echo' MESSAGE='cron echo: tick'
    eventually runs '3601 3602 3603'
}

# Which of the commands run, by how long they sleep. There is no ps(1) in the box.
running() {
    # shellcheck disable=SC2016  # for the shell inside
    inside sh -c 'for one in /proc/[0-9]*/cmdline; do tr "\\0" " " <"$one"; echo; done 2>/dev/null' |
        sed -n 's/^sleep \(360[0-9]\) $/\1/p' | sort | paste -sd' '
}

runs() {
    [ "$(running)" = "$1" ]
}

# systemd tells of each process that it has to end itself, and of each that it finds at the next start.
systemd_found_nothing_left() {
    equal "$(inside journalctl --no-pager --quiet --after-cursor="$(<"$work/cursor")" _PID=1 |
        grep -E 'left-over|remains running|Killing process|SIGKILL' || true)" ''
}

stop_ends_daemon_and_cron() {
    inside systemctl stop rwsgi@probe
    equal "$(condition probe)" inactive/success/0
    equal "$(running)" ''
    inside journalctl --sync
    systemd_found_nothing_left
}

restart_has_a_daemon_of_its_own() {
    # Without the command of cron, whose next minute may come.
    beside_serves 'attach-daemon = sleep 3601 & exec sleep 3602'
    eventually journal_has probe 'RWSGI_COMMAND=daemon sleep'
    start_load
    inside systemctl restart rwsgi@probe
    load_was_served
    eventually runs '3601 3602'
    inside journalctl --sync
    systemd_found_nothing_left
}

daemon_with_a_pidfile_goes_with_the_service() {
    local daemon="sleep 3604 & echo \$! > $state/daemon.pid"
    beside_serves "smart-attach-daemon = $state/daemon.pid $daemon"
    eventually runs 3604
    inside systemctl stop rwsgi@probe
    equal "$(running)" ''
    # The file is left, and names nobody.
    inside systemctl start rwsgi@probe
    eventually runs 3604
    equal "$(condition probe)" active/success/0
}

theme_beside() {
    beside_serves
    check 'a migration is made before the code serves, at the start and at a reload' migration_runs_before_the_start_and_the_reload
    check 'a migration that fails at a reload keeps the code out, and the old code serves all' failed_migration_keeps_the_code_out
    check 'a migration that fails at the start is a failed start' failed_migration_is_a_failed_start
    check 'a hook for root is refused, with what to write instead' nobody_is_made_root
    expect_silence
    check 'a daemon and a command of cron run in the service' daemon_and_cron_run
    check 'a stop ends them, and systemd finds nothing left' stop_ends_daemon_and_cron
    check 'a restart under load refuses nothing, and has one daemon' restart_has_a_daemon_of_its_own
    check 'a daemon with a pidfile goes with the service, and comes back with it' daemon_with_a_pidfile_goes_with_the_service
    inside rm /etc/systemd/system/rwsgi@probe.service.d/clock.conf
    inside systemctl daemon-reload
}
