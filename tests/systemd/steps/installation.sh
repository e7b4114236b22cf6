# From nothing to a package that is there and does nothing yet.
# shellcheck shell=bash disable=SC2154

# A signed repository, as `packaging/build-repository.sh` makes it, by a key that lives as long as this run. Offered to
# the box, it is added to by later versions.
offer() {
    export GNUPGHOME=$work/keys
    if [ ! -d "$GNUPGHOME" ]; then
        mkdir -m 700 "$GNUPGHOME"
        gpg --batch --quiet --passphrase '' --quick-generate-key 'rwsgi test <test@rwsgi.invalid>' ed25519 sign never 2>/dev/null
    fi
    "$root/packaging/build-repository.sh" "$work/repository" test@rwsgi.invalid "$@"
    gpgconf --kill all
    rm -rf "$files/srv/repository"
    cp -r "$work/repository" "$files/srv/"
    put /usr/share/keyrings/rwsgi-archive-keyring.gpg <"$work/repository/rwsgi-archive-keyring.gpg"
    put /etc/apt/sources.list.d/rwsgi.list \
        <<<'deb [signed-by=/usr/share/keyrings/rwsgi-archive-keyring.gpg] file:/srv/repository stable main'
}

# The box has no network; what rwsgi depends on is there already.
apt_get() {
    inside env DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes -o Dir::Etc::SourceList=/etc/apt/sources.list.d/rwsgi.list -o Dir::Etc::SourceParts=/dev/null "$@"
}

# Everything that outlives a reboot, but for the books that apt, dpkg and journald keep.
list_files() {
    inside find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /var/tmp \
        -o -path /root -o -path /srv -o -path /var/lib/apt -o -path /var/cache/apt -o -path /var/lib/dpkg \
        -o -path /var/log/apt -o -path /var/log/journal \) -prune -o -print | sort
}

installs_by_name_without_questions() {
    local said symbols=${deb/rwsgi_/rwsgi-dbgsym_}
    rm -rf "$work/keys" "$work/repository"
    offer "$deb" "$symbols"
    list_files >"$work/before"
    said=$(apt_get update 2>&1)
    fails grep -E '^(W|E|Err)' <<<"$said"
    apt_get install rwsgi
    equal "$(inside dpkg-query --show rwsgi)" "rwsgi"$'\t'"$(dpkg-deb --field "$deb" Version)"
}

# By the build id, as debuggers do.
debug_symbols_are_those_of_the_program() {
    local id
    apt_get install rwsgi-dbgsym
    id=$(readelf --notes "$files/usr/bin/rwsgi" | sed -n 's/.*Build ID: //p')
    inside test -s "/usr/lib/debug/.build-id/${id:0:2}/${id:2}.debug"
    apt_get purge rwsgi-dbgsym
}

starts_nothing_by_itself() {
    equal "$(inside systemctl list-units --all --no-legend 'rwsgi@*')" ''
    equal "$(inside find /etc/systemd/system -name 'rwsgi*')" ''
}

program_runs() {
    contains "$(inside rwsgi --version)" 'rwsgi '
}

has_user() {
    local entry
    entry=$(inside getent passwd rwsgi)
    contains "$entry" ':/var/lib/rwsgi:'
    contains "$entry" nologin
}

doctor_is_content() {
    local said
    said=$(inside rwsgi doctor 2>&1)
    fails grep -E '^error' <<<"$said"
}

sandbox_is_tight() {
    # The score in tenths: "→ Overall exposure level for rwsgi@probe.service: 2.1 OK"
    local score
    score=$(inside systemd-analyze security --no-pager rwsgi@probe.service | sed -n 's/.*Overall.*: \([0-9]*\)\.\([0-9]\) .*/\1\2/p')
    note "systemd $(inside systemctl --version | awk 'NR == 1 { print $2 }'): $((score / 10)).$((score % 10))"
    [ "$score" -le 13 ] || { echo "score: $score tenths"; return 1; }
}

units_verify_silently() {
    local unit said
    for unit in rwsgi.service rwsgi@probe.service rwsgi@probe.socket; do
        said=$(inside systemd-analyze --man=no verify "$unit" 2>&1)
        equal "$(grep -i rwsgi <<<"$said" || true)" ''
    done
}

theme_installation() {
    expect_silence
    check 'apt installs it by name from a signed repository, and asks nothing' installs_by_name_without_questions
    check 'its debug symbols are those of the program' debug_symbols_are_those_of_the_program
    check 'it starts and enables no instance' starts_nothing_by_itself
    check 'the program runs' program_runs
    check 'it has made the user, who cannot log in' has_user
    check 'rwsgi doctor finds no error' doctor_is_content
    # With what its generator makes of an INI file, of a project that has nothing in a home.
    probe_code "'one'"
    printf '[rwsgi]\nhttp = 127.0.0.1:8000\nchdir = /srv/probe\nwsgi-file = probe.py\n' | put /etc/rwsgi/probe.ini
    inside systemctl daemon-reload
    check 'systemd-analyze verify is silent' units_verify_silently
    check 'systemd-analyze security is at most 1.3' sandbox_is_tight
    check 'the installation leaves no warning' nothing_was_warned_of
}
