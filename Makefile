# Every target sets up what it needs, may be called again, and ends with one line that says whether it worked.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help demo test slow features setup image channel lint bench

help: ## what can be made
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | while IFS=$$'\t' read -r name text; do printf 'make %-8s %s\n' "$$name" "$$text"; done

demo: ## run examples/ end to end and show the published folder
	@scripts/demo.sh

test: ## every test
	@scripts/test.sh

slow: ## the tests that take minutes each
	@scripts/slow.sh

features: ## the builds with fewer features
	@scripts/features.sh

setup: ## tools, container engine, runner image and, where conda-forge does not answer, a local channel
	@scripts/setup.sh

image: ## the image that pipelines run in
	@scripts/image.sh

channel: ## a local conda channel; SPECS="a/environment.yml b/environment.yml" adds what these files name
	@SPECS="$(SPECS)" scripts/channel.sh

lint: ## formatting, clippy, shellcheck, hadolint, cargo-deny
	@scripts/lint.sh

bench: ## the benchmarks of benches/
	@scripts/bench.sh
