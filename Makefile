# `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:

HOST := $(shell rustc -vV | sed -n 's/^host: //p')
RELEASE := target/$(HOST)/release/carrier
PREFIX ?= /usr/local
DESTDIR ?=
SHARE = $(DESTDIR)$(PREFIX)/share
SCRIPTS := crates/carrier/src/commands/completion
MAN := target/man/carrier.1
F ?= tar
SKIPS := $(CURDIR)/target/skipped-tests
LOG := target/test-summaries

.PHONY: build demo test check docs unit e2e fuzz nightly test-vm bench bench-scale bench-lives bench-pull bench-exec bench-logs bench-net man install clean help

build: ## the release binary
	cargo build --release --locked -p carrier

demo: ## set-up, release build, and a first container
	scripts/setup.sh
	$(MAKE) build
	$(RELEASE) run --rm hello

test: ## everything that CI runs
	scripts/setup.sh --test --test-host
	rm -f $(SKIPS) $(LOG)
	$(MAKE) check
	$(MAKE) unit 2>&1 | tee -a $(LOG)
	$(MAKE) build
	$(MAKE) e2e 2>&1 | tee -a $(LOG)
	scripts/summary.sh $(LOG) $(SKIPS)

check: ## formatting, lints, dependency rules, documentation
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked -p carrier-runtime --features fault-injection --test failures -- -D warnings
	cargo clippy --locked -p carrier-engine --features other-work --test confinement -- -D warnings
	cargo deny --locked check bans licenses sources
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --quiet
	scripts/house-rules.sh

docs: ## the tables of docs/commands.md that are made from the grammar
	CARRIER_WRITE_DOCS=1 cargo test --locked --quiet -p carrier the_manual_says_what_the_grammar_says

unit: ## unit tests, in seconds
	cargo nextest run --locked --workspace --exclude carrier-e2e
	cargo test --locked --workspace --exclude carrier-e2e --doc --quiet
	cargo test --locked --quiet -p carrier-runtime --features fault-injection --test failures
	cargo test --locked --quiet -p carrier-engine --features other-work --test confinement

e2e: ## end-to-end tests of the release binary; T=FILTER chooses some
	cargo run --locked --quiet -p carrier-e2e --bin fixtures
	CARRIER_SKIP_LOG=$(SKIPS) CARRIER_BIN=$(CURDIR)/$(RELEASE) \
		cargo nextest run --locked -p carrier-e2e $(T)

test-vm: build ## tests on a host with systemd, in a virtual machine; T=FILTER chooses some
	scripts/setup.sh --vm
	CARRIER_BIN=$(CURDIR)/$(RELEASE) scripts/vm.sh test $(T)

fuzz: ## one target of fuzz/ for a minute: F=reference, manifest, config, tar or challenge; needs nightly Rust and cargo-fuzz
	mkdir -p fuzz/target/corpus/$(F)
	cargo +nightly fuzz run $(F) fuzz/target/corpus/$(F) fuzz/corpus/$(F) -- -max_total_time=60

nightly: ## races against the release binary, 2,000 rounds each, and 100,000 mutated archives: minutes
	CARRIER_FUZZ_ARCHIVES=100000 cargo nextest run --locked -p carrier-store --profile nightly --no-capture u10_u11
	CARRIER_RACE_ROUNDS=2000 CARRIER_BIN=$(CURDIR)/$(RELEASE) \
		cargo nextest run --locked -p carrier-e2e --profile nightly --no-capture --test oci_races

bench: build ## starts and the rest of a container's life beside podman, crun, runc, bubblewrap and bare system calls
	scripts/setup.sh --test-host --bench
	CARRIER_BIN=$(CURDIR)/$(RELEASE) python3 bench/start.py

bench-scale: build ## a thousand containers at once
	scripts/setup.sh --test-host --bench
	CARRIER_BIN=$(CURDIR)/$(RELEASE) python3 bench/scale.py thousand

bench-lives: build ## 20,000 containers one after the other, and what is left of them: minutes
	scripts/setup.sh --test-host --bench
	CARRIER_BIN=$(CURDIR)/$(RELEASE) python3 bench/scale.py lives

bench-pull: build ## pulls beside podman, skopeo with umoci, and containerd; as root
	scripts/setup.sh --test-host --bench
	CARRIER_BIN=$(CURDIR)/$(RELEASE) python3 bench/pull.py

bench-exec: build ## a program in a container that runs, beside podman and crun
	scripts/setup.sh --test-host --bench
	CARRIER_BIN=$(CURDIR)/$(RELEASE) python3 bench/exec.py

bench-net: build ## throughput and start-up of networks, beside podman's
	scripts/setup.sh --test-host --bench
	CARRIER_BIN=$(CURDIR)/$(RELEASE) python3 bench/net.py

bench-logs: build ## logs of containers beside podman's
	scripts/setup.sh --test-host --bench
	CARRIER_BIN=$(CURDIR)/$(RELEASE) python3 bench/logs.py

man: $(MAN) ## the manual pages, in target/man

$(MAN): $(RELEASE)
	$(RELEASE) __man $(dir $(MAN))

$(RELEASE):
	$(MAKE) build

install: $(MAN) ## the binary below PREFIX, its name as an OCI runtime, manual pages and completions
	install -D -m 755 $(RELEASE) $(DESTDIR)$(PREFIX)/bin/carrier
	ln -sfn carrier $(DESTDIR)$(PREFIX)/bin/carrier-runtime
	install -d $(SHARE)/man/man1
	install -m 644 $(dir $(MAN))*.1 $(SHARE)/man/man1
	install -D -m 644 $(SCRIPTS)/carrier.bash $(SHARE)/bash-completion/completions/carrier
	install -D -m 644 $(SCRIPTS)/carrier.zsh $(SHARE)/zsh/site-functions/_carrier
	install -D -m 644 $(SCRIPTS)/carrier.fish $(SHARE)/fish/vendor_completions.d/carrier.fish

clean: ## removes what was built
	cargo clean

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' Makefile | expand -t 12
