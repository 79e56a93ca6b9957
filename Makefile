# make up      a cluster on this machine
# make test    all tests
# make help    everything else

SHELL       := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

BIN         := $(CURDIR)/bin
VERSION     := $(shell git describe --tags --always --dirty 2>/dev/null || echo 0.1.0)
# The embedded kubectl says which release it is.
KUBECTL     := $(shell awk '$$1 == "k8s.io/kubectl" {sub(/^v0/, "v1", $$2); print $$2; exit}' go.mod)
LDFLAGS     := -s -w -X proa/version.Proa=$(VERSION) \
               $(foreach p,k8s.io/component-base/version k8s.io/client-go/pkg/version,-X $(p).gitVersion=$(KUBECTL))
SUDO        := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
GO          ?= go

# Everything but runc is built without cgo, with the same flags, so that one
# build cache serves the binary and its tests.
export CGO_ENABLED := 0
# No path of the machine that built it gets into a binary, and every checkout
# shares one build cache.
export GOFLAGS := -trimpath

# Debian packages: a C compiler and libseccomp for runc, nftables for the pod
# network, busybox for the example image, make for that of the conformance tests.
PACKAGES    := gcc libc6-dev libseccomp-dev pkg-config nftables busybox-static

HELPERS     := $(addprefix $(BIN)/,runc containerd-shim-runc-v2 pause hello cni/proa-bridge cni/bridge cni/host-local cni/loopback cni/portmap)
CNI         := github.com/containernetworking/plugins/plugins

.PHONY: help
help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: up
up: build ## Start a cluster on this machine and wait until it is ready.
	@$(SUDO) $(BIN)/proa up

.PHONY: down
down: ## Stop the cluster and remove all that it made outside its data.
	@$(SUDO) $(BIN)/proa down

