package fakeimage

import (
	"context"
	"encoding/binary"
	"io"
	"strings"

	"github.com/ddsgo/ddsgo/internal/run"
)

const magic = "rbd diff v1\n"

type diffRow struct {
	block  int
	exists bool
}

// same says that a block was not written anew: Ceph compares objects, not content.
func same(a, b []byte) bool {
	return a == nil && b == nil || a != nil && b != nil && &a[0] == &b[0]
}

// rows are the blocks that differ; growth that was never written is not among them.
func rows(from, to [][]byte) []diffRow {
	var out []diffRow
	for i, x := range to {
		var was []byte
		if i < len(from) {
			was = from[i]
		}
		if !same(x, was) {
			out = append(out, diffRow{i, x != nil})
		}
	}
	return out
}

// states are the two contents that a diff compares.
func (i *Image) states(snap, from string) (older, newer [][]byte, ok bool) {
	newer = i.head
	if snap != "" {
		s := i.snap(snap)
		if s == nil {
			return nil, nil, false
		}
		newer = s.data
	}
	if from != "" {
		s := i.snap(from)
		if s == nil {
			return nil, nil, false
		}
		older = s.data
	}
	return older, newer, true
}

func (i *Image) cmdDiff(snap string, p words) answer {
	older, newer, ok := i.states(snap, p.from)
	if !ok {
		return failed(2, "rbd: error setting snapshot context: (2) No such file or directory")
	}
	list := []any{}
	for _, r := range rows(older, newer) {
		exists := "false"
		if r.exists {
			exists = "true"
		}
		list = append(list, map[string]any{"offset": r.block * Block, "length": Block, "exists": exists})
	}
	return answer{out: list}
}

// stream serves the two commands that move data.
func (w *World) stream(ctx context.Context, c run.Cmd, p words) (run.Result, error) {
	w.mu.Lock()
	w.calls = append(w.calls, strings.Join(p.verb, " "))
	dead, down := w.dead, w.down
	spec := p.verb[1]
	if p.verb[0] == "import-diff" {
		spec = p.verb[2]
	}
	name, snap, _ := strings.Cut(spec, "@")
	i := w.images[name]
	w.mu.Unlock()
	switch {
	case dead:
		return run.Result{}, ErrDead
	case down:
		return result(c, failed(110, "rbd: couldn't connect to the cluster!"))
	case i == nil:
		return result(c, failed(2, "rbd: error opening image %s: (2) No such file or directory", name))
	case p.verb[0] == "import-diff":
		return w.importDiff(ctx, c, p, i)
	}
	w.mu.Lock()
	older, newer, ok := i.states(snap, p.from)
	w.mu.Unlock()
	if !ok {
		_, _ = c.Stdout.Write([]byte(magic)) // a good header before the failure
		return result(c, failed(2, "rbd: error setting snapshot context: (2) No such file or directory"))
	}
	_, err := c.Stdout.Write(encode(p.from, snap, older, newer))
	return run.Result{}, err
}

func encode(from, snap string, older, newer [][]byte) []byte {
	name := func(b []byte, tag byte, s string) []byte {
		return append(binary.LittleEndian.AppendUint32(append(b, tag), uint32(len(s))), s...)
	}
	number := func(b []byte, n int) []byte { return binary.LittleEndian.AppendUint64(b, uint64(n)) }
	b := []byte(magic)
	if from != "" {
		b = name(b, 'f', from)
	}
	b = number(append(name(b, 't', snap), 's'), len(newer)*Block)
	for _, r := range rows(older, newer) {
		if r.exists {
			b = append(number(number(append(b, 'w'), r.block*Block), Block), newer[r.block]...)
		} else {
			b = number(number(append(b, 'z'), r.block*Block), Block)
		}
	}
	return append(b, 'e')
}

// importDiff applies a stream record by record: what came before a cut stays.
func (w *World) importDiff(ctx context.Context, c run.Cmd, p words, i *Image) (run.Result, error) {
	w.mu.Lock()
	var after, before error
	middle := w.cut == Middle && w.cutAt > 0 && w.changes+1 == w.cutAt
	if middle {
		w.changes++
	} else {
		after, before = w.change(p)
	}
	w.mu.Unlock()
	if before != nil {
		return run.Result{}, before
	}
	a := w.records(ctx, c.Stdin, i, middle)
	if middle || after != nil {
		w.Die()
		return run.Result{}, ErrDead
	}
	if w.isDead() {
		return run.Result{}, ErrDead
	}
	return result(c, a)
}

func (w *World) isDead() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dead
}

// records reads a diff stream. middle: the client dies after the first record that changes something.
func (w *World) records(ctx context.Context, r io.Reader, i *Image, middle bool) answer {
	bad := failed(74, "rbd: import-diff failed: (74) Bad message")
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(r, head); err != nil || string(head) != magic {
		return bad
	}
	number := func() int {
		var b [8]byte
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return -1
		}
		return int(binary.LittleEndian.Uint64(b[:]))
	}
	text := func() string {
		var b [4]byte
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return ""
		}
		s := make([]byte, binary.LittleEndian.Uint32(b[:]))
		_, _ = io.ReadFull(r, s)
		return string(s)
	}
	end := ""
	for ctx.Err() == nil {
		var tag [1]byte
		if _, err := io.ReadFull(r, tag[:]); err != nil {
			return bad
		}
		changed := false
		switch tag[0] {
		case 'f':
			if from := text(); !w.has(i, from) {
				return failed(22, "start snapshot '%s' does not exist in the image, aborting", from)
			}
		case 't':
			if end = text(); w.has(i, end) {
				return failed(17, "end snapshot '%s' already exists, aborting", end)
			}
		case 's':
			n := number()
			w.locked(func() { i.resize(n / Block) })
		case 'w', 'z':
			off, n := number(), number()
			if off < 0 || n < 0 {
				return bad
			}
			var p []byte
			if tag[0] == 'w' {
				p = make([]byte, n)
				if _, err := io.ReadFull(r, p); err != nil {
					return bad
				}
			}
			w.locked(func() { i.put(off, n, p) })
			changed = true
		case 'e':
			w.locked(func() { i.addSnap(end) })
			return answer{}
		default:
			return bad
		}
		if middle && changed {
			return answer{}
		}
	}
	return bad
}

func (w *World) locked(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *World) has(i *Image, snap string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return i.snap(snap) != nil
}

// put writes a range; nil content is zeros.
func (i *Image) put(off, n int, p []byte) {
	for k := 0; k < n; {
		at := off + k
		in := at % Block
		m := min(Block-in, n-k)
		b := make([]byte, Block)
		copy(b, i.head[at/Block])
		if p == nil {
			clear(b[in : in+m])
		} else {
			copy(b[in:in+m], p[k:k+m])
		}
		i.head[at/Block] = b
		if p == nil && m == Block {
			i.head[at/Block] = nil
		}
		k += m
	}
}
