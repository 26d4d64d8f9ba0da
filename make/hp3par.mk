# HPE 3PAR on the simulated pair; no array and no root needed.
.PHONY: demo-hp3par bench-hp3par test-hp3par-full

demo-hp3par: build ## the life of a Remote Copy group by ssh, WSAPI and proxy, every step checked
	bash array/hp3par/demo/demo.sh bin/ddsgo

bench-hp3par: ## status of 1,000 groups with 10,000 volumes: goal 1 s of CPU time, one listing per array; 200 clients of the proxy
	go test -run 'TestStatusOfAThousandGroups' -bench 'StatusOfAThousandGroups' -benchmem -v ./array/hp3par
	go test -run 'TestManyClientsFewSessions' -bench 'TwoHundredClients' -benchtime 20x -v ./array/hp3par/proxy

test-hp3par-full: ## every three things unknown of real arrays, the whole suite on each: five minutes on two quiet CPUs
	DDSGO_FULL=1 go test -timeout 60m -run 'TestConformance' ./array/hp3par
