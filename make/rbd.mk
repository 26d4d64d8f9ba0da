# Ceph RBD: real clusters on this machine (root, packages from lab/ceph/install.sh).
# The named subset: what runs in it is shortened further where a test says so (--- SKIP, "left out").
LAB_RBD_SUBSET = ^(TestUpIsQuickMirrorsAndLeavesNothing|TestKilledOwnerLeavesNothing|TestStory|TestFaults|TestLifeCycle|TestConformanceOnRealClusters|TestLegsOnRealClusters|TestImageLegsOnRealClusters)$$

.PHONY: lab-rbd lab-rbd-full demo-rbd bench-rbd

lab-rbd: ## RBD driver on two real clusters: lab self-test and the essential cases (about 9 min); says what is left out
	lab/ceph/install.sh
	go test -tags lab -count=1 -p 1 -short -v -run '$(LAB_RBD_SUBSET)' -timeout 25m ./lab/ceph/ ./array/rbd/... ./replica/image/

# Conformance in full takes hours; RBD_CONFORMANCE="swapped: " runs the cases whose name holds that text.
lab-rbd-full: ## everything of lab-rbd, with the long cases and the whole conformance suite
	lab/ceph/install.sh
	go test -tags lab -count=1 -p 1 -v -timeout 24h ./lab/ceph/ ./array/rbd/... ./replica/image/

bench-rbd: ## status of a pool with 1000 images; deltas from and to images beside rbd's own, on two real clusters
	go test -run TestStatusOfAThousandImagesIsTwoCalls -bench ThousandImages -benchtime 20x -v ./array/rbd/
	lab/ceph/install.sh
	BENCH_RBD=1 go test -tags lab -count=1 -short -v -run 'TestBenchLegs' -timeout 20m ./array/rbd/delta/

demo-rbd: build ## the life of a mirrored image on two real clusters, with checksums (DEMO_MODES=journal|snapshot)
	lab/ceph/install.sh
	go run ./lab/ceph/cephlab -no-mirror -- lab/ceph/demo.sh bin/ddsgo
	go run ./lab/ceph/cephlab -no-mirror -- lab/ceph/demo-legs.sh bin/ddsgo
