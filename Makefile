# Thin on purpose: what takes more than a line lives in .ci/.
.DEFAULT_GOAL := help
.PHONY: help run test lint fmt soak bench dist

help: ## Print this list
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 14

run: ## Build (release) and serve the demo data on http://127.0.0.1:8080
	@.ci/need cargo cc protoc && cargo run --release --locked -p tidemill-server -- serve --demo

test: lint ## Everything that must pass: format, lints, Rust tests, client tests
	@.ci/rust-tests && .ci/clients

lint: ## Check the format and the lints; warnings are errors
	@.ci/need cargo cc protoc fmt clippy && cargo fmt --all --check && cargo clippy --workspace --all-targets --locked -- -D warnings

fmt: ## Format the sources
	@.ci/need cargo fmt && cargo fmt --all

soak: ## Run the tests of the cluster ten times (ROUNDS=N), with those that take long
	@.ci/clients soak

bench: ## Measure start-up, latency and TPC-H of a release build
	@.ci/need cargo cc protoc python3 && cargo build --release --locked -p tidemill-server -p tidemill-frontend --bins --example bare_flight && .ci/bench

dist: ## Build the container image tidemill:latest
	@.ci/need docker && docker build --tag tidemill:latest .
