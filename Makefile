# Every command of the project. `make` alone lists them.
SHELL := /bin/bash
CARGO ?= cargo
ARGS  ?=
BIN   := target/release

.DEFAULT_GOAL := help
.PHONY: help build verify test sim maelstrom jepsen jepsen-doctor jepsen-mutants mutants nightly signoff bench check lint fix

help: ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

build: ## Build the release binaries
	$(CARGO) build --release --locked --workspace --bins

verify: build ## The main job: 3 real nodes, lease-exclusivity under pause-random-node unless ARGS= names others, one report
	$(BIN)/gossip-verify test $(ARGS)

test: ## All tests; what CI calls
	tools/test

sim: ## Simulator: sweep the three levels for about a minute, print the coverage
	$(CARGO) run --release --locked -p gossip-sim -- sweep --levels 1,2,3 $(ARGS)

maelstrom: ## The Maelstrom table, one report each (ARGS= names of runs); needs maelstrom on PATH or in MAELSTROM
	CARGO="$(CARGO)" tools/maelstrom $(ARGS)

jepsen: build ## The same with the full-Jepsen tier, in containers: up, run, results in jepsen/gossip-rs/store (ARGS= likewise)
	jepsen/gossip-rs/bin/run test $(ARGS)

jepsen-doctor: ## What the full-Jepsen tier lacks on this machine, and how to mend it
	@docker/doctor

jepsen-mutants: ## Every planted bug with the full-Jepsen tier, as a table (ARGS= names of mutants)
	tools/jepsen-mutants $(ARGS)

mutants: ## Every planted bug of the local tier: which run catches it, after how long
	tools/mutants $(ARGS)

bench: build ## Speed beside etcd, Porcupine and clojure-reader as ratios, fail-over times, the simulator, the gossip's table
	$(BIN)/gossip-bench $(ARGS)

nightly: ## The long sweeps of every tier, all seeds from one that is printed (ARGS= tiers and what narrows them)
	tools/nightly $(ARGS)

signoff: ## Before a release: every tier and make test, one document with each seed and verdict (VERSION=...)
	tools/signoff "$(VERSION)" $(ARGS)

check: ## Format and lint, changing nothing
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings

lint: ## Lint shell scripts, workflows and licenses of what is linked; needs shellcheck, actionlint, cargo-deny
	tools/lint

fix: ## Format and apply what the linter can mend
	$(CARGO) fmt --all
	$(CARGO) clippy --release --workspace --all-targets --fix --allow-dirty --allow-staged
