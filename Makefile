# ddsgo: see README.md. Further targets live in make/*.mk.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build

.PHONY: build
build: ## build bin/ddsgo
	CGO_ENABLED=0 go build -trimpath -o bin/ddsgo ./cmd/ddsgo

include $(wildcard make/*.mk)
