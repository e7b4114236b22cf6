#!/bin/bash
# Looks at a built package without installing it: lintian, the list of its files with their modes, its dependencies.
#
#   check-deb.sh DEB
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: $0 DEB" >&2; exit 64; }
deb=$1
status=0

# Mode and name of everything in the package but the directories of the system.
expected() {
    cat <<'END'
drwxr-xr-x root/root ./etc/rwsgi/
-rwxr-xr-x root/root ./usr/bin/rwsgi
drwxr-xr-x root/root ./usr/lib/rwsgi/
drwxr-xr-x root/root ./usr/lib/rwsgi/python/
-rw-r--r-- root/root ./usr/lib/rwsgi/python/_rwsgi.abi3.so
-rw-r--r-- root/root ./usr/lib/systemd/system/rwsgi@.service
-rw-r--r-- root/root ./usr/lib/systemd/system/rwsgi@.socket
-rw-r--r-- root/root ./usr/lib/sysusers.d/rwsgi.conf
drwxr-xr-x root/root ./usr/share/doc/rwsgi/
-rw-r--r-- root/root ./usr/share/doc/rwsgi/behind-a-proxy.md
-rw-r--r-- root/root ./usr/share/doc/rwsgi/changelog.gz
-rw-r--r-- root/root ./usr/share/doc/rwsgi/copyright
drwxr-xr-x root/root ./usr/share/doc/rwsgi/examples/
-rw-r--r-- root/root ./usr/share/doc/rwsgi/examples/apache.conf
-rw-r--r-- root/root ./usr/share/doc/rwsgi/examples/bookstore.ini
-rw-r--r-- root/root ./usr/share/doc/rwsgi/examples/haproxy.cfg
-rw-r--r-- root/root ./usr/share/doc/rwsgi/examples/nginx-uwsgi.conf
-rw-r--r-- root/root ./usr/share/doc/rwsgi/examples/nginx.conf
-rw-r--r-- root/root ./usr/share/doc/rwsgi/examples/strict.conf
-rw-r--r-- root/root ./usr/share/doc/rwsgi/examples/uwsgi.ini
-rw-r--r-- root/root ./usr/share/man/man5/rwsgi.ini.5.gz
-rw-r--r-- root/root ./usr/share/man/man8/rwsgi.8.gz
END
}

contained() {
    dpkg-deb --contents "$deb" | awk '{ print $1, $2, $6 }' | grep -E 'rwsgi|^-'
}

# tar cannot be trusted to hide nothing: also what is not ours must not be writable for all, or owned by someone.
odd_modes() {
    dpkg-deb --contents "$deb" | awk '$1 ~ /^.{8}w/ || $1 ~ /[sStT]/ || $2 != "root/root"'
}

lintian --allow-root --pedantic --display-info --fail-on error,warning "$deb" || status=1
diff --unified <(expected | sort -k 3) <(contained | sort -k 3) || { echo "not the files that were expected" >&2; status=1; }
odd=$(odd_modes)
[ -z "$odd" ] || { echo "odd modes or owners: $odd" >&2; status=1; }
[ $status -ne 0 ] || echo "$deb: as it should be"
exit $status
