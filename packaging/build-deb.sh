#!/bin/bash
# From a clean checkout to dist/rwsgi_VERSION_ARCH.deb, for Ubuntu 18.04, Debian 11 and everything newer.
#
#   build-deb.sh
#
# TARGET_ARCH         amd64 (default), or arm64 after `rustup target add aarch64-unknown-linux-gnu`
# SOURCE_DATE_EPOCH   time of all files in the package (default: of the last commit)
#
# Needs cargo, python3-venv, binutils and dpkg. Where cargo-zigbuild is not on the PATH, it is installed from PyPI into
# target/zig, once.
set -euo pipefail

cd "$(dirname "$0")/.."
root=$PWD

# zig links against the symbols of an older glibc than the one of the machine that builds.
glibc_floor=2.27
zigbuild_version=0.24.0
zig_version=0.17.1

case ${TARGET_ARCH:=amd64} in
    amd64) target=x86_64-unknown-linux-gnu ;;
    arm64) target=aarch64-unknown-linux-gnu ;;
    *) echo "$0: TARGET_ARCH is amd64 or arm64, not $TARGET_ARCH" >&2; exit 64 ;;
esac
export TARGET_ARCH

die() {
    echo "build-deb: $*" >&2
    exit 1
}

# Two places have the version; the package is named after the changelog, `rwsgi --version` after Cargo.toml.
check_version() {
    local cargo changelog
    cargo=$(sed -n '/^\[workspace\.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
    changelog=$(sed -n '1s/^rwsgi (\(.*\)) .*/\1/p' packaging/deb/changelog)
    [ "$cargo" = "$changelog" ] || die "Cargo.toml has version $cargo, packaging/deb/changelog has $changelog"
}

get_zigbuild() {
    local venv=$root/target/zig
    if ! command -v cargo-zigbuild >/dev/null; then
        [ -x "$venv/bin/cargo-zigbuild" ] || {
            python3 -m venv --clear "$venv"
            "$venv/bin/pip" install --quiet "ziglang==$zig_version" "cargo-zigbuild==$zigbuild_version"
        }
        PATH=$venv/bin:$PATH
    fi
}

commit_time() {
    git log -1 --format=%ct 2>/dev/null || true
}

compile() {
    # No path of this machine in the programs, and no symbol table. abi3 needs no interpreter to build against.
    RUSTFLAGS="--remap-path-prefix=$root=/usr/src/rwsgi --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/usr/src/cargo" \
    CARGO_PROFILE_RELEASE_STRIP=symbols \
    PYO3_NO_PYTHON=1 \
        cargo zigbuild --release --locked --target "$target.$glibc_floor" -p rwsgi -p rwsgi-worker
}

check_version
get_zigbuild
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(commit_time)}
if [ -n "$SOURCE_DATE_EPOCH" ]; then
    export SOURCE_DATE_EPOCH
else
    unset SOURCE_DATE_EPOCH
fi
compile
built=${CARGO_TARGET_DIR:-$root/target}/$target/release
GLIBC_FLOOR=$glibc_floor packaging/check-glibc.sh "$built/rwsgi" "$built/lib_rwsgi.so"
packaging/assemble-deb.sh "$built/rwsgi" "$built/lib_rwsgi.so"
