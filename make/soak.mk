# Soak: random operations, faults and damage, with the promises checked after each. SEED=7 repeats a run.
#   make soak                        in memory and in the lab, five minutes each
#   make soak SOAK_TIME=8h SEED=42   over night

SEED ?= 1
SOAK_TIME ?= 5m
N ?= 5

.PHONY: soak
soak: ## random operations and faults, checked after each (SEED=1 SOAK_TIME=5m)
	go test ./replica -count=1 -timeout 0 -v -run '^TestSoakInMemory$$' -soak.seed $(SEED) -soak.time $(SOAK_TIME)
	SEED=$(SEED) SOAK_TIME=$(SOAK_TIME) LAB_FULL=1 LAB_VERBOSE=1 LAB_TIMEOUT=0 LAB_UML_LIMIT=200000 lab/run.sh \
	  -run '^(TestSoak|TestFlushOrder|TestTagsAreFlushed|TestKillAnyTime)$$' ./replica
	$(MAKE) --no-print-directory lab-powercut

.PHONY: lab-powercut
lab-powercut: ## cut the power of a whole machine N times (N=5 SEED=1)
	lab/powercut.sh $(N) $(SEED)
