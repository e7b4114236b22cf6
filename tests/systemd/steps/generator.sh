# What the INI file says reaches the unit, for one instance and for all.
# shellcheck shell=bash disable=SC2154

port_answers() {
    fetch 80 / --fail
}

port_ini() {
    put /etc/rwsgi/port.ini <<'END_OF_INI'
[rwsgi]
http = 127.0.0.1:80
socket = /run/port.sock
chdir = /srv/probe
wsgi-file = probe.py
uid = www-data
autostart = true
memory-max = 1g
END_OF_INI
    inside systemctl daemon-reload
}

unit_is_as_its_ini_file_says() {
    port_ini
    inside systemctl start rwsgi
    eventually port_answers
    equal "$(inside stat --format=%U:%G "/proc/$(property port MainPID)")" www-data:www-data
    equal "$(property port MemoryMax)" 1073741824
    equal "$(inside systemctl show --property=Wants rwsgi.service)" Wants=rwsgi@port.service
    contains "$(inside systemctl show --property=Wants multi-user.target)" rwsgi@port.service
    contains "$(inside systemctl cat rwsgi@port)" /50-systemd-247.conf
    equal "$(inside stat --format=%U:%G:%a /run/port.sock)" root:www-data:660
}

user_and_group_of_its_own() {
    inside adduser --quiet --system --group --no-create-home shop
    sed -i 's/^uid = .*/uid = shop\ngid = www-data/' "$files/etc/rwsgi/port.ini"
    inside systemctl daemon-reload
    inside systemctl restart rwsgi@port
    equal "$(inside stat --format=%U:%G "/proc/$(property port MainPID)")" shop:www-data
    equal "$(port_answers | cut -d' ' -f3)" "$(inside id -u shop)"
    equal "$(inside stat --format=%U:%G /run/rwsgi/port /var/lib/rwsgi/port | uniq)" shop:www-data
}

wrong_ini_leaves_the_others_alone() {
    printf '[rwsgi]\nprocesess = many\n' | put /etc/rwsgi/wrong.ini
    inside systemctl daemon-reload
    contains "$(inside systemctl cat rwsgi@port)" /50-ini.conf
    fails contains "$(inside systemctl cat rwsgi@wrong.service)" /50-ini.conf
}

# refused_as_root LINE… of the INI file
refused_as_root() {
    local line=$1
    port_ini
    sed -i "s/^uid = .*/$line/" "$files/etc/rwsgi/port.ini"
    inside systemctl daemon-reload
    fails inside systemctl restart rwsgi@port
    # A person is needed: it is not tried again.
    equal "$(property port ActiveState)/$(property port ExecMainStatus)/$(property port NRestarts)" failed/78/0
    # By its unit, though it has ended at once.
    contains "$(journal port --lines=20 | field MESSAGE)" 'not run as root'
}

root_is_refused() {
    refused_as_root 'uid = root'
    refused_as_root 'uid = 0'
}

root_by_drop_in_is_refused() {
    printf '[Service]\nUser=root\nGroup=root\n' | put /etc/systemd/system/rwsgi@port.service.d/root.conf
    refused_as_root ''
    inside rm -r /etc/systemd/system/rwsgi@port.service.d
    port_ini
    inside systemctl start rwsgi@port
    eventually port_answers
}

umbrella_reloads_and_restarts_all() {
    local probe port
    probe=$(property probe MainPID) port=$(property port MainPID)
    inside systemctl reload rwsgi
    eventually journal_has port RWSGI_EVENT=reloaded
    equal "$(property probe MainPID) $(property port MainPID)" "$probe $port"
    inside systemctl restart rwsgi
    port_answers
    contains "$(get /)" one
    fails equal "$(property probe MainPID)" "$probe"
    fails equal "$(property port MainPID)" "$port"
}

umbrella_restarts_without_refusing() {
    start_load
    inside systemctl restart rwsgi
    load_was_served
}

umbrella_tells_of_a_failed_reload() {
    probe_code "'three"
    inside systemctl reload rwsgi || true
    contains "$(get /)" one
    port_answers
    eventually journal_has probe RWSGI_EVENT=reload_failed
    probe_code "'one'"
    inside systemctl reload rwsgi
}

umbrella_stops_and_starts_all() {
    inside systemctl stop rwsgi
    eventually has_condition probe inactive/success/0
    eventually has_condition port inactive/success/0
    # What starts with the system, and nothing else.
    inside systemctl start rwsgi
    eventually port_answers
    equal "$(property probe ActiveState)" inactive
}

theme_generator() {
    probe_serves
    check 'user, sockets, limits and autostart are those of the INI file' unit_is_as_its_ini_file_says
    check 'uid and gid of an INI file own process and directories' user_and_group_of_its_own
    check 'a wrong INI file leaves the units of others alone' wrong_ini_leaves_the_others_alone
    check 'uid = root runs no application as root' root_is_refused
    check 'User=root of a drop-in runs no application as root' root_by_drop_in_is_refused
    check 'rwsgi.service reloads and restarts all instances' umbrella_reloads_and_restarts_all
    check 'a restart of all refuses nothing' umbrella_restarts_without_refusing
    check 'broken code of one instance leaves all serving when all are reloaded' umbrella_tells_of_a_failed_reload
    check 'rwsgi.service stops all, and starts what starts with the system' umbrella_stops_and_starts_all
    inside systemctl stop rwsgi@port.socket rwsgi@port
    inside rm -f /etc/rwsgi/port.ini /etc/rwsgi/wrong.ini
    inside systemctl daemon-reload
}
