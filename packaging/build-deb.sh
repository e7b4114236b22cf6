#!/bin/bash
# From a clean checkout to dist/rwsgi_VERSION_ARCH.deb and dist/rwsgi-dbgsym_VERSION_ARCH.deb, for Ubuntu 18.04, Debian
# 11 and everything newer.
#
#   build-deb.sh
#
# TARGET_ARCH         amd64 (default), or arm64 after `rustup target add aarch64-unknown-linux-gnu`
# SOURCE_DATE_EPOCH   time of all files in the package (default: of the last commit)
#
# Needs cargo, python3-venv, binutils and dpkg. zig and cargo-zigbuild are installed from PyPI into target/zig, once.
set -euo pipefail

cd "$(dirname "$0")/.."
root=$PWD
zig=$root/target/zig

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

# Before anything is fetched or compiled.
check_target() {
    local libraries
    libraries=$(rustc --print target-libdir --target "$target")
    [ -d "$libraries" ] ||
        die "this Rust cannot compile for $target: rustup target add $target, or apt install libstd-rust-dev:$TARGET_ARCH"
}

# Of these versions, and in this place: what zig adds to the programs is compiled from its sources, whose paths are in
# the debug symbols.
get_zigbuild() {
    if [ ! -e "$zig/sources/libunwind" ]; then
        python3 -m venv --clear "$zig"
        "$zig/bin/pip" install --quiet "ziglang==$zig_version" "cargo-zigbuild==$zigbuild_version"
        # Without the version of Python in its name.
        ln -s "$("$zig/bin/python" -c 'import ziglang; print(ziglang.__path__[0])')/lib" "$zig/sources"
    fi
}

commit_time() {
    git log -1 --format=%ct 2>/dev/null || true
}

# Nothing in the programs tells where they were built, and from which registry the packages came.
remapped() {
    local cargo=${CARGO_HOME:-$HOME/.cargo} registry
    echo "--remap-path-prefix=$root=/usr/src/rwsgi"
    echo "--remap-path-prefix=$cargo=/usr/src/cargo"
    for registry in "$cargo"/registry/src/*; do
        echo "--remap-path-prefix=$registry=/usr/src/cargo/registry"
    done
}

compile() {
    local flags
    cargo fetch --quiet --locked --target "$target"
    # The identity of a program is that of its content; by it, debuggers find the symbols that assemble-deb.sh splits off.
    mapfile -t flags < <(remapped; echo -Clink-arg=-Wl,--build-id=sha1)
    # PWD: clang takes it for the directory in which it compiles, since it is one of its names.
    # PYO3_NO_PYTHON: abi3 needs no interpreter to build against.
    env PATH="$zig/bin:$PATH" PWD=/proc/self/cwd \
        ZIG_LIB_DIR="$zig/sources" ZIG_GLOBAL_CACHE_DIR="$zig/cache" ZIG_LOCAL_CACHE_DIR="$zig/cache" \
        RUSTFLAGS="${flags[*]}" CARGO_PROFILE_RELEASE_STRIP=none CARGO_PROFILE_RELEASE_DEBUG=full PYO3_NO_PYTHON=1 \
        cargo zigbuild --release --locked --target "$target.$glibc_floor" -p rwsgi -p rwsgi-worker
}

check_version
check_target
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
