# The LVM lab: real LVM, real device-mapper, on this kernel or inside user-mode Linux. See lab/doc.go.
#   make lab                       all packages
#   make lab PKG=./lvm RUN=TestX   one package, one test; LAB_VERBOSE=1 prints each test
#   LAB=required make lab          fails where the lab cannot run

.PHONY: lab
lab: ## real-LVM tests (PKG=./lvm RUN=TestX)
	lab/run.sh $(if $(RUN),-run '$(RUN)') $(PKG)

.PHONY: lab-full
lab-full: ## like lab, with every point of the kill tables and more random kills (an hour)
	LAB_FULL=1 LAB_TIMEOUT=60m lab/run.sh $(if $(RUN),-run '$(RUN)') $(PKG)

.PHONY: lab-install
lab-install: ## install what lab and demo need (root, Debian)
	lab/install.sh

.PHONY: golden
golden: ## images of real exception stores, made by the kernel, for the tests of package cow
	DDSGO_GOLDEN=1 LAB=required LAB_OUT=cow/testdata/kernel lab/run.sh -run '^TestGolden' ./lvm
