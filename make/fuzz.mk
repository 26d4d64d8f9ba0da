# Fuzzing: `make fuzz` is in the Makefile; each target's corpus lies in testdata/fuzz of its package and runs in `go test`.

.PHONY: fuzz-corpus
fuzz-corpus: ## keep up to 12 inputs per target of what make fuzz found interesting
	cache=$$(go env GOCACHE)/fuzz/$$(go list -m); \
	find "$$cache" -type d -name 'Fuzz*' | while read -r dir; do \
	  out=$${dir#"$$cache"/}; out=$${out%/*}/testdata/fuzz/$${out##*/}; \
	  [ -d "$${out%/testdata/*}" ] || continue; \
	  mkdir -p "$$out"; have=$$(find "$$out" -type f | wc -l); \
	  find "$$dir" -type f -size -6 | sort | awk -v n=$$((12 - have)) 'NR <= n' | xargs -r cp -n -t "$$out"; done
