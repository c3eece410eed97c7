# Lethe. Two commands matter: `make run` and `make test`, as root on Debian 12 or 13.

# Where rustup puts Cargo.
export PATH := $(HOME)/.cargo/bin:$(PATH)
CARGO ?= cargo
# How long `make fuzz` looks at each target, in seconds.
FUZZ ?= 60
# How long `make soak` runs fresh seeds through the simulator, and clients through a TAP.
SOAK ?= 10m

.PHONY: help run test test-hw faults lint lint-code package book bench instructions times compare fuzz soak clean
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## serve IP geolocation on a TAP device, and fetch it once
	@tools/install run
	@tools/run

test: ## every test: units, properties, dialogues, captures, end to end
	@tools/install test
	$(CARGO) test --workspace
	$(CARGO) test -p lethe-httpd -p lethe-hw -p lethe-server --features dpdk --lib --test dpdk --test workers

test-hw: ## DPDK's drivers of real cards, in a virtual machine
	@tools/install test
	$(CARGO) test -p lethe-httpd --features dpdk --test guest -- --nocapture --test-threads 1

faults: ## the simulator's own test: it must find each fault put into the engine
	@tools/install build
	$(CARGO) test -p lethe-sim --features faults --test faults -- --nocapture

lint: lint-code ## formatting, lints, documentation, public items and licences: warnings and unknown changes are errors
	@tools/install lint
	$(CARGO) deny --log-level error check licenses bans sources

lint-code: # without what takes minutes to install, for continuous integration
	@tools/install workspace
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --all-features -- -D warnings
	$(CARGO) clippy -p lethe-server --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --all-features --quiet
	@$(CARGO) xtask api

package: ## builds each published crate from the package that users would get
	@tools/install workspace
	$(CARGO) test -p lethe-httpd --test packages -- --include-ignored

book: ## docs/ as a web site in target/book, its links followed
	@tools/install book
	@$(CARGO) xtask book

bench: ## what a packet costs
	@tools/install workspace
	$(CARGO) bench --workspace

instructions: ## no packet may take 3 % more instructions than benches/instructions.txt says
	@tools/install test
	@$(CARGO) xtask instructions
	@! $(CARGO) xtask instructions --planted 5 >/dev/null 2>&1 || { echo "5 % more were not noticed" >&2; exit 1; }

times: ## no packet may take 1.05 of the time that it took in the commit before
	@! $(CARGO) xtask times --planted --rounds 3 >/dev/null 2>&1 || { echo "stores were not noticed" >&2; exit 1; }
	@$(CARGO) xtask times

compare: ## Lethe beside nginx and other servers: 40 minutes on a quiet machine, into docs/performance.md
	@tools/install compare
	@$(CARGO) xtask compare

fuzz: ## each fuzz target for FUZZ seconds (default 60)
	@tools/install build
	@tools/fuzz $(FUZZ)

soak: ## fresh seeds and real clients for SOAK (default 10m)
	@tools/install test
	@tools/soak $(SOAK)

clean: ## remove what was built
	$(CARGO) clean
	rm -rf fuzz/target fuzz/artifacts
