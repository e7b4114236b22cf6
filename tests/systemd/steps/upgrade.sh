# Newer versions, and the end.
# shellcheck shell=bash disable=SC2154

# next_version PART: the same package as the next version, in the repository.
offer_next_version() {
    local next=$work/next version
    rm -rf "$next"
    dpkg-deb --raw-extract "$deb" "$next"
    sed -i "s/^Version: .*/&+$1/" "$next/DEBIAN/control"
    version=$(dpkg-deb --field "$deb" Version)+$1
    dpkg-deb --build --root-owner-group -Zgzip "$next" "$work/rwsgi_${version}_amd64.deb" >/dev/null
    offer "$work/rwsgi_${version}_amd64.deb"
    apt_get update
}

# The master is the program that is there, as is the extension of its children.
runs_what_is_installed() {
    # shellcheck disable=SC2016  # for the shell inside
    inside sh -c '
        pids=$(grep -l "/rwsgi@$1.service$" /proc/[0-9]*/cgroup | cut -d/ -f3)
        [ "$(echo "$pids" | wc -l)" -ge 3 ] || exit 1
        for pid in $pids; do ! grep -q " /usr/.*[(]deleted[)]" "/proc/$pid/maps" || exit 1; done' sh "$1"
}

upgrade_loses_nothing() {
    local before
    before=$(property probe MainPID)
    offer_next_version next
    start_load
    apt_get upgrade
    load_was_served
    contains "$(inside dpkg-query --show rwsgi)" +next
    equal "$(property probe MainPID)" "$before"
    equal "$(condition probe)" active/success/0
    eventually journal_has probe RWSGI_EVENT=takeover
    eventually runs_what_is_installed probe
}

upgrade_behind_a_socket_loses_nothing() {
    probe_serves 'socket-activation = true'
    offer_next_version next2
    start_load
    apt_get install rwsgi
    load_was_served
    equal "$(condition probe)" active/success/0
    inside systemctl stop rwsgi@probe.socket
    probe_serves
}

active_masters() {
    inside systemctl show --property=Id,MainPID --state=active 'rwsgi@*.service'
}

reinstallation_reloads_what_runs() {
    local before masters
    masters=$(active_masters)
    before=$(property probe MainPID)
    apt_get install --reinstall rwsgi
    contains "$(get /)" one
    equal "$(property probe MainPID)" "$before"
    equal "$(active_masters)" "$masters"
}

upgrade_does_not_end_what_could_not_start() {
    local before said
    before=$(property probe MainPID)
    probe_code "'three"
    said=$(apt_get install --reinstall rwsgi 2>&1)
    contains "$said" 'not every instance runs the new version'
    contains "$(get /)" one
    equal "$(property probe MainPID)/$(property probe ActiveState)" "$before/active"
    probe_code "'one'"
    inside systemctl reload rwsgi@probe
}

unit_files_raise_no_warning() {
    inside journalctl --sync
    equal "$(inside journalctl --no-pager --quiet | grep -v "$of_the_box" |
        grep -E 'system/rwsgi(@|\.service|\.socket)|rwsgi@?[a-z]*\.(service|socket):.*(ignoring|Failed to parse|deprecated|obsolete)|sysusers.d/rwsgi|[Uu]nknown (key|lvalue|section)' ||
        true)" ''
}

removal_stops_and_keeps_what_is_not_its_own() {
    # A setting that lies elsewhere than those of systemctl edit, for purge to find.
    inside systemctl set-property rwsgi@probe.service CPUWeight=50
    apt_get remove rwsgi
    equal "$(inside systemctl list-units --state=active --no-legend 'rwsgi*')" ''
    fails get /
    inside test -e /etc/rwsgi/probe.ini
    inside test -d /var/lib/rwsgi/probe
    equal "$(inside sh -c 'ls -A /run/rwsgi 2>/dev/null || true')" ''
    equal "$(inside find /run/systemd/generator /run/systemd/generator.late /run/systemd/generator.early -name '*rwsgi*')" ''
}

# Of a system user, Debian packages leave the entry, so that its number is not given to a stranger.
purge_leaves_nothing() {
    apt_get purge rwsgi
    list_files >"$work/after"
    # Copies that passwd, group and their like keep of the version before.
    local remains='^/etc/(passwd|group|shadow|gshadow|subuid|subgid)-$'
    # Written by the system while the scenario ran, whatever it was about.
    local system='^/var/(lib/(systemd|nginx|logrotate)/|log/nginx/|log/(dpkg|alternatives)\.log$|log/(wtmp|btmp|lastlog)$|cache/(debconf|ldconfig)/)'
    # What the scenario itself has put there.
    local scenario='^/(etc/apt/sources\.list\.d/rwsgi\.list|usr/share/keyrings/rwsgi-archive-keyring\.gpg)$'
    equal "$(comm -13 "$work/before" "$work/after" | grep -Ev "$remains|$system|$scenario" || true)" ''
    equal "$(comm -23 "$work/before" "$work/after")" ''
    equal "$(inside systemctl list-unit-files --no-legend 'rwsgi*')" ''
    equal "$(inside systemctl list-units --all --no-legend 'rwsgi*')" ''
}

theme_upgrade() {
    expect_silence
    probe_serves
    check 'apt upgrade under load loses nothing' upgrade_loses_nothing
    check 'an upgrade under load behind a socket unit loses nothing' upgrade_behind_a_socket_loses_nothing
    check 'a reinstallation reloads what runs, and only that' reinstallation_reloads_what_runs
    check 'none of it leaves a warning' nothing_was_warned_of
    check 'an upgrade does not end an instance whose code is broken' upgrade_does_not_end_what_could_not_start
    check 'systemd warns of nothing in the unit files, from the first entry to the last' unit_files_raise_no_warning
    check 'removal stops all, and keeps configuration and data' removal_stops_and_keeps_what_is_not_its_own
    check 'purge leaves nothing behind' purge_leaves_nothing
    not_available 'AppArmor confines an instance' 'a box has no AppArmor; packaging/check-deb.sh parses the profile'
}
