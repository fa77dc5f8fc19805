# Lateen's tasks. `make` alone lists them.
#
# Needed: Go, GNU make, bash and git. Everything else is built from Go modules: the tools of go.tools.mod, and the charts of
# the bundled Istio versions (releases/).
#
# Recipes are silent and say what they do on stderr, so that stdout carries results only: `make render | kubectl apply -f -`.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.SILENT:
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help

# A go.work in some parent directory must not change what is built.
export GOWORK := off

# Tests, linters and tools are compiled with the settings of what is released, static and without paths of this machine: with others, Go
# would compile every dependency once more.
export CGO_ENABLED := 0
export GOFLAGS := $(shell go env GOFLAGS) -trimpath

# --- What there is ----------------------------------------------------------------------------------------------------

# The functions: one directory below functions/, one binary each.
FUNCTIONS := render-istio render-cni revision-tag migrate-istiooperator

# The version that the binaries report.
LATEEN_VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)

BINARIES := $(FUNCTIONS:%=bin/%)
LDFLAGS := -s -w -X github.com/lateen-io/lateen/internal/function.Version=$(LATEEN_VERSION)

# The bundled Istio versions, oldest first: one module file each.
ISTIO_VERSIONS := $(shell ls releases | sed -n 's/^\([0-9].*\)\.mod$$/\1/p' | sort -V)
NEWEST_ISTIO = $(lastword $(ISTIO_VERSIONS))

# A bundle is a directory of charts. This file of it stands for all: the exporter replaces a bundle as a whole.
BUNDLES := $(ISTIO_VERSIONS:%=internal/release/bundles/v%/istiod/Chart.yaml)

# What `make generate` writes and `make verify` compares.
GENERATED := $(wildcard api config/crd config/rbac config/components internal/release/schemas)

# Tools, all of the versions in go.tools.mod. Those that tests start as programs are built once.
HELM := bin/tools/helm
HELMS := bin/tools/helmtemplates
KUSTOMIZE := bin/tools/kustomize
LINTER := bin/tools/golangci-lint
TOOL := go tool -modfile=go.tools.mod

# --- Knobs ------------------------------------------------------------------------------------------------------------

TEST_TIMEOUT ?= 60m
FUZZTIME ?= 30s
PODS ?= 10000
ONLY ?=
ENGINE ?= engines istiod
IMAGE_PREFIX ?= localhost/lateen
IMAGE_TAG ?= $(LATEEN_VERSION)

# say tells what is being done, without touching stdout.
say = printf '  %s\n' "$(1)" >&2

##@ Daily

.PHONY: help
help: ## List the targets
	awk 'BEGIN { FS = ":.*## "; print "Usage: make TARGET" }
	  /^##@ / { printf "\n%s\n", substr($$0, 5) }
	  /^[a-z][a-z-]*:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

.PHONY: build
build: $(BINARIES) bin/lateen bin/lateen-controller ## Build the static binaries into bin/

# The functions only: the controller and the command link a client of Kubernetes, which takes longer to compile than all the rest.
.PHONY: render
render: $(BINARIES) ## Print what examples/kustomize/default renders to, through the real kustomize
	PATH="$(CURDIR)/bin:$$PATH" $(TOOL) kustomize build --enable-alpha-plugins --enable-exec examples/kustomize/default

