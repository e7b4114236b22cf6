#!/bin/bash
# Makes or renews a signed apt repository, a directory that any web server can offer: `apt install rwsgi` by name.
#
#   build-repository.sh DIRECTORY KEY [DEB…]
#
# KEY is a secret key of gpg, by fingerprint or mail address. The packages are added to those that are there already.
# On the machines that install:
#
#   install -m 644 DIRECTORY/rwsgi-archive-keyring.gpg /usr/share/keyrings/
#   echo 'deb [signed-by=/usr/share/keyrings/rwsgi-archive-keyring.gpg] URL_OF_DIRECTORY stable main' \
#       >/etc/apt/sources.list.d/rwsgi.list
#
# SUITE               name of the suite (default: stable)
# SOURCE_DATE_EPOCH   date of the index (default: now)
set -euo pipefail
umask 022
export LC_ALL=C TZ=UTC

suite=${SUITE:-stable}
architectures=(amd64 arm64)

add_packages() {
    local deb pool=$directory/pool/main/r/rwsgi
    mkdir -p "$pool"
    for deb; do
        # What has a name and a version never changes: apt and caches between would see another checksum than the list's.
        if [ -e "$pool/$(basename "$deb")" ] && ! cmp --quiet "$deb" "$pool/$(basename "$deb")"; then
            echo "$0: another $(basename "$deb") is in the repository already: give it a new version" >&2
            exit 1
        fi
        install -m 644 "$deb" "$pool/"
    done
}

write_lists() {
    local architecture lists
    for architecture in "${architectures[@]}"; do
        lists=$directory/dists/$suite/main/binary-$architecture
        mkdir -p "$lists"
        (cd "$directory" && apt-ftparchive --arch "$architecture" packages pool) >"$lists/Packages"
        gzip -9n --keep --force "$lists/Packages"
        xz -9 --keep --force "$lists/Packages"
    done
}

write_release() {
    local release=$directory/dists/$suite
    rm -f "$release"/{Release,InRelease,Release.gpg}
    (cd "$release" && apt-ftparchive \
        -o APT::FTPArchive::Release::Origin=rwsgi \
        -o APT::FTPArchive::Release::Label=rwsgi \
        -o APT::FTPArchive::Release::Suite="$suite" \
        -o APT::FTPArchive::Release::Codename="$suite" \
        -o APT::FTPArchive::Release::Components=main \
        -o APT::FTPArchive::Release::Architectures="${architectures[*]}" \
        release .) >"$work/Release"
    if [ -n "${SOURCE_DATE_EPOCH:-}" ]; then
        sed -i "s/^Date: .*/Date: $(date --date="@$SOURCE_DATE_EPOCH" '+%a, %d %b %Y %T +0000')/" "$work/Release"
    fi
    install -m 644 "$work/Release" "$release/Release"
    gpg --batch --yes --local-user "$key" --armor --detach-sign --output "$release/Release.gpg" "$release/Release"
    gpg --batch --yes --local-user "$key" --clear-sign --output "$release/InRelease" "$release/Release"
    gpg --batch --yes --export --output "$directory/rwsgi-archive-keyring.gpg" "$key"
}

[ $# -ge 2 ] || { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 64; }
mkdir -p "$1"
directory=$(cd "$1" && pwd)
key=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
add_packages "$@"
write_lists
write_release
echo "$directory"
