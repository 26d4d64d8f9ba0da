# The in-memory crash matrix of LVM replicas, see replica/crash_test.go. `go test ./replica` tries a sample.
#   make crash-table                   every point, and writes docs/CRASH.md (a quarter of an hour of two CPUs)
#   make crash-table CRASH_SEED=7      other losses by power cuts

CRASH_SEED ?= 1

.PHONY: crash-table
crash-table: ## try every crash point in memory, generate docs/CRASH.md
	go test ./replica -count=1 -timeout 180m -run '^TestCrashMatrix$$' -crash.all -crash.seed $(CRASH_SEED) -crash.table $(CURDIR)/docs/CRASH.md

.PHONY: damage-table tables
damage-table: ## break a pair in every way, in the simulation and on real LVM, resync it, generate docs/DAMAGE.md
	mkdir -p bin/damage
	go test ./replica -count=1 -run '^TestResyncRejoins$$' -damage.table $(CURDIR)/bin/damage/damage.md
	LAB=required LAB_OUT=bin/damage lab/run.sh -run '^TestResyncDamages$$' ./replica
	cat bin/damage/damage.md bin/damage/damage-lab.md > docs/DAMAGE.md

tables: crash-table damage-table ## generate docs/CRASH.md and docs/DAMAGE.md
