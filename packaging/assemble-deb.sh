#!/bin/bash
# Puts built files, units and documentation into a .deb, and their debug symbols into another. Compiles nothing.
#
#   assemble-deb.sh MASTER EXTENSION
#
# MASTER is the program rwsgi, EXTENSION the Python extension for any CPython (abi3), both with debug information.
# Prints the names of the packages. The same input makes the same packages, bit by bit.
#
# TARGET_ARCH         amd64 (default) or arm64: what the two files were built for
# SOURCE_DATE_EPOCH   time of all files in the packages (default: of the last entry in deb/changelog)
# OUTPUT              directory for the packages (default: dist)
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
644 $root/src/worker/outside.py usr/share/rwsgi/python/rwsgi/__init__.py
644 $root/src/worker/logging.py usr/share/rwsgi/python/rwsgi/logging.py
644 $root/systemd/rwsgi@.service usr/lib/systemd/system/rwsgi@.service
644 $root/systemd/rwsgi@.socket usr/lib/systemd/system/rwsgi@.socket
644 $root/systemd/rwsgi.service usr/lib/systemd/system/rwsgi.service
644 $root/systemd/sysusers.d/rwsgi.conf usr/lib/sysusers.d/rwsgi.conf
644 $root/systemd/catalog/rwsgi.catalog usr/lib/systemd/catalog/rwsgi.catalog
644 $packaging/deb/logrotate etc/logrotate.d/rwsgi
644 $packaging/apparmor/usr.bin.rwsgi usr/share/apparmor/extra-profiles/usr.bin.rwsgi
644 $packaging/completion/rwsgi.bash usr/share/bash-completion/completions/rwsgi
644 $packaging/completion/_rwsgi usr/share/zsh/vendor-completions/_rwsgi
644 $packaging/completion/rwsgi.fish usr/share/fish/vendor_completions.d/rwsgi.fish
644 $packaging/man/rwsgi.8 usr/share/man/man8/rwsgi.8
644 $packaging/man/rwsgi-generator.8 usr/share/man/man8/rwsgi-generator.8
644 $packaging/man/rwsgi.ini.5 usr/share/man/man5/rwsgi.ini.5
644 $packaging/man/rwsgi.journal-fields.7 usr/share/man/man7/rwsgi.journal-fields.7
644 $packaging/deb/changelog usr/share/doc/rwsgi/changelog
644 $root/docs/application.md usr/share/doc/rwsgi/application.md
644 $root/docs/behind-a-proxy.md usr/share/doc/rwsgi/behind-a-proxy.md
644 $root/docs/beside.md usr/share/doc/rwsgi/beside.md
644 $root/docs/configuration.md usr/share/doc/rwsgi/configuration.md
644 $root/docs/control.md usr/share/doc/rwsgi/control.md
644 $root/docs/hooks.md usr/share/doc/rwsgi/hooks.md
644 $root/docs/logging.md usr/share/doc/rwsgi/logging.md
644 $root/docs/routing.md usr/share/doc/rwsgi/routing.md
644 $root/docs/static-files.md usr/share/doc/rwsgi/static-files.md
644 $root/docs/systemd.md usr/share/doc/rwsgi/systemd.md
644 $root/docs/upgrades.md usr/share/doc/rwsgi/upgrades.md
644 $root/docs/uwsgi.md usr/share/doc/rwsgi/uwsgi.md
644 $root/docs/workers.md usr/share/doc/rwsgi/workers.md
644 $packaging/examples/apache.conf usr/share/doc/rwsgi/examples/apache.conf
644 $packaging/examples/Caddyfile usr/share/doc/rwsgi/examples/Caddyfile
644 $packaging/examples/django.ini usr/share/doc/rwsgi/examples/django.ini
644 $packaging/examples/flask.ini usr/share/doc/rwsgi/examples/flask.ini
644 $packaging/examples/haproxy.cfg usr/share/doc/rwsgi/examples/haproxy.cfg
644 $packaging/examples/journald.conf usr/share/doc/rwsgi/examples/journald.conf
644 $packaging/examples/nginx.conf usr/share/doc/rwsgi/examples/nginx.conf
644 $packaging/examples/nginx-uwsgi.conf usr/share/doc/rwsgi/examples/nginx-uwsgi.conf
644 $packaging/examples/strict.conf usr/share/doc/rwsgi/examples/strict.conf
644 $root/examples/bookstore/rwsgi.ini usr/share/doc/rwsgi/examples/bookstore.ini
644 $root/examples/bookstore/uwsgi.ini usr/share/doc/rwsgi/examples/uwsgi.ini
END
    "$packaging/linked-packages" copyright "$target" >"$stage/usr/share/doc/rwsgi/copyright"
    "$packaging/linked-packages" sbom "$target" >"$stage/usr/share/doc/rwsgi/sbom.cdx.json"
    # What each release of systemd knows first, and what links it: the program by another name.
    install -D -m 644 -t "$stage/usr/lib/rwsgi/systemd" "$root"/systemd/floors/*.conf
    install -d "$stage/usr/lib/systemd/system-generators"
    ln -s ../../../bin/rwsgi "$stage/usr/lib/systemd/system-generators/rwsgi-generator"
    # For the INI files of the administrator. The package has none of its own.
    install -d "$stage/etc/rwsgi"
    # -n: no name and time of the original in the compressed file.
    gzip -9n "$stage"/usr/share/man/man?/*.? "$stage/usr/share/doc/rwsgi/changelog"
}

build_id() {
    local id
    id=$(readelf --notes "$1" 2>/dev/null | sed -n 's/.*Build ID: //p')
    [ -n "$id" ] || { echo "$0: $1 has no build id: its debug symbols would not be found" >&2; exit 1; }
    echo "$id"
}

# Debug information goes to where debuggers look for it by build id; the programs keep what they run with.
split_debug_symbols() {
    local file id
    build_ids=
    for file in "$stage/usr/bin/rwsgi" "$stage/usr/lib/rwsgi/python/_rwsgi.abi3.so"; do
        id=$(build_id "$file")
        build_ids+=${build_ids:+ }$id
        install -d "$symbols/usr/lib/debug/.build-id/${id:0:2}"
        "$gnu-objcopy" --only-keep-debug --compress-debug-sections "$file" "$stage/debug"
        install -m 644 "$stage/debug" "$symbols/usr/lib/debug/.build-id/${id:0:2}/${id:2}.debug"
        rm "$stage/debug"
        "$gnu-strip" --strip-unneeded --remove-section=.comment "$file"
    done
    install -d "$symbols/usr/share/doc"
    ln -s rwsgi "$symbols/usr/share/doc/rwsgi-dbgsym"
}

# As dpkg-gencontrol counts: each file in whole KiB, everything else one.
installed_size() {
    find "$1" -mindepth 1 -path "$1/DEBIAN" -prune -o -printf '%y %s\n' |
        awk '{ sum += $1 == "f" ? int(($2 + 1023) / 1024) : 1 } END { print sum }'
}

# write_control DIRECTORY TEMPLATE
write_control() {
    install -d "$1/DEBIAN"
    (cd "$1" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum) >"$1/DEBIAN/md5sums"
    sed -e "s/@VERSION@/$(version)/" -e "s/@ARCHITECTURE@/$arch/" -e "s/@INSTALLED_SIZE@/$(installed_size "$1")/" \
        -e "s/@BUILD_IDS@/$build_ids/" "$packaging/deb/$2" >"$1/DEBIAN/control"
}

# build DIRECTORY NAME
build() {
    local deb
    deb=$output/$2_$(version)_$arch.deb
    # xz: dpkg of Debian 11 cannot read zstd.
    dpkg-deb --build --root-owner-group -Zxz "$1" "$deb" >&2
    echo "$deb"
}

[ $# -eq 2 ] || { echo "usage: $0 MASTER EXTENSION" >&2; exit 64; }
master=$1
extension=$2
case $arch in
    amd64) target=x86_64-unknown-linux-gnu gnu=x86_64-linux-gnu ;;
    arm64) target=aarch64-unknown-linux-gnu gnu=aarch64-linux-gnu ;;
    *) echo "$0: TARGET_ARCH is amd64 or arm64, not $arch" >&2; exit 64 ;;
esac
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(changelog_time)}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
stage=$work/rwsgi
symbols=$work/rwsgi-dbgsym
mkdir -p "$stage" "$symbols" "$output"
install_files
split_debug_symbols
write_control "$stage" control.in
install -m 755 "$packaging"/deb/{postinst,prerm,postrm} "$stage/DEBIAN/"
# What is in /etc belongs to the administrator once it was changed.
(cd "$stage" && find etc -type f -printf '/%p\n' | sort) >"$stage/DEBIAN/conffiles"
write_control "$symbols" dbgsym.in
build "$stage" rwsgi
build "$symbols" rwsgi-dbgsym
