package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/ddsgo/ddsgo/lab/ceph"
)

// serveControl makes the FIFO and obeys it: "kill primary", "start primary", "stop-mirror secondary",
// "kill-mirror secondary", "start-mirror secondary", "freeze primary osd.0", "thaw primary osd.0".
// A second FIFO, control.done, takes one line per order when it has been carried out.
func serveControl(ctx context.Context, lab *ceph.Lab, path string) error {
	for _, p := range []string{path, path + ".done"} {
		if err := syscall.Mkfifo(p, 0o600); err != nil {
			return fmt.Errorf("control %s: %w", p, err)
		}
	}
	// Opened for reading and writing, a FIFO never reports end of file between two writers.
	orders, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("control: %w", err)
	}
	answers, err := os.OpenFile(path+".done", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("control: %w", err)
	}
	go func() {
		for lines := bufio.NewScanner(orders); lines.Scan(); {
			answer := "ok"
			if err := obey(ctx, lab, strings.Fields(lines.Text())); err != nil {
				answer = "error: " + err.Error()
			}
			fmt.Fprintln(answers, answer)
		}
	}()
	return nil
}

func obey(ctx context.Context, lab *ceph.Lab, order []string) error {
	if len(order) < 2 {
		return fmt.Errorf("order %q: want VERB CLUSTER [DAEMON]", order)
	}
	var c *ceph.Cluster
	for _, x := range lab.Clusters() {
		if x.Name == order[1] {
			c = x
		}
	}
	if c == nil {
		return fmt.Errorf("order %q: no cluster %q", order, order[1])
	}
	switch order[0] {
	case "kill":
		c.Kill(order[2:]...)
	case "stop":
		c.Stop(order[2:]...)
	case "start":
		return c.Start(ctx)
	case "start-mirror":
		return c.StartMirror()
	case "freeze", "thaw":
		if len(order) != 3 {
			return fmt.Errorf("order %q: want a daemon", order)
		}
		if order[0] == "freeze" {
			c.Freeze(order[2])
		} else {
			c.Thaw(order[2])
		}
	default:
		return fmt.Errorf("order %q: unknown", order)
	}
	return nil
}