# The packages of examples/kpt with Kptfiles that kpt finds. They must be outside of the repository, which is a kpt package itself: kpt renders
# every package below one.
.PHONY: packages
packages: ## Write the packages of examples/kpt into DIR, for a repository that `kpt pkg get` reads
	[ -n "$(DIR)" ] || { echo "make packages DIR=directory outside of this repository" >&2; exit 2; }
	mkdir -p "$(DIR)"
	case "$$(cd "$(DIR)" && pwd -P)/" in "$$(pwd -P)"/*) echo "$(DIR) is in this repository, which is a kpt package" >&2; exit 2 ;; esac
	(cd examples/kpt && find . -name Kptfile.example) | while read -r file; do
	  package=$$(dirname "$$file")
	  mkdir -p "$(DIR)/$$package"
	  cp -R "examples/kpt/$$package/." "$(DIR)/$$package"
	  mv "$(DIR)/$$file" "$(DIR)/$$package/Kptfile"
	done

# Static binaries in images of scratch. The time stamp is fixed, so that the same binary gives the same image.
.PHONY: images
images: build ## Build the images of the functions and of the controller with podman or docker: IMAGE_PREFIX, IMAGE_TAG
	engine=$$(command -v podman || command -v docker) || { echo "neither podman nor docker is on this machine" >&2; exit 1; }
	fixed=; case "$$engine" in *podman) fixed="--timestamp 0" ;; esac
	for function in $(FUNCTIONS); do
	  context=$$(mktemp -d)
	  cp LICENSE NOTICE functions/passwd bin/$$function "$$context"
	  "$$engine" build $$fixed --build-arg FUNCTION=$$function --tag $(IMAGE_PREFIX)/$$function:$(IMAGE_TAG) \
	    --file functions/Containerfile "$$context"
	  rm -rf "$$context"
	done
	context=$$(mktemp -d)
	cp LICENSE NOTICE bin/lateen-controller "$$context"
	"$$engine" build $$fixed --tag $(IMAGE_PREFIX)/lateen-controller:$(IMAGE_TAG) --file controller/Containerfile "$$context"
	rm -rf "$$context"

.PHONY: test-unit
test-unit: bundles ## Run the quick tests: -short, and nothing below test/
	go list ./... | grep -v '^github.com/lateen-io/lateen/test/' | xargs go test -short -timeout=$(TEST_TIMEOUT)

# Not cached: tests run binaries through kustomize and kpt, and the go command does not see those change. The packages that take longest
# begin first. Without vet, whose checks and more are the linters', and which reads all dependencies for them.
.PHONY: test
test: build bundles cluster-programs $(HELM) $(HELMS) $(KUSTOMIZE) ## Run all tests
	unset ENGINES # the engines have a target of their own
	go test -vet=off -count=1 -timeout=$(TEST_TIMEOUT) ./test/controller ./test/operation ./internal/render ./test/e2e ./...
	if compgen -G 'releases/*/*_test.go' >/dev/null; then
	  cd releases && go test -modfile=$(NEWEST_ISTIO).mod -vet=off -count=1 -timeout=$(TEST_TIMEOUT) ./...
	fi

# The long forms of tests that `make test` has in short: see test/controller/soak_test.go. They say what they did.
.PHONY: soak
soak: build bundles cluster-programs ## Run the long proofs: a hundred kills, idle minutes, Lateen's own upgrade
	LATEEN_SOAK=true go test -vet=off -count=1 -v -timeout=$(TEST_TIMEOUT) ./test/controller \
	  -run='^(TestKills|TestSteadyState|TestLateensOwnUpgrade)$$'

# The real engines and the real istiod. Their programs are built the first time, which takes long: minutes for the engines, up to 20 for
# istiod. ENGINE=istiod runs the tests of one of the two.
.PHONY: test-engines
test-engines: export ENGINES ?= all
test-engines: build bundles cluster-programs $(KUSTOMIZE) ## Run Flux, Argo CD and istiod for real: ENGINE="engines istiod"
	for engine in $(ENGINE); do
	  $(call say,programs of test/$$engine)
	  go run ./test/$$engine/build >/dev/null
	done
	go test -vet=off -count=1 -v -timeout=60m $(ENGINE:%=./test/%)

.PHONY: lint
lint: lint-main lint-releases ## Run the linters (.golangci.yml)

.PHONY: fmt
fmt: $(LINTER) ## Format the Go code as the linters want it
	$(LINTER) fmt

.PHONY: clean
clean: ## Remove what was built: binaries, tools, bundles, profiles
	rm -rf bin internal/release/bundles/v*
	find . -name '*.prof' -not -path './.git/*' -delete

##@ A control plane to play with

.PHONY: cluster
cluster: ## Start one in the background, with Lateen's CRDs: .cluster/kubeconfig
	$(call say,control plane in .cluster)
	go run ./test/cluster/dev up

.PHONY: cluster-down
cluster-down: ## Stop it, and forget what is in it
	go run ./test/cluster/dev down

# KUBECONFIG of the environment is not used: it may lead to a cluster that is no toy. The command line's is.
.PHONY: run
run: KUBECONFIG := $(CURDIR)/.cluster/kubeconfig
run: bin/lateen-controller ## Run the controller there, or against the cluster of KUBECONFIG=FILE
	if [[ "$(KUBECONFIG)" == "$(CURDIR)/.cluster/kubeconfig" ]]; then $(MAKE) cluster; fi
	exec bin/lateen-controller --kubeconfig "$(KUBECONFIG)" --leader-elect=false

