//go:build lab

package lab

import (
	"fmt"
	"testing"
)

// Namespace is a network namespace: a machine, as far as the network goes.
type Namespace struct {
	Name string
	Addr string // its IPv4 address
	link string
	t    testing.TB
}

// Pair is two namespaces joined by one link.
type Pair struct{ A, B *Namespace }

// NetPair makes two namespaces and a link between them.
func NetPair(t testing.TB) *Pair {
	t.Helper()
	base := get(t).name("n")
	p := &Pair{
		A: &Namespace{Name: base + "-a", Addr: "192.0.2.1", link: "va", t: t},
		B: &Namespace{Name: base + "-b", Addr: "192.0.2.2", link: "vb", t: t},
	}
	for _, n := range []*Namespace{p.A, p.B} {
		Run(t, "ip", "netns", "add", n.Name)
		t.Cleanup(func() {
			if _, err := try("ip", "netns", "del", n.Name); err != nil {
				t.Errorf("lab: cannot remove namespace %s: %v", n.Name, err)
			}
		})
	}
	Run(t, "ip", "-n", p.A.Name, "link", "add", "va", "type", "veth", "peer", "name", "vb", "netns", p.B.Name)
	for _, n := range []*Namespace{p.A, p.B} {
		Run(t, "ip", "-n", n.Name, "addr", "add", n.Addr+"/24", "dev", n.link)
		Run(t, "ip", "-n", n.Name, "link", "set", "lo", "up")
		Run(t, "ip", "-n", n.Name, "link", "set", n.link, "up")
	}
	return p
}

// Command prefixes argv so that it runs in the namespace.
func (n *Namespace) Command(argv ...string) []string {
	if n == nil {
		return argv
	}
	return append([]string{"ip", "netns", "exec", n.Name}, argv...)
}

// Cut takes the link down: packets vanish, no one is told.
func (p *Pair) Cut() {
	p.B.t.Helper()
	Run(p.B.t, "ip", "-n", p.B.Name, "link", "set", p.B.link, "down")
}

// Join brings the link up again.
func (p *Pair) Join() {
	p.B.t.Helper()
	Run(p.B.t, "ip", "-n", p.B.Name, "link", "set", p.B.link, "up")
}

// Shape gives the link the properties of a tc netem discipline, in both directions: "delay 20ms loss 0.5% rate 100mbit".
func (p *Pair) Shape(netem ...string) {
	for _, n := range []*Namespace{p.A, p.B} {
		n.t.Helper()
		args := append([]string{"-n", n.Name, "qdisc", "replace", "dev", n.link, "root", "netem"}, netem...)
		Run(n.t, "tc", args...)
	}
}

// String is "name (address)".
func (n *Namespace) String() string { return fmt.Sprintf("%s (%s)", n.Name, n.Addr) }
