# make            build bin/keystile
# make demo       the whole product on this machine, nothing to configure
# make test       every test, on every engine and with every proxy
# make lint bench fuzz clean

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT   ?= $(shell git rev-parse HEAD 2>/dev/null)
LDFLAGS  := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
FUZZTIME ?= 10s
TOOLS    := bin/tools
VULNDB   := $(wildcard ../shared/vulndb)

.PHONY: build demo test lint vuln bench fuzz clean

build:
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/keystile ./cmd/keystile

demo: build
	bin/keystile demo

test:
	.ci/test

lint: $(TOOLS)/gofumpt $(TOOLS)/golangci-lint vuln
	@unformatted=$$($(TOOLS)/gofumpt -l $$(git ls-files -co --exclude-standard '*.go' | grep -v '^internal/store/gen/')); \
	if [ -n "$$unformatted" ]; then echo "not gofumpt-ed:"; echo "$$unformatted"; exit 1; fi
	$(TOOLS)/golangci-lint run ./...
	cd test/browser && ../../$(TOOLS)/golangci-lint run ./...
	cd test/clients && ../../$(TOOLS)/golangci-lint run ./...

# govulncheck asks a database on the network, or a copy that lies beside the repository.
vuln: $(TOOLS)/govulncheck
ifneq ($(VULNDB),)
	$(TOOLS)/govulncheck -db "file://$(realpath $(VULNDB))" ./...
else
	@echo "govulncheck: not run (no copy of the vulnerability database beside the repository)"
endif

bench:
	go test -run '^$$' -bench . -benchmem -benchtime 500ms \
	    $$(grep -rl --include='*_test.go' '^func Benchmark' internal | xargs -n1 dirname | sort -u | sed 's#^#./#')
	go run ./test/load

fuzz:
	FUZZTIME=$(FUZZTIME) .ci/fuzz

clean:
	rm -rf bin dist coverage

# The tools are pinned in a module of their own, so that their dependencies are not the product's.
$(TOOLS)/gofumpt: TOOL := mvdan.cc/gofumpt
$(TOOLS)/golangci-lint: TOOL := github.com/golangci/golangci-lint/v2/cmd/golangci-lint
$(TOOLS)/govulncheck: TOOL := golang.org/x/vuln/cmd/govulncheck
$(TOOLS)/gotestsum: TOOL := gotest.tools/gotestsum
$(TOOLS)/%: tools/lint/go.mod
	@mkdir -p $(TOOLS)
	cd tools/lint && go build -o ../../$@ $(TOOL)
