# make run     serve the example BookStore on http://127.0.0.1:8000
# make test    every check and test there is (root, or sudo)
# make deb     dist/rwsgi_VERSION_amd64.deb, or with ARCH=arm64 that
# make bench   all benchmarks, beside all peers; docs/benchmarks.md and its chart are written anew (40 minutes; not part of test)
# make reproducible   build the package twice, in two directories: the same bits? (ten minutes; not part of test)
# Each installs what it needs and finds missing; see packaging/prerequisites.

VENV := target/venv
DATA := $(CURDIR)/target/bookstore
export PATH := $(HOME)/.cargo/bin:$(PATH)
# The extension is one file for every Python: none is asked while it is built.
export PYO3_NO_PYTHON := 1

# Containers and package tests need root; everything else does not.
SUDO := $(if $(filter 0,$(shell id -u)),,sudo --preserve-env=RWSGI_TREES,RWSGI_MIRROR,RWSGI_KEYRING,RWSGI_COMPONENTS,RWSGI_INCLUDE,RWSGI_JOBS)

# How long each fuzz target runs.
FUZZ_SECONDS ?= 10

# The releases in which the package is tested; empty: those that tests/systemd/run has by itself.
RWSGI_SUITES ?=

# What the package is for: amd64, or arm64 where Rust has that target.
ARCH ?= amd64
DEBS = dist/rwsgi_*_$(ARCH).deb dist/rwsgi-dbgsym_*_$(ARCH).deb
BUILT = $(or $(CARGO_TARGET_DIR),target)/$(if $(filter arm64,$(ARCH)),aarch64,x86_64)-unknown-linux-gnu/release

.PHONY: run test check unit integration bookstore fuzz deb count bench reproducible systemd clean

run: $(VENV)/ready
	packaging/prerequisites build
	cargo build --release --workspace --locked
	BOOKSTORE_DATA=$(DATA) $(VENV)/bin/python examples/bookstore/manage.py prepare
	BOOKSTORE_DATA=$(DATA) exec target/release/rwsgi --ini examples/bookstore/rwsgi.ini --virtualenv $(CURDIR)/$(VENV)

$(VENV)/ready: examples/bookstore/requirements.txt
	packaging/prerequisites python
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --requirement examples/bookstore/requirements.txt
	touch $@

# The order is that of cost: what fails fast comes first.
test: check unit integration bookstore fuzz deb count systemd
	@echo "all checks and tests passed"

check:
	packaging/prerequisites build check
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --document-private-items
	tests/check-style
	cargo deny --workspace check --hide-inclusion-graph bans licenses sources
	tests/check-advisories
	tests/check-shell
	tests/systemd/check-units

unit:
	cargo test --workspace --exclude rwsgi-worker --lib --bins --locked
	packaging/generate --check

integration: $(VENV)/ready
	packaging/prerequisites build python front shells
	cargo build --workspace --locked
	RWSGI_PROGRAM=target/debug/rwsgi tests/systemd/check-units
	cargo test --package rwsgi --test rwsgi --locked -- --test-threads 6

bookstore: $(VENV)/ready
	cd examples/bookstore && BOOKSTORE_DATA=$$(mktemp -d) $(CURDIR)/$(VENV)/bin/python manage.py test

fuzz:
	packaging/prerequisites build fuzz
	tests/fuzz/run $(FUZZ_SECONDS)

deb:
	packaging/prerequisites build package $(filter arm64,$(ARCH))
	rm -f $(DEBS)
	TARGET_ARCH=$(ARCH) packaging/build-deb.sh
	packaging/check-deb.sh $(DEBS)
	TARGET_ARCH=$(ARCH) packaging/check-reproducible.sh $(BUILT)/rwsgi $(BUILT)/lib_rwsgi.so $(DEBS)

# What a request costs, of the build that the package has.
count: deb
	packaging/prerequisites count
	benches/compare count --rwsgi $(BUILT)/rwsgi

bench:
	packaging/prerequisites build bench
	cargo build --release --workspace --locked
	benches/compare all

reproducible:
	packaging/prerequisites build package
	packaging/check-reproducible.sh

systemd: deb
	packaging/prerequisites package systemd
	$(SUDO) tests/systemd/run $(RWSGI_SUITES) dist/rwsgi_*_amd64.deb

clean:
	rm -rf target dist
