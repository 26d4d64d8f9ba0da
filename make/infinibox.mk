# InfiniBox: the driver against the simulated pair of boxes (no root, no array).
.PHONY: demo-infinibox conformance-infinibox

demo-infinibox: build ## the walk-through of docs/infinibox.md, performed and checked
	demo/infinibox.sh bin/ddsgo

conformance-infinibox: ## every variant of every case of the driver conformance suite (10 min)
	DDSGO_FULL=1 go test -count=1 -timeout 60m -run 'TestConformance|TestMatrix' -v ./array/infinibox/
