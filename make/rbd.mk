# Ceph RBD: real clusters on this machine (root, packages from lab/ceph/install.sh).
# The named subset: what runs in it is shortened further where a test says so (--- SKIP, "left out").
LAB_RBD_SUBSET = ^(TestUpIsQuickMirrorsAndLeavesNothing|TestKilledOwnerLeavesNothing|TestStory|TestFaults|TestLegsOnRealClusters)$$

.PHONY: lab-rbd lab-rbd-full demo-rbd

lab-rbd: ## RBD driver on two real clusters: lab self-test and the essential cases (< 6 min); says what is left out
	lab/ceph/install.sh
	go test -tags lab -count=1 -p 1 -short -v -run '$(LAB_RBD_SUBSET)' -timeout 15m ./lab/ceph/ ./array/rbd/...

lab-rbd-full: ## everything of lab-rbd, with the long cases
	lab/ceph/install.sh
	go test -tags lab -count=1 -p 1 -timeout 60m ./lab/ceph/ ./array/rbd/...

demo-rbd: build ## the life of a mirrored image on two real clusters, with checksums (DEMO_MODES=journal|snapshot)
	lab/ceph/install.sh
	go run ./lab/ceph/cephlab -no-mirror -- lab/ceph/demo.sh bin/ddsgo
