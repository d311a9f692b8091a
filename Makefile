# Tusk: collect tracking events inside nginx. `make` alone shows this list.
.DEFAULT_GOAL := help
SHELL := /bin/bash
export PATH := $(HOME)/.cargo/bin:$(PATH)

# Where things go; all can be given on the command line.
NGINX   ?= $(or $(shell command -v nginx),/usr/sbin/nginx)
PREFIX  ?= /usr/local
DESTDIR ?=
PROFILE ?= release

# make run: the address and port that receive, LAN=1 for phones, TLS=1 for a local certificate.
LISTEN ?=
PORT   ?=
LAN    ?=
TLS    ?=
DATA   ?= data

##@ First minute
run: deps-run module tusk ## Collector on http://127.0.0.1:8106, events shown as they come (LISTEN= PORT= LAN=1 TLS=1)
	@# The embedded ClickHouse (178 MB) is fetched and built meanwhile; its first events are the first that came.
	@# So are the pages: until they are there the address says so.
	@mkdir -p -m 750 $(DATA) && { $(MAKE) -s pages >$(DATA)/pages-build.log 2>&1 & $(MAKE) -s olap >$(DATA)/olap-build.log 2>&1 & }; \
	exec target/$(PROFILE)/tusk up --nginx $(NGINX) --module $(MODULE_SO) --data $(DATA) --olap-wait $(DATA)/olap-build.log --web $(PAGES) \
	  $(if $(LISTEN),--listen $(LISTEN)) $(if $(PORT),--port $(PORT)) $(if $(filter 1,$(LAN)),--lan) $(if $(filter 1,$(TLS)),--tls)

demo: DATA = data/demo
demo: deps-run module tusk pages ## make run with a shop page (real web SDK), 14 days of history and traffic: every screen alive in a minute (RATE=20)
	@npm ci --prefix demo/shop --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@mkdir -p -m 750 $(DATA) && { $(MAKE) -s olap >$(DATA)/olap-build.log 2>&1 & }; \
	exec python3 demo/demo.py --data $(DATA) --rate $(or $(RATE),20) -- target/$(PROFILE)/tusk up --nginx $(NGINX) --module $(MODULE_SO) \
	  --data $(DATA) --olap-wait $(DATA)/olap-build.log --web $(PAGES) $(if $(LISTEN),--listen $(LISTEN)) $(if $(PORT),--port $(PORT))

test: ## Everything CI runs: lint, unit, real nginx, real SDKs, faults
	@scripts/test.sh

##@ Build and install
build: module pages ## Build the nginx module and the tusk binary with its pages
	TUSK_PAGES=$(PAGES) cargo build $(CARGO_PROFILE) --locked -p shipper

PAGES = console/web/dist

pages: ## Build the console's pages (npm); `make install` puts them into tusk
	@scripts/pages.sh

MODULE_SO = target/$(PROFILE)/libngx_http_tusk_module.so
CARGO_PROFILE = $(if $(filter release,$(PROFILE)),--release)

tusk:
	cargo build $(CARGO_PROFILE) --locked -p shipper

olap: ## Build the embedded ClickHouse and fetch its engine (178 MB by npm)
	@scripts/libchdb.sh && cargo build $(CARGO_PROFILE) --locked -p olap

module: ## Build the module for NGINX=/path/to/nginx (NGINX_SOURCE_DIR=… for one not from Debian), end with nginx -t
	@scripts/module.sh $(NGINX) $(PROFILE)

install: ## Install module, tusk, samples and unit; enables nothing (DESTDIR= PREFIX=)
	@scripts/install.sh install "$(DESTDIR)" "$(PREFIX)" "$(NGINX)" "$(PROFILE)"

uninstall: ## Remove what install put there; keeps /etc/tusk and data
	@scripts/install.sh uninstall "$(DESTDIR)" "$(PREFIX)" "$(NGINX)" "$(PROFILE)"

deps: ## Install what building and running need (apt, rustup); starts and enables no service
	@scripts/deps.sh build

deps-run:
	@scripts/deps.sh build --quiet

##@ Checks
lint: ## Format, clippy with warnings as errors
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings

faults: ## Kill anything at random under load, FAULTS=300 SEED=7; ends with faults=N lost=0 twice=0 gap=0
	@$(if $(FAULTS),TUSK_FAULTS=$(FAULTS)) $(if $(SEED),TUSK_FAULTS_SEED=$(SEED)) scripts/test.sh faults

bench: ## CPU per request against nginx itself and nginx + Lua, and delivery against plain clients; writes target/bench.json
	@bench/run.sh && bench/run.sh deliver

bench-reports: tusk olap ## p95 of every report over 10 M events on the embedded ClickHouse (EVENTS=10000000)
	@python3 bench/reports.py --tusk target/$(PROFILE)/tusk $(if $(EVENTS),--events $(EVENTS))

fuzz: ## Long fuzz runs of every decoder (SECONDS_EACH=600)
	@fuzz/run.sh

clean: ## Remove build products; keeps data
	rm -rf target build

help:
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run demo test build tusk olap module install uninstall deps deps-run lint faults bench bench-reports fuzz clean help
