#!/bin/bash
# Fails if a program or library needs a symbol newer than the oldest glibc that the package supports.
#
#   check-glibc.sh FILE…
#
# GLIBC_FLOOR   the oldest glibc (default 2.27: Ubuntu 18.04)
set -euo pipefail

floor=${GLIBC_FLOOR:-2.27}

# readelf, unlike objdump, reads the files of any architecture.
newest_needed() {
    readelf --wide --version-info "$1" | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -Vu | tail -n 1
}

[ $# -ge 1 ] || { echo "usage: $0 FILE…" >&2; exit 64; }
status=0
for file; do
    needed=$(newest_needed "$file")
    if [ "$(printf '%s\n' "$needed" "$floor" | sort -V | tail -n 1)" = "$floor" ]; then
        echo "$file: needs glibc ${needed:-of any age} (at most $floor is allowed)"
    else
        echo "$file: needs glibc $needed, which is newer than $floor:" >&2
        readelf --wide --dyn-syms "$file" | grep -F "@GLIBC_$needed" >&2
        status=1
    fi
done
exit $status
