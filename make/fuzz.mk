# Fuzzing: `make fuzz` is in the Makefile; each target's corpus lies in testdata/fuzz of its package and runs in `go test`.

# What a hostile peer's or a damaged disk's bytes reach first: package:target:inputs. By count, not by time: a target that is
# stopped by the clock sometimes calls that a failure.
FUZZ_SHORT = stream:FuzzDecode:20000 stream/session:FuzzServe:20000 stream/session:FuzzClient:20000 resync:FuzzCompare:500 \
  replica:FuzzRequests:200 cow:FuzzReadTable:500 extent:FuzzReadChangedSet:500

.PHONY: fuzz-short
fuzz-short: ## a few thousand inputs to the decoders that peers and disks reach; part of CI
	for t in $(FUZZ_SHORT); do IFS=: read -r pkg target n <<<"$$t"; \
	  go test -run '^$$' -fuzz "^$$target$$" -fuzztime $${n}x -fuzzminimizetime 20x ./$$pkg; done

.PHONY: fuzz-corpus
fuzz-corpus: ## keep up to 12 inputs per target of what make fuzz found interesting
	cache=$$(go env GOCACHE)/fuzz/$$(go list -m); \
	find "$$cache" -type d -name 'Fuzz*' | while read -r dir; do \
	  out=$${dir#"$$cache"/}; out=$${out%/*}/testdata/fuzz/$${out##*/}; \
	  [ -d "$${out%/testdata/*}" ] || continue; \
	  mkdir -p "$$out"; have=$$(find "$$out" -type f | wc -l); \
	  find "$$dir" -type f -size -6 | sort | awk -v n=$$((12 - have)) 'NR <= n' | xargs -r cp -n -t "$$out"; done
