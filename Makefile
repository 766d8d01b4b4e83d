# make help lists the targets. To build, run, test and lint needs Go, make and git. More
# is needed by race, a C compiler; by bench, PostgreSQL; by deploy-check, apt-get and npm;
# and by one campaign of the torture, which is skipped without it: strace.

SHELL := /bin/bash
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.7.0
BINARY := bin/pmledger
# Tests of the command in which much runs at once: parts, servers, requests, messages.
RACED := Actor|Server|Request|Message|Ready|Readme|Lag|Caught|Away|Tail|AKill|SIGTERM|Sockets|Cluster|Metrics|Appends|Disk|TestClock|Written
GODIRS := api cmd domain eventstore gateway projections
DATA ?= data
FUZZTIME ?= 20s
TESTFLAGS ?=
BENCH ?=
BENCHFLAGS ?=
TORTURE ?=
TORTUREFLAGS ?=
# The revision goes into the binary where git can tell it.
BUILDVCS := $(shell git status > /dev/null 2>&1 && echo auto || echo false)

.DEFAULT_GOAL := help
.PHONY: help build run test race bench benchsmoke torture fuzz lint fmt openapi golden deploy-check clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/pmledger, static and reproducible
	CGO_ENABLED=0 go build -trimpath -buildvcs=$(BUILDVCS) -o $(BINARY) ./cmd/pmledger

run: build ## build and serve on 127.0.0.1:8080, NATS on 127.0.0.1:4222, in ./data
	$(BINARY) serve --dev --data $(DATA)

test: ## run all tests, the short torture included
	go test $(TESTFLAGS) ./...

race: ## run the concurrent packages, and the built server, under the race detector
	CGO_ENABLED=1 go test -race -short -timeout 10m ./gateway/... ./eventstore/... ./projections/... ./api/...
	CGO_ENABLED=1 go test -race -short -timeout 10m -run '$(RACED)' ./cmd/pmledger

bench: ## measure next to Echo and to PostgreSQL with an outbox; table, bin/bench/report.md and .svg (BENCH=long: 1 M methods)
	go run ./cmd/bench -report bin/bench $(if $(filter long,$(BENCH)),-methods 1000000) $(BENCHFLAGS)

benchsmoke: ## see in half a minute that everything make bench measures works
	go run ./cmd/bench -smoke $(BENCHFLAGS)

torture: ## break everything on purpose and count what did not hold; table, bin/torture/torture.md (TORTURE=long: an hour or two)
	go run ./cmd/torture -report bin/torture -size $(or $(TORTURE),page) $(TORTUREFLAGS)

fuzz: ## fuzz every fuzz target for FUZZTIME each
	go run ./cmd/torture -only fuzz -fuzz $(FUZZTIME)

lint: ## gofmt, vet, staticcheck, once more with the bugs planted
	@unformatted=$$(gofmt -l $(GODIRS)); \
	  if [ -n "$$unformatted" ]; then echo "not formatted; run make fmt:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go run $(STATICCHECK) ./...
	go run $(STATICCHECK) -tags planted ./...

fmt: ## format the code
	gofmt -w $(GODIRS)

openapi: build ## write api/openapi.json from the code
	$(BINARY) openapi > api/openapi.json

golden: ## rewrite the golden files from the code; read the difference before you commit it
	go test ./domain ./projections ./api -update

deploy-check: ## check what is in deploy/, with the tools that will read it
	deploy/check

clean: ## remove what was built; data/ stays
	rm -rf bin
	go clean -testcache