##@ Files that are written by programs

.PHONY: bundles
bundles: $(BUNDLES) ## Export the charts of the bundled Istio versions (internal/release/bundles)

.PHONY: generate
generate: generate-deepcopy generate-schemas generate-crds generate-rbac ## Write deepcopy code, values schemas, CRDs and roles

.PHONY: golden
golden: build bundles $(HELM) $(HELMS) $(KUSTOMIZE) ## Rewrite the golden files; review the diff
	UPDATE_GOLDEN=1 go test -count=1 -timeout=$(TEST_TIMEOUT) ./... -run Golden

.PHONY: verify
verify: verify-format verify-modules verify-bundles verify-generated ## Check that generated files, modules and bundles are up to date

.PHONY: add-release
add-release: ## Bundle another Istio version: VERSION=1.28.4 MODULE=v0.0.0-20260301000000-0123456789ab
	if [[ -z "$(VERSION)" || -z "$(MODULE)" ]]; then
	  echo "usage: make add-release VERSION=1.28.4 MODULE=v0.0.0-DATE-COMMIT   (the pseudo-version of istio.io/istio)" >&2
	  exit 2
	fi
	go run ./hack/catalogue add -version "$(VERSION)" -module "$(MODULE)"
	$(MAKE) generate golden

##@ Measuring and searching

.PHONY: bench
bench: build bundles cluster-programs $(HELM) $(KUSTOMIZE) ## Measure, against peers in the same run: PODS=10000, ONLY=render,usage,controller
	go run ./test/bench -pods $(PODS) -only "$(ONLY)"

.PHONY: fuzz
fuzz: bundles ## Run each fuzz target for FUZZTIME (default 30s)
	go test -list '^Fuzz' ./... |
	  awk '/^Fuzz/ { names[n++] = $$1 } /^ok/ { for (i = 0; i < n; i++) print $$2, names[i]; n = 0 }' |
	  while read -r package name; do
	    $(call say,$$package $$name)
	    go test "$$package" -run='^$$' -fuzz="^$$name\$$" -fuzztime=$(FUZZTIME) -fuzzminimizetime=5x </dev/null
	  done

# --- The parts --------------------------------------------------------------------------------------------------------

# The go command knows best whether a binary is up to date, and leaves it alone if it is.
$(BINARIES): bin/%: $(BUNDLES) FORCE
	CGO_ENABLED=0 go build -trimpath -ldflags "$(LDFLAGS)" -o $@ ./functions/$*

bin/lateen-controller: $(BUNDLES) FORCE
	CGO_ENABLED=0 go build -trimpath -ldflags "$(LDFLAGS)" -o $@ ./controller

bin/lateen: $(BUNDLES) FORCE
	CGO_ENABLED=0 go build -trimpath -ldflags "$(LDFLAGS)" -o $@ ./cmd/lateen

.PHONY: FORCE
FORCE:

