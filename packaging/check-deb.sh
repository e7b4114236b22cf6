#!/bin/bash
# Looks at built packages without installing them: lintian, the list of their files with their modes, and their parts
# by the programs that read them.
#
#   check-deb.sh DEB…       rwsgi, and rwsgi-dbgsym
set -euo pipefail

[ $# -ge 1 ] || { echo "usage: $0 DEB…" >&2; exit 64; }
here=$(cd "$(dirname "$0")" && pwd)
status=0

# shellcheck disable=SC2317  # lists are called by name
# Mode and name of everything in the package but the directories of the system.
expected() {
    cat <<'END'
-rw-r--r-- root/root ./etc/logrotate.d/rwsgi
drwxr-xr-x root/root ./etc/rwsgi/
-rwxr-xr-x root/root ./usr/bin/rwsgi
drwxr-xr-x root/root ./usr/lib/rwsgi/
drwxr-xr-x root/root ./usr/lib/rwsgi/python/
-rw-r--r-- root/root ./usr/lib/rwsgi/python/_rwsgi.abi3.so
drwxr-xr-x root/root ./usr/lib/rwsgi/systemd/
-rw-r--r-- root/root ./usr/lib/rwsgi/systemd/239.conf
-rw-r--r-- root/root ./usr/lib/rwsgi/systemd/240.conf
-rw-r--r-- root/root ./usr/lib/rwsgi/systemd/242.conf
-rw-r--r-- root/root ./usr/lib/rwsgi/systemd/243.conf
-rw-r--r-- root/root ./usr/lib/rwsgi/systemd/244.conf
-rw-r--r-- root/root ./usr/lib/rwsgi/systemd/245.conf
-rw-r--r-- root/root ./usr/lib/rwsgi/systemd/247.conf
-rw-r--r-- root/root ./usr/lib/rwsgi/systemd/248.conf
-rw-r--r-- root/root ./usr/lib/systemd/catalog/rwsgi.catalog
lrwxrwxrwx root/root ./usr/lib/systemd/system-generators/rwsgi-generator
-rw-r--r-- root/root ./usr/lib/systemd/system/rwsgi.service
-rw-r--r-- root/root ./usr/lib/systemd/system/rwsgi@.service
-rw-r--r-- root/root ./usr/lib/systemd/system/rwsgi@.socket
-rw-r--r-- root/root ./usr/lib/sysusers.d/rwsgi.conf
-rw-r--r-- root/root ./usr/share/apparmor/extra-profiles/usr.bin.rwsgi
-rw-r--r-- root/root ./usr/share/bash-completion/completions/rwsgi
drwxr-xr-x root/root ./usr/share/doc/rwsgi/
-rw-r--r-- root/root ./usr/share/doc/rwsgi/application.md
-rw-r--r-- root/root ./usr/share/doc/rwsgi/behind-a-proxy.md
-rw-r--r-- root/root ./usr/share/doc/rwsgi/beside.md
-rw-r--r-- root/root ./usr/share/doc/rwsgi/changelog.gz
-rw-r--r-- root/root ./usr/share/doc/rwsgi/configuration.md
-rw-r--r-- root/root ./usr/share/doc/rwsgi/control.md
-rw-r--r-- root/root ./usr/share/doc/rwsgi/copyright
drwxr-xr-x root/root ./usr/share/doc/rwsgi/examples/
-rw-r--r-- root/root ./usr/share/doc/rwsgi/examples/Caddyfile
-rw-r--r-- root/root ./usr/share/doc/rwsgi/examples/apache.conf
-rw-r--r-- root/root ./usr/share/doc/rwsgi/examples/bookstore.ini
-rw-r--r-- root/root ./usr/share/doc/rwsgi/examples/django.ini
-rw-r--r-- root/root ./usr/share/doc/rwsgi/examples/flask.ini
-rw-r--r-- root/root ./usr/share/doc/rwsgi/examples/haproxy.cfg
-rw-r--r-- root/root ./usr/share/doc/rwsgi/examples/journald.conf
-rw-r--r-- root/root ./usr/share/doc/rwsgi/examples/nginx-uwsgi.conf
-rw-r--r-- root/root ./usr/share/doc/rwsgi/examples/nginx.conf
-rw-r--r-- root/root ./usr/share/doc/rwsgi/examples/strict.conf
-rw-r--r-- root/root ./usr/share/doc/rwsgi/examples/uwsgi.ini
-rw-r--r-- root/root ./usr/share/doc/rwsgi/hooks.md
-rw-r--r-- root/root ./usr/share/doc/rwsgi/logging.md
-rw-r--r-- root/root ./usr/share/doc/rwsgi/routing.md
-rw-r--r-- root/root ./usr/share/doc/rwsgi/sbom.cdx.json
-rw-r--r-- root/root ./usr/share/doc/rwsgi/static-files.md
-rw-r--r-- root/root ./usr/share/doc/rwsgi/systemd.md
-rw-r--r-- root/root ./usr/share/doc/rwsgi/upgrades.md
-rw-r--r-- root/root ./usr/share/doc/rwsgi/uwsgi.md
-rw-r--r-- root/root ./usr/share/doc/rwsgi/workers.md
-rw-r--r-- root/root ./usr/share/fish/vendor_completions.d/rwsgi.fish
-rw-r--r-- root/root ./usr/share/man/man5/rwsgi.ini.5.gz
-rw-r--r-- root/root ./usr/share/man/man7/rwsgi.journal-fields.7.gz
-rw-r--r-- root/root ./usr/share/man/man8/rwsgi-generator.8.gz
-rw-r--r-- root/root ./usr/share/man/man8/rwsgi.8.gz
drwxr-xr-x root/root ./usr/share/rwsgi/
drwxr-xr-x root/root ./usr/share/rwsgi/python/
drwxr-xr-x root/root ./usr/share/rwsgi/python/rwsgi/
-rw-r--r-- root/root ./usr/share/rwsgi/python/rwsgi/__init__.py
-rw-r--r-- root/root ./usr/share/rwsgi/python/rwsgi/logging.py
-rw-r--r-- root/root ./usr/share/zsh/vendor-completions/_rwsgi
END
}

# shellcheck disable=SC2317
# Mode and name of everything that debug symbols are.
expected_symbols() {
    cat <<'END'
-rw-r--r-- root/root ./usr/lib/debug/.build-id/xx/x.debug
-rw-r--r-- root/root ./usr/lib/debug/.build-id/xx/x.debug
lrwxrwxrwx root/root ./usr/share/doc/rwsgi-dbgsym
END
}

contained() {
    dpkg-deb --contents "$1" | awk '{ print $1, $2, $6 }' | grep -E 'rwsgi|^-' |
        sed -E 's|build-id/[0-9a-f]{2}/[0-9a-f]{38}[.]|build-id/xx/x.|'
}

# tar cannot be trusted to hide nothing: also what is not ours must not be writable for all, or owned by someone.
odd_modes() {
    dpkg-deb --contents "$1" | awk '$1 ~ /^[^l].{7}w/ || $1 ~ /[sStT]/ || $2 != "root/root"'
}

complain() {
    echo "$deb: $*" >&2
    status=1
}

check_files() {
    local odd
    diff --unified <("$1" | sort -k 3) <(contained "$deb" | sort -k 3) || complain "not the files that were expected"
    odd=$(odd_modes "$deb")
    [ -z "$odd" ] || complain "odd modes or owners: $odd"
}

# They are for the machines that the package is for, and run with the oldest glibc. Nothing is executed: it may be another
# architecture than this one's.
check_programs() {
    local file machine
    case $(dpkg-deb --field "$deb" Architecture) in
        amd64) machine=X86-64 ;;
        arm64) machine=AArch64 ;;
        *) complain "an architecture that packaging/check-deb.sh does not know"; return ;;
    esac
    for file; do
        readelf --file-header "$file" | grep -q "Machine:.* $machine\$" || complain "$file is not for $machine"
    done
    "$here/check-glibc.sh" "$@" || complain "needs a newer glibc"
}

