# ddsgo: see README.md. Further targets live in make/*.mk.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build
PREFIX ?= /usr/local
DESTDIR ?=

.PHONY: build
build: ## build bin/ddsgo, one static binary
	CGO_ENABLED=0 go build -trimpath -o bin/ddsgo ./cmd/ddsgo

.PHONY: demo
demo: ## the main job on real LVM and a real sshd, start to end (root)
	demo/run.sh

.PHONY: test
test: ## unit tests, then the lab tests on real LVM (root; installs what it needs)
	lab/install.sh
	go vet ./...
	go test ./...
	$(MAKE) --no-print-directory lab

.PHONY: unit
unit: ## unit tests only: no root, no LVM
	go test ./...

.PHONY: race
race: ## unit tests under the race detector
	go test -race ./...

.PHONY: lint
lint: bin/golangci-lint ## golangci-lint with the layers as rules (built from tools/go.mod)
	bin/golangci-lint run ./...

bin/golangci-lint: tools/go.mod
	cd tools && go build -o ../bin/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint

FUZZTIME ?= 30s
.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (30s)
	grep -rl '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u | while read -r dir; do \
	  for f in $$(grep -ho '^func Fuzz[A-Za-z0-9]*' $$dir/*_test.go | sed 's/^func //'); do \
	    echo "fuzz $$dir $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $$dir; done; done

.PHONY: install
install: build man ## binary, dds link, man pages, systemd units
	install -D -m 755 bin/ddsgo $(DESTDIR)$(PREFIX)/sbin/ddsgo
	ln -sf ddsgo $(DESTDIR)$(PREFIX)/sbin/dds
	install -d $(DESTDIR)$(PREFIX)/share/man/man5 $(DESTDIR)$(PREFIX)/share/man/man8 $(DESTDIR)/etc/ddsgo
	install -m 644 man/*.5 $(DESTDIR)$(PREFIX)/share/man/man5/
	install -m 644 bin/man/*.8 $(DESTDIR)$(PREFIX)/share/man/man8/
	install -D -m 644 -t $(DESTDIR)/lib/systemd/system dist/systemd/*

.PHONY: man
man: ## generate the man pages of the verbs into bin/man
	go build -o bin/genman ./cmd/genman
	bin/genman bin/man

.PHONY: clean
clean: ## remove what make built
	rm -rf bin

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16 | sort

include $(wildcard make/*.mk)
