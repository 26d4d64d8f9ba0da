package delta

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/ddsgo/ddsgo/array/rbd"
	"github.com/ddsgo/ddsgo/internal/run"
)

// block is the grain in which the memory image tracks changes.
const block = 4096

// memory is an image with snapshots in memory, behind the rbd command line. A nil block was never
// written.
type memory struct {
	head  [][]byte
	names []string
	snaps map[string][][]byte

	locks, watchers string // JSON
	free            int64
	spoil           func([]byte) []byte // of an exported stream
	exportRC        int
	importCut       int // an import dies after so many records; 0: never
	absent          bool
}

func newMemory(blocks int) *memory {
	return &memory{head: make([][]byte, blocks), snaps: map[string][][]byte{}, locks: "[]", watchers: `{"watchers":[]}`, free: 1 << 40}
}

func (m *memory) snapshot(name string) {
	m.names = append(m.names, name)
	m.snaps[name] = append([][]byte(nil), m.head...)
}

func (m *memory) write(i int, p []byte) { m.head[i] = bytes.Clone(p) }

func flat(blocks [][]byte) []byte {
	var b []byte
	for _, x := range blocks {
		if x == nil {
			x = make([]byte, block)
		}
		b = append(b, x...)
	}
	return b
}

func (m *memory) cli() *rbd.CLI { return rbd.NewCLI(rbd.Cluster{Name: "c"}, rbd.Times{}, m) }

type change struct {
	i      int
	exists bool
}

// changes are the blocks that differ; growth that was never written is not among them, as in Ceph.
func changes(from, to [][]byte) []change {
	var out []change
	for i, x := range to {
		var was []byte
		if i < len(from) {
			was = from[i]
		}
		if !bytes.Equal(x, was) || (x == nil) != (was == nil) {
			out = append(out, change{i, x != nil})
		}
	}
	return out
}

func (m *memory) Run(_ context.Context, c run.Cmd) (run.Result, error) {
	line := strings.Join(c.Args, " ")
	exit := func(rc int, text string) (run.Result, error) {
		return run.Result{ExitCode: rc}, &run.ExitError{Cmd: line, ExitCode: rc, Stderr: text}
	}
	answer := func(v any) (run.Result, error) {
		b, err := json.Marshal(v)
		return run.Result{Stdout: b}, err
	}
	from := ""
	for i, a := range c.Args {
		if a == "--from-snap" {
			from = c.Args[i+1]
		}
	}
	_, at, _ := strings.Cut(line, "@")
	at, _, _ = strings.Cut(at, " ")
	target, ok := m.snaps[at]
	if at == "" {
		target, ok = m.head, true
	}
	switch {
	case c.Name == "ceph":
		return answer(map[string]any{"fsid": "f", "pools": []any{map[string]any{"name": "p", "stats": map[string]any{"max_avail": m.free}}}})
	case c.Name == "rados":
		return run.Result{}, nil
	case strings.Contains(line, " create "):
		m.absent = false
		return run.Result{}, nil
	case m.absent:
		return exit(2, "rbd: error opening image i: (2) No such file or directory")
	case strings.Contains(line, " snap ls "):
		rows := []any{}
		for i, n := range m.names {
			rows = append(rows, map[string]any{"id": i + 1, "name": n, "size": len(m.snaps[n]) * block, "protected": "false", "namespace": map[string]string{"type": "user"}})
		}
		return answer(rows)
	case strings.Contains(line, " info "):
		return answer(map[string]any{"id": "abc", "size": len(m.head) * block})
	case strings.Contains(line, " lock ls "):
		return run.Result{Stdout: []byte(m.locks)}, nil
	case strings.Contains(line, " status "):
		return run.Result{Stdout: []byte(m.watchers)}, nil
	case strings.Contains(line, " import-diff "):
		return m.importDiff(c.Stdin, exit)
	case !ok || from != "" && m.snaps[from] == nil:
		return exit(2, "rbd: error setting snapshot context: (2) No such file or directory")
	case strings.Contains(line, " export-diff "):
		_, err := c.Stdout.Write(m.export(from, at, target))
		if err == nil && m.exportRC != 0 {
			return exit(m.exportRC, "rbd: export-diff error")
		}
		return run.Result{}, err
	}
	rows := []any{}
	for _, ch := range changes(m.snaps[from], target) {
		rows = append(rows, map[string]any{"offset": ch.i * block, "length": block, "exists": fmt.Sprint(ch.exists)})
	}
	return answer(rows)
}

func (m *memory) export(from, at string, target [][]byte) []byte {
	var b bytes.Buffer
	w := newRecordWriter(&b)
	_ = w.header(from, at, int64(len(target)*block))
	for _, ch := range changes(m.snaps[from], target) {
		if ch.exists {
			_ = w.write(target[ch.i], int64(ch.i*block))
		} else {
			_ = w.extent('z', int64(ch.i*block), block)
		}
	}
	_ = w.end()
	if m.spoil != nil {
		return m.spoil(b.Bytes())
	}
	return b.Bytes()
}

// importDiff has Ceph's guards: the start snapshot must be there, the end snapshot must not; what came
// before a cut stays written.
func (m *memory) importDiff(r io.Reader, exit func(int, string) (run.Result, error)) (run.Result, error) {
	rr, err := newRecordReader(r)
	if err != nil {
		return exit(74, "rbd: import-diff failed: (74) Bad message")
	}
	end, records := "", 0
	for {
		rec, err := rr.next()
		if err != nil {
			return exit(74, "rbd: import-diff failed: (74) Bad message")
		}
		if records++; m.importCut > 0 && records > m.importCut {
			return exit(110, "rbd: import-diff failed: (110) Connection timed out")
		}
		switch rec.tag {
		case 'f':
			if m.snaps[rec.name] == nil {
				return exit(22, "start snapshot does not exist in the image, aborting")
			}
		case 't':
			if end = rec.name; m.snaps[end] != nil {
				return exit(17, "end snapshot already exists, aborting")
			}
		case 's':
			m.head = append(m.head, make([][]byte, max(0, int(rec.len/block)-len(m.head)))...)[:rec.len/block]
		case 'w':
			p := make([]byte, rec.len)
			if rr.content(p) != nil {
				return exit(74, "rbd: import-diff failed: (74) Bad message")
			}
			for k := 0; k < len(p); k += block {
				m.head[int(rec.off)/block+k/block] = p[k:min(k+block, len(p))]
			}
		case 'z':
			for k := rec.off / block; k < (rec.off+rec.len)/block; k++ {
				m.head[k] = nil
			}
		case 'e':
			m.snapshot(end)
			return run.Result{}, nil
		}
	}
}