# What only an administrator would find broken, by its own reader.
check_parts() {
    local root said
    root=$(mktemp -d)
    dpkg-deb --extract "$deb" "$root"
    journalctl --root="$root" --update-catalog
    [ "$(journalctl --root="$root" --list-catalog | wc -l)" = "$(grep -c '^-- ' "$root/usr/lib/systemd/catalog/rwsgi.catalog")" ] ||
        complain "not every entry of the message catalogue is read"
    # -Q: read it only, for this kernel may have no AppArmor.
    said=$(apparmor_parser -Q -K "$root/usr/share/apparmor/extra-profiles/usr.bin.rwsgi" 2>&1) || complain "AppArmor: $said"
    # This machine does not have the user.
    sed -i 's/su rwsgi rwsgi/su root root/' "$root/etc/logrotate.d/rwsgi"
    said=$(logrotate --debug --state "$root/state" "$root/etc/logrotate.d/rwsgi" 2>&1) || complain "logrotate: $said"
    check_programs "$root/usr/bin/rwsgi" "$root/usr/lib/rwsgi/python/_rwsgi.abi3.so"
    python3 -m json.tool "$root/usr/share/doc/rwsgi/sbom.cdx.json" >/dev/null || complain "the bill of materials is no JSON"
    ! grep -aoE '/[.](cargo|rustup)/[[:graph:]]{,40}|/tmp/tmp[.][[:graph:]]{,40}|registry/src/[[:graph:]]{,40}' \
        "$root"/usr/bin/rwsgi "$root"/usr/lib/rwsgi/python/* | sort -u | head -n 3 | grep . ||
        complain "a program tells where it was built"
    rm -rf "$root"
}

for deb; do
    lintian --allow-root --pedantic --display-info --fail-on error,warning "$deb" || status=1
    case ${deb##*/} in
        rwsgi-dbgsym_*) check_files expected_symbols ;;
        *) check_files expected; check_parts ;;
    esac
done
[ $status -ne 0 ] || echo "$*: as it should be"
exit $status
