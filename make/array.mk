# Drivers: the conformance suite and the cost of a status.

.PHONY: array-test
array-test: ## the driver interface: rules, memory fake with its planted defects, plug-in protocol, configuration, verbs
	go test ./array ./array/arraytest ./array/fake ./array/plugin ./config ./internal/report ./internal/ui ./cmd/ddsgo/cli

.PHONY: array-plugin
array-plugin: build ## the conformance suite on the sample plug-in (two files): 178 cases, minutes
	examples/plugin/conformance bin/ddsgo

.PHONY: array-plugin-full
array-plugin-full: build ## the same with every disturbance at every step
	examples/plugin/conformance bin/ddsgo --thorough

.PHONY: bench-status
bench-status: ## status of 500 resources in memory, --parallel 16; has to stay under 1 s
	go test ./cmd/ddsgo/cli -run '^$$' -bench Status500 -benchtime 5x