internal/release/bundles/v%/istiod/Chart.yaml: releases/%.mod releases/%.sum $(wildcard releases/charts/*.go)
	$(call say,charts of Istio $*)
	cd releases && go run -modfile=$*.mod ./charts -version $* -out ../internal/release/bundles/v$* >&2

# Minutes the first time, then nothing: the programs stay in the user's cache, by version.
.PHONY: cluster-programs
cluster-programs:
	$(call say,programs of the test control plane)
	go run ./test/cluster/build >/dev/null

$(HELM): go.tools.mod go.tools.sum
	$(call say,building helm)
	go build -modfile=go.tools.mod -ldflags "-s -w" -o $@ helm.sh/helm/v3/cmd/helm

# Beside helm, where the tests look for it.
$(HELMS): $(wildcard test/helmtemplates/*)
	$(call say,building helmtemplates)
	cd test/helmtemplates && go build -ldflags "-s -w" -o ../../$@ .

$(KUSTOMIZE): go.tools.mod go.tools.sum
	$(call say,building kustomize)
	go build -modfile=go.tools.mod -ldflags "-s -w" -o $@ sigs.k8s.io/kustomize/kustomize/v5

$(LINTER): go.tools.mod go.tools.sum
	$(call say,building golangci-lint)
	go build -modfile=go.tools.mod -ldflags "-s -w" -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

# Where the tests and benchmarks find what is built.
test soak test-engines golden bench: export LATEEN_BIN := $(CURDIR)/bin
test soak test-engines golden bench: export LATEEN_HELM := $(CURDIR)/$(HELM)
test soak test-engines golden bench: export LATEEN_KUSTOMIZE := $(CURDIR)/$(KUSTOMIZE)

.PHONY: lint-main lint-releases
lint-main: $(LINTER)
	$(call say,linting)
	$(LINTER) run ./...

# golangci-lint cannot be given a -modfile, so the nested module is linted as a copy whose go.mod is the newest version's.
lint-releases: $(LINTER)
	$(call say,linting releases/)
	copy=$$(mktemp -d)
	trap 'rm -rf "$$copy"' EXIT
	mkdir "$$copy/releases"
	cp -R releases/. "$$copy/releases"
	cp .golangci.yml "$$copy"
	cp releases/$(NEWEST_ISTIO).mod "$$copy/releases/go.mod"
	cp releases/$(NEWEST_ISTIO).sum "$$copy/releases/go.sum"
	cd "$$copy/releases" && "$(CURDIR)/$(LINTER)" run ./...

.PHONY: generate-deepcopy generate-schemas generate-crds
generate-deepcopy:
	$(call say,deepcopy code of api/)
	$(TOOL) controller-gen object paths=./api/...

# Oldest first: the schemas share a file of descriptions, in which the last one wins. Istio 1.23 keeps its types in another
# package, hence its build tag.
generate-schemas:
	cd releases
	for version in $(ISTIO_VERSIONS); do
	  $(call say,values schema of Istio $$version)
	  tags=; [[ $$version == 1.23.* ]] && tags=istio123
	  go run -modfile=$$version.mod -tags="$$tags" ./schema \
	    -docs ../config/crd/gen/descriptions.json ../internal/release/schemas/v$$version.json
	done

# controller-gen writes the CRDs from the Go types; the second program puts in the schemas of spec.values.
generate-crds: generate-deepcopy generate-schemas
	$(call say,CRDs)
	$(TOOL) controller-gen crd paths=./api/... output:crd:dir=config/crd
	go run ./config/crd/gen config/crd

# The controller's rights are what the charts of all bundled versions need.
.PHONY: generate-rbac
generate-rbac: bundles
	$(call say,roles of the controller)
	go run ./config/rbac/gen config

.PHONY: verify-format verify-modules verify-bundles verify-generated
verify-format:
	$(call say,gofmt)
	unformatted=$$(gofmt -l .)
	if [[ -n "$$unformatted" ]]; then
	  printf 'not formatted (run gofmt -w):\n%s\n' "$$unformatted" >&2
	  exit 1
	fi

# The tools' module file is tidied as a module of its own: here it would take in what the product imports.
verify-modules:
	$(call say,go mod tidy)
	go mod tidy -diff
	for module in $$(git ls-files 'test/*/go.mod'); do
	  (cd "$$(dirname $$module)" && go mod tidy -diff)
	done
	tools=$$(mktemp -d)
	trap 'rm -rf "$$tools"' EXIT
	cp go.tools.mod "$$tools/go.mod"
	cp go.tools.sum "$$tools/go.sum"
	cd "$$tools" && go mod tidy -diff

verify-bundles: bundles
	$(call say,digests of the bundles)
	go run ./hack/catalogue verify

# Compared with what was there before, not with the last commit: new output that is right is no error.
verify-generated:
	before=$$(mktemp -d)
	trap 'rm -rf "$$before"' EXIT
	for path in $(GENERATED); do
	  mkdir -p "$$before/$$(dirname $$path)"
	  cp -R "$$path" "$$before/$$path"
	done
	$(MAKE) generate
	stale=
	for path in $(GENERATED); do
	  git --no-pager diff --no-index --stat --patch -- "$$before/$$path" "$$path" | sed -n 1,80p >&2 || stale+=" $$path"
	done
	if [[ -n "$$stale" ]]; then
	  echo "generated files were out of date, and are now regenerated in:$$stale" >&2
	  exit 1
	fi
