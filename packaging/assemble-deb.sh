#!/bin/bash
# Puts built files, units and documentation into a .deb. Compiles nothing.
#
#   assemble-deb.sh MASTER EXTENSION
#
# MASTER is the program rwsgi, EXTENSION the Python extension for any CPython (abi3).
# Prints the name of the package. The same input makes the same package, bit by bit.
#
# TARGET_ARCH         amd64 (default) or arm64: what the two files were built for
# SOURCE_DATE_EPOCH   time of all files in the package (default: of the last entry in deb/changelog)
# OUTPUT              directory for the package (default: dist)
set -euo pipefail
# What is in a package must not depend on who builds it.
umask 022
export LC_ALL=C TZ=UTC

packaging=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$packaging")
arch=${TARGET_ARCH:-amd64}
output=${OUTPUT:-$root/dist}

version() {
    sed -n '1s/^rwsgi (\(.*\)) .*/\1/p' "$packaging/deb/changelog"
}

changelog_time() {
    date --date="$(sed -n 's/^ -- .*>  //p' "$packaging/deb/changelog" | head -n 1)" +%s
}

# One line for each file: mode, source, place in the package.
install_files() {
    local mode source place
    while read -r mode source place; do
        install -D -m "$mode" "$source" "$stage/$place"
    done <<END
755 $master usr/bin/rwsgi
644 $extension usr/lib/rwsgi/python/_rwsgi.abi3.so
644 $root/systemd/rwsgi@.service usr/lib/systemd/system/rwsgi@.service
644 $root/systemd/rwsgi@.socket usr/lib/systemd/system/rwsgi@.socket
644 $root/systemd/sysusers.d/rwsgi.conf usr/lib/sysusers.d/rwsgi.conf
644 $packaging/man/rwsgi.8 usr/share/man/man8/rwsgi.8
644 $packaging/man/rwsgi.ini.5 usr/share/man/man5/rwsgi.ini.5
644 $packaging/deb/copyright usr/share/doc/rwsgi/copyright
644 $packaging/deb/changelog usr/share/doc/rwsgi/changelog
644 $packaging/examples/apache.conf usr/share/doc/rwsgi/examples/apache.conf
644 $packaging/examples/haproxy.cfg usr/share/doc/rwsgi/examples/haproxy.cfg
644 $packaging/examples/nginx.conf usr/share/doc/rwsgi/examples/nginx.conf
644 $packaging/examples/nginx-uwsgi.conf usr/share/doc/rwsgi/examples/nginx-uwsgi.conf
644 $root/docs/behind-a-proxy.md usr/share/doc/rwsgi/behind-a-proxy.md
644 $root/docs/control.md usr/share/doc/rwsgi/control.md
644 $packaging/examples/strict.conf usr/share/doc/rwsgi/examples/strict.conf
644 $root/examples/bookstore/rwsgi.ini usr/share/doc/rwsgi/examples/bookstore.ini
644 $root/examples/bookstore/uwsgi.ini usr/share/doc/rwsgi/examples/uwsgi.ini
END
    # For the INI files of the administrator. The package has none of its own.
    install -d "$stage/etc/rwsgi"
    # -n: no name and time of the original in the compressed file.
    gzip -9n "$stage"/usr/share/man/man?/*.? "$stage/usr/share/doc/rwsgi/changelog"
}

# As dpkg-gencontrol counts: each file in whole KiB, each directory one.
installed_size() {
    find "$stage" -mindepth 1 -path "$stage/DEBIAN" -prune -o -printf '%y %s\n' |
        awk '{ sum += $1 == "f" ? int(($2 + 1023) / 1024) : 1 } END { print sum }'
}

write_control() {
    install -d "$stage/DEBIAN"
    install -m 755 "$packaging"/deb/{postinst,prerm,postrm} "$stage/DEBIAN/"
    (cd "$stage" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum) \
        >"$stage/DEBIAN/md5sums"
    sed -e "s/@VERSION@/$(version)/" -e "s/@ARCHITECTURE@/$arch/" -e "s/@INSTALLED_SIZE@/$(installed_size)/" \
        "$packaging/deb/control.in" >"$stage/DEBIAN/control"
}

[ $# -eq 2 ] || { echo "usage: $0 MASTER EXTENSION" >&2; exit 64; }
master=$1
extension=$2
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(changelog_time)}"

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
chmod 755 "$stage"
install_files
write_control

mkdir -p "$output"
deb=$output/rwsgi_$(version)_$arch.deb
# xz: dpkg of Debian 11 cannot read zstd.
dpkg-deb --build --root-owner-group -Zxz "$stage" "$deb" >&2
echo "$deb"
