# HPE 3PAR on the simulated pair; no array and no root needed.
.PHONY: demo-hp3par

demo-hp3par: build ## the life of a Remote Copy group by ssh, WSAPI and proxy, every step checked
	bash array/hp3par/demo/demo.sh bin/ddsgo
