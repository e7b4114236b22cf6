# systemd has the socket, and the service comes and goes behind it.
# shellcheck shell=bash disable=SC2154

socket_is_for_the_web_server() {
    inside systemctl stop rwsgi@probe
    inside systemctl enable --now rwsgi@probe.socket
    equal "$(inside stat --format=%U:%G:%a /run/rwsgi/probe.sock)" root:www-data:660
    equal "$(property probe ActiveState)" inactive
    fails connect_as nobody
    equal "$(property probe ActiveState)" inactive
}

connect_as() {
    inside setpriv --reuid="$1" --regid="$(inside id -g "$1")" --clear-groups -- python3 -c '
import socket
client = socket.socket(socket.AF_UNIX)
client.settimeout(20)
client.connect("/run/rwsgi/probe.sock")
client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
print(b"".join(iter(lambda: client.recv(65536), b"")).decode())'
}

first_connection_starts_the_service() {
    contains "$(connect_as www-data)" one
    equal "$(property probe ActiveState)" active
}

socket_outlives_the_service() {
    inside systemctl stop rwsgi@probe
    inside test -S /run/rwsgi/probe.sock
    contains "$(connect_as www-data)" one
}

restart_behind_a_unix_socket_refuses_nothing() {
    local before
    before=$(property probe MainPID)
    start_load "$files/run/rwsgi/probe.sock"
    inside systemctl restart rwsgi@probe
    load_was_served
    fails equal "$(property probe MainPID)" "$before"
}

port_by_drop_in() {
    inside systemctl stop rwsgi@probe.socket rwsgi@probe
    printf '[Socket]\nListenStream=\nListenStream=127.0.0.1:8000\n' |
        put /etc/systemd/system/rwsgi@probe.socket.d/override.conf
    inside systemctl daemon-reload
    inside systemctl start rwsgi@probe.socket
    equal "$(property probe ActiveState)" inactive
    contains "$(get /)" one
    equal "$(property probe ActiveState)" active
}

restart_behind_a_port_refuses_nothing() {
    start_load
    inside systemctl restart rwsgi@probe
    load_was_served
}

dead_master_behind_the_socket_refuses_nobody() {
    local before
    probe_serves 'socket-activation = true'
    before=$(property probe MainPID)
    start_load
    inside sh -c "kill -KILL $before"
    eventually came_back probe "$before"
    load_was_served_but_for 4
}

# ------------------------------------------------------------------ an instance that is there when it is needed

# What has had the port itself gives it to systemd.
socket_activation_comes_with_a_restart() {
    inside systemctl disable --now rwsgi@probe.socket rwsgi@probe
    inside rm -r /etc/systemd/system/rwsgi@probe.socket.d
    probe_serves
    probe_serves 'socket-activation = true'
    contains "$(get /)" one
    equal "$(inside systemctl is-active rwsgi@probe.socket)" active
    inside systemctl stop rwsgi@probe
    contains "$(get /)" one
    inside systemctl stop rwsgi@probe.socket rwsgi@probe
}

ini_file_asks_for_the_socket() {
    put /etc/rwsgi/lazy.ini <<'END_OF_INI'
[rwsgi]
http = 127.0.0.1:8003
socket-activation = true
idle = 1
die-on-idle = true
chdir = /srv/probe
wsgi-file = probe.py
END_OF_INI
    inside systemctl daemon-reload
    inside systemctl start rwsgi@lazy.socket
    equal "$(property lazy ActiveState)" inactive
    contains "$(fetch 8003 /)" one
    equal "$(condition lazy)" active/success/0
}

idle_instance_ends() {
    eventually has_condition lazy inactive/success/0
    equal "$(inside systemctl is-active rwsgi@lazy.socket)" active
}

it_returns_by_the_socket() {
    local _
    for _ in 1 2 3; do
        contains "$(fetch 8003 /)" one
        eventually has_condition lazy inactive/success/0
    done
}

# Whoever connects in the very moment in which it leaves is served by the next one.
nobody_is_lost_while_it_comes_and_goes() {
    local round answer
    for round in 0 1 2 3 4 5 6 7 8 9; do
        answer=$(fetch 8003 /)
        contains "$answer" one
        sleep "1.0$round"
    done
}

theme_sockets() {
    expect_silence
    probe_serves
    check 'the socket is for the web server, not for everyone' socket_is_for_the_web_server
    check 'the first connection starts the service' first_connection_starts_the_service
    check 'the socket outlives the service' socket_outlives_the_service
    check 'a restart behind a UNIX socket refuses nothing' restart_behind_a_unix_socket_refuses_nothing
    check 'a drop-in moves the socket to a TCP port' port_by_drop_in
    check 'a restart behind a port of systemd refuses nothing' restart_behind_a_port_refuses_nothing
    check 'socket-activation of an INI file counts from the next restart on' socket_activation_comes_with_a_restart
    check 'socket-activation of an INI file starts the service with the first connection' ini_file_asks_for_the_socket
    check 'die-on-idle ends an idle instance, and its socket stays' idle_instance_ends
    check 'the next connection brings it back' it_returns_by_the_socket
    check 'nobody is lost while it comes and goes' nobody_is_lost_while_it_comes_and_goes
    check 'none of it leaves a warning' nothing_was_warned_of
    check 'a master that is killed behind its socket comes back, and nobody is refused' dead_master_behind_the_socket_refuses_nobody
    inside systemctl stop rwsgi@probe.socket
    inside systemctl stop rwsgi@lazy.socket rwsgi@lazy
    inside rm /etc/rwsgi/lazy.ini
}
