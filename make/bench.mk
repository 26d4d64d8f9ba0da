# Benchmarks: ddsgo beside dd | ssh dd, on tmpfs, through a real sshd on loopback. See bench/doc.go.
#   make bench                                    all, about five minutes on two quiet CPUs
#   make bench BENCH_FLAGS="-only full -rounds 9" one group; ddsbench -h lists all flags

.PHONY: bench
bench: build ## measure against the goals (BENCH_FLAGS="-rounds 9")
	go build -trimpath -o bin/ddsbench ./bench/cmd/ddsbench
	bin/ddsbench -ddsgo bin/ddsgo -json bin/bench.json $(BENCH_FLAGS)
