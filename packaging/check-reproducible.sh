#!/bin/bash
# Makes the packages a second time, in other circumstances, and fails if they differ in a single bit.
#
#   check-reproducible.sh                           two whole builds of the last commit: ten minutes, a gigabyte or two
#   check-reproducible.sh MASTER EXTENSION DEB…     assembles the two programs again, and compares with these
#
# TARGET_ARCH   as for build-deb.sh
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/first" "$work/second"
unset CARGO_TARGET_DIR

# Paths of different length, for they are in what a compiler writes.
build_twice() {
    git clone --quiet "$root" "$work/a"
    git clone --quiet "$root" "$work/a-longer-path/of-another-checkout"
    OUTPUT=$work/first "$work/a/packaging/build-deb.sh"
    OUTPUT=$work/second TZ=Asia/Tokyo "$work/a-longer-path/of-another-checkout/packaging/build-deb.sh"
}

assemble_again() {
    local master extension epoch
    master=$(realpath "$1")
    extension=$(realpath "$2")
    shift 2
    install -m 644 "$@" "$work/first/"
    # The time of its first part, in the head of a .deb.
    epoch=$(head -c 36 "$1" | tail -c 12 | tr -d ' ')
    (cd / && umask 077 && export SOURCE_DATE_EPOCH="$epoch" OUTPUT=$work/second TZ=Asia/Tokyo LC_ALL=C.UTF-8 &&
        "$root/packaging/assemble-deb.sh" "$master" "$extension")
}

case $# in
    0) build_twice >&2 ;;
    1 | 2) echo "usage: $0 [MASTER EXTENSION DEB…]" >&2; exit 64 ;;
    *) assemble_again "$@" >&2 ;;
esac

first=$(cd "$work/first" && sha256sum -- *.deb)
second=$(cd "$work/second" && sha256sum -- *.deb)
echo "$first"
[ "$first" = "$second" ] || { echo "$0: the second time it was another one:" >&2; echo "$second" >&2; exit 1; }
echo "twice the same"