.PHONY: deps
deps: ## Install the Debian packages that are missing.
	@missing=$$(for p in $(PACKAGES); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then echo "installing" $$missing; \
	  $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi

.PHONY: build
build: deps proa helpers ## Build proa and the programs beside it into bin/.

.PHONY: proa
proa:
	@$(GO) build -ldflags '$(LDFLAGS)' -o $(BIN)/proa ./cmd/proa
	@ln -sf proa $(BIN)/kubectl

.PHONY: helpers
helpers: $(HELPERS)

# The helpers are programs of other modules at the versions of go.sum, and the
# project's own small ones. They are rebuilt when those versions change.
# runc lives for milliseconds, of which a dynamic linker takes a quarter.
$(BIN)/runc: go.sum
	@echo "building runc"; CGO_ENABLED=1 $(GO) build -ldflags '-s -w -extldflags -static' -tags 'seccomp urfave_cli_no_docs netgo osusergo' -o $@ github.com/opencontainers/runc && touch $@
$(BIN)/containerd-shim-runc-v2: $(wildcard runtime/shim/*.go runtime/sandbox/*.go) go.sum
	@echo "building the shim"; $(GO) build -ldflags '-s -w' -tags no_grpc -o $@ ./runtime/shim && touch $@
$(BIN)/cni/proa-bridge: $(wildcard network/cni/bridge/*.go) go.sum
	@$(GO) build -ldflags '-s -w' -o $@ ./network/cni/bridge && touch $@
# Other pod networks find these here, as they expect of every node.
$(BIN)/cni/host-local: go.sum
	@$(GO) build -ldflags '-s -w' -o $@ $(CNI)/ipam/host-local && touch $@
$(BIN)/cni/portmap: go.sum
	@$(GO) build -ldflags '-s -w' -o $@ $(CNI)/meta/portmap && touch $@
$(BIN)/cni/%: go.sum
	@$(GO) build -ldflags '-s -w' -o $@ $(CNI)/main/$* && touch $@
$(BIN)/hello: $(wildcard images/hello/*.go) go.sum
	@$(GO) build -ldflags '-s -w' -o $@ ./images/hello && touch $@
$(BIN)/pause: images/pause/pause.c
	@mkdir -p $(BIN) && gcc -Os -static -nostdlib -nostartfiles -ffreestanding -fno-builtin -fno-stack-protector \
	  -fno-pie -no-pie -fno-asynchronous-unwind-tables -Wl,--build-id=none,-z,noseparate-code,-z,norelro -s -o $@ $<

.PHONY: test
test: build lint ## Run all tests, the end-to-end ones with real containers among them, and a sample of upstream's conformance tests.
	@$(SUDO) env "PATH=$$PATH" PROA_BIN_DIR=$(BIN) $(GO) test -timeout 20m ./...
	@cd test/conformance && $(GO) test . ./cluster ./images ./programs ./registry ./report ./suite
	@$(MAKE) --no-print-directory conformance-sample

# The binary under the detector is run end to end as well, with a kubectl that is
# not: it would say so in its output. A race is a failed test: the server's log is
# searched for one.
RACED       := $(BIN)/race
.PHONY: race
race: export CGO_ENABLED := 1
race: build ## Run the tests of the concurrent rooms, and a whole cluster, under the race detector.
	@$(SUDO) env "PATH=$$PATH" PROA_BIN_DIR=$(BIN) $(GO) test -race -short -timeout 30m ./cache/... ./store/... ./apiserver/... ./controller/... ./scheduler/... \
	  ./node/pod/... ./node/hollow/... ./admission/... ./auth/... ./network/... ./cluster/...
	@mkdir -p $(RACED) && for p in runc containerd-shim-runc-v2 pause hello cni; do ln -sfn ../$$p $(RACED)/$$p; done; ln -sfn ../proa $(RACED)/kubectl
	@$(GO) build -race -o $(RACED)/proa ./cmd/proa
	@$(SUDO) env "PATH=$$PATH" PROA_BIN_DIR=$(RACED) CGO_ENABLED=0 $(GO) test -count=1 -timeout 40m -parallel 4 ./test/e2e

.PHONY: lint
lint: ## Check formatting and vet.
	@bad=$$(git ls-files '*.go' | xargs gofmt -l); [ -z "$$bad" ] || { echo "not gofmt-clean:"; echo "$$bad"; exit 1; }
	@$(GO) vet ./...

.PHONY: bench
bench: build ## Measure, print one table, and write it to docs/bench/.
	@$(SUDO) env "PATH=$$PATH" PROA_BIN_DIR=$(BIN) $(GO) run ./bench -out docs/bench

# Upstream's own build of the containerd that Proa holds, and its shim.
CONTAINERD  := $(shell awk '$$1 == "github.com/containerd/containerd/v2" {print $$2; exit}' go.mod)
$(BIN)/upstream/containerd: go.sum
	@echo "building containerd"; GOBIN=$(BIN)/upstream $(GO) install -ldflags '-s -w' github.com/containerd/containerd/v2/cmd/containerd@$(CONTAINERD) \
	  github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2@$(CONTAINERD) && touch $@

.PHONY: bench-upstream
bench-upstream: build $(BIN)/upstream/containerd ## Measure Proa and upstream's parts in turns, and write docs/bench/ and the chart of the README (QUICK=1 STEPS=regexp IDLE=5m: print only).
	@upstream=$$($(CONFORMANCE) -upstream) && cd $(CURDIR) && $(SUDO) env "PATH=$$PATH" PROA_BIN_DIR=$(BIN) $(GO) run ./bench -upstream $$upstream \
	  $(if $(IDLE),-idle $(IDLE)) -steps '$(STEPS)' $(if $(QUICK),-quick) $(if $(QUICK)$(STEPS)$(IDLE),,-out docs/bench -readme README.md)

CONFORMANCE  = cd test/conformance && $(SUDO) env "PATH=$$PATH" $(GO) run . -bin $(BIN)

.PHONY: conformance
conformance: build ## Run the upstream conformance suite (FOCUS=regex NODES=2 UPDATE=1), or other tests of it (LABELS='Feature:NetworkPolicy').
	@$(CONFORMANCE) -focus '$(FOCUS)' -nodes $(or $(NODES),2) $(if $(UPDATE),-update) $(if $(LABELS),-labels '$(LABELS)')

.PHONY: conformance-sample
conformance-sample: build ## Run a few of the conformance tests that are known to pass (SAMPLE=24).
	@$(CONFORMANCE) -nodes $(or $(NODES),2) -sample $(or $(SAMPLE),24)

.PHONY: conformance-build
conformance-build: build ## Build the suite, its images and upstream's programs, and run nothing.
	@$(CONFORMANCE) -build-only

.PHONY: simulate
simulate: ## Run simulated clusters with faults: SEED=… RUNS=… REPEAT=… LOG=info.
	@SEED=$(or $(SEED),1) RUNS=$(or $(RUNS),50) REPEAT=$(REPEAT) LOG=$(LOG) GOMAXPROCS=1 $(GO) test -count 1 -timeout 0 ./test/simulate -run '^TestSimulate$$'

.PHONY: chaos
chaos: build ## Let a cluster of three real nodes fail while it is used: SEED=… MINUTES=5.
	@$(SUDO) env "PATH=$$PATH" PROA_BIN_DIR=$(BIN) PROA_SEED=$(SEED) PROA_MINUTES=$(or $(MINUTES),5) \
	  $(GO) test ./test/e2e -run '^TestChaos$$' -count 1 -timeout 0 -v

.PHONY: interchange
interchange: build ## Exchange each part with its upstream counterpart, and write docs/interchange.md.
	@upstream=$$($(CONFORMANCE) -upstream) && cd $(CURDIR) && $(SUDO) env "PATH=$$PATH" PROA_BIN_DIR=$(BIN) PROA_UPSTREAM_BIN_DIR=$$upstream \
	  $(GO) test ./test/interchange -count=1 -timeout 60m -v -args -report $(CURDIR)/docs/interchange.md

.PHONY: compare
compare: build ## Hold Proa's API server beside upstream's: scripts, and objects at random (PROA_RUNS, PROA_SEED, PROA_KINDS).
	@upstream=$$($(CONFORMANCE) -upstream) && cd $(CURDIR) && $(SUDO) env "PATH=$$PATH" PROA_BIN_DIR=$(BIN) PROA_UPSTREAM_BIN_DIR=$$upstream \
	  $(GO) test ./test/interchange -count=1 -timeout 20m -v -run '^(TestScripts|TestTwins)$$'

.PHONY: fuzz
fuzz: ## Run every fuzz target for a minute (FUZZTIME=…).
	@for p in $$(git grep -l '^func Fuzz' -- '*_test.go' | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' $$p/*_test.go | sed 's/func //'); do \
	    echo "$$p $$f"; $(GO) test ./$$p -run '^$$' -fuzz "^$$f\$$" -fuzztime $(or $(FUZZTIME),1m) || exit 1; done; done

.PHONY: clean
clean: ## Remove what was built.
	@rm -rf $(BIN)
