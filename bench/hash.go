package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/journal"
	"github.com/ddsgo/ddsgo/resync"
	"github.com/ddsgo/ddsgo/stream"
)

// Goals of verify and resync.
const (
	goalVerify      = 1 / 0.8 // time to dd's: at least 0.8 of its speed
	goalResync      = 1 / 0.6
	goalResyncBytes = 1.10 // content sent to what differs
	hashReaders     = 16   // as package replica has them
)

// hashing compares a volume on a real disk (Suite.Disk) with one on tmpfs: only one side's reads
// reach the disk, past the page cache, as on two machines. Speed is beside dd of the same file in the
// same round.
func (s *Suite) hashing(ctx context.Context, group string) error {
	s.Progress("making the volumes of " + group)
	dir, err := os.MkdirTemp(s.Disk, "ddsbench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	v := Volume{Bytes: s.Size, Seed: 1, Profile: Profiles()["mixed"]}
	w := &Workload{Volume: v, Changes: Changes{Seed: 2, Count: Percent(v, 1)}}
	remove, err := s.workload("verify", w)
	if err != nil {
		return err
	}
	defer remove()
	h := &hashBench{copy: filepath.Join(dir, "target"), fresh: w.Source, size: s.Size, journal: filepath.Join(dir, "journal")}
	if err := copyFile(h.copy, w.Target); err != nil {
		return err
	}
	cases := []Case{
		{Name: "dd iflag=direct bs=1M"}, {Name: "verify, one side"}, {Name: "resync of a volume that differs in 1 %"},
	}
	results := map[string]Result{}
	for range s.Rounds + 1 {
		for i, run := range []func(context.Context) error{
			h.dd,
			func(ctx context.Context) error { return h.verify(ctx, w.Target) },
			func(ctx context.Context) error {
				return errors.Join(h.resync(ctx), copyFile(h.copy, w.Target))
			},
		} {
			h.wall = 0
			before := ownCPU()
			if err := run(ctx); err != nil {
				return fmt.Errorf("%s: %w", cases[i].Name, err)
			}
			r := results[cases[i].Name]
			r.CPU, r.Wall = append(r.CPU, ownCPU()-before), append(r.Wall, h.wall)
			results[cases[i].Name] = r
		}
	}
	s.report.AddGroup(group, cases, results)
	dd, differ := results[cases[0].Name], w.Changes.Count*BlockSize
	s.goal("verify of "+gib(s.Size)+", one side: time to dd iflag=direct bs=1M", goalVerify, RatioWall(results[cases[1].Name], dd), "x")
	s.goal("resync of "+gib(s.Size)+", 1 % differs: time to dd iflag=direct bs=1M", goalResync, RatioWall(results[cases[2].Name], dd), "x")
	s.goal("resync of "+gib(s.Size)+", 1 % differs: bytes sent less digests, to what differs", goalResyncBytes, float64(h.sent)/float64(differ), "x")
	s.figure("verify: digests, both ways", mib(h.digests), "MiB")
	s.figure("resync: digests, both ways", mib(h.digestsOfDiffering), "MiB")
	s.figure("dd iflag=direct bs=1M", mib(s.Size)/dd.MedianWall().Seconds(), "MiB/s")
	return nil
}

// hashBench is a volume on a disk, and what was measured with it.
type hashBench struct {
	copy    string // on the disk: what the target has
	fresh   string // on tmpfs: what the source has
	journal string
	size    int64

	wall               time.Duration
	digests            int64
	digestsOfDiffering int64
	sent               int64 // content
}

func (h *hashBench) timed(run func() error) error {
	start := time.Now()
	err := run()
	h.wall = time.Since(start)
	return err
}

func (h *hashBench) dd(ctx context.Context) error {
	return h.timed(func() error {
		out, err := exec.CommandContext(ctx, "dd", "if="+h.copy, "of=/dev/null", "iflag=direct", "bs=1M", "status=none").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

// exchange compares the copy, read from the disk as its host would, with another file.
func (h *hashBench) exchange(ctx context.Context, other string, found func(extent.Extent) error) (res resync.Result, err error) {
	disk, err := blockdev.Open(h.copy, blockdev.Options{Direct: true})
	if err != nil {
		return res, err
	}
	defer disk.Close()
	f, err := os.Open(other)
	if err != nil {
		return res, err
	}
	defer f.Close()
	opt := resync.Options{Range: extent.Between(0, h.size), Block: BlockSize, Salt: resync.NewSalt(), Readers: hashReaders}
	// Real pipes, because they buffer: both ends may write at the same time.
	toServer, fromClient, err := os.Pipe()
	if err != nil {
		return res, err
	}
	toClient, fromServer, err := os.Pipe()
	if err != nil {
		return res, errors.Join(err, toServer.Close(), fromClient.Close())
	}
	served := make(chan error, 1)
	go func() {
		_, err := resync.Serve(ctx, toServer, bufio.NewWriter(fromServer), blockdev.Idle(disk), opt)
		served <- errors.Join(err, fromServer.Close())
	}()
	res, err = resync.Compare(ctx, toClient, bufio.NewWriter(fromClient), f, opt, found)
	err = errors.Join(err, fromClient.Close())
	return res, errors.Join(err, <-served, toClient.Close(), toServer.Close())
}

// verify compares with an equal volume.
func (h *hashBench) verify(ctx context.Context, same string) error {
	return h.timed(func() error {
		res, err := h.exchange(ctx, same, func(e extent.Extent) error { return fmt.Errorf("a false difference at %d", e.Off) })
		h.digests = res.Sent + res.Received
		return err
	})
}

// resync compares, sends what differs through a journal, and writes it to the disk.
func (h *hashBench) resync(ctx context.Context) error {
	err := h.timed(func() error { return h.rejoin(ctx) })
	if err != nil {
		return err
	}
	a, err := os.Open(h.copy)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := os.Open(h.fresh)
	if err != nil {
		return err
	}
	defer b.Close()
	return equalRange(a, b, 0, h.size)
}

func (h *hashBench) rejoin(ctx context.Context) error {
	found, err := extent.NewBitmap(BlockSize, h.size)
	if err != nil {
		return err
	}
	res, err := h.exchange(ctx, h.fresh, found.AddExtent)
	if err != nil {
		return err
	}
	h.digestsOfDiffering = res.Sent + res.Received
	source, err := os.Open(h.fresh)
	if err != nil {
		return err
	}
	defer source.Close()
	dir, err := journal.Open(journal.OS{}, h.journal)
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	go func() {
		head := stream.Header{Kind: stream.KindDelta, ChunkSize: BlockSize, VolumeSize: h.size, SetBytes: found.Bytes(), Source: "bench",
			From: generation.Generation{UUID: "old", Seq: 1, Size: h.size}, To: generation.Generation{UUID: "new", Seq: 2, Size: h.size}}
		_, err := engine.Extract(ctx, w, engine.NewSource(found.Seq(), source), engine.ExtractOptions{Header: head})
		_ = w.CloseWithError(err) // never fails
	}()
	got, member, err := engine.ReceiveSpool(ctx, dir, "bench", r, engine.SpoolOptions{Target: h.copy})
	if err != nil {
		return errors.Join(err, r.CloseWithError(err))
	}
	h.sent = got.Report.StreamBytes
	return h.apply(ctx, dir, member)
}

func (h *hashBench) apply(ctx context.Context, dir *journal.Dir, member journal.Member) error {
	tx, err := dir.Commit(time.Now(), member)
	if err != nil {
		return err
	}
	dev, err := blockdev.Open(h.copy, blockdev.Options{Write: true})
	if err != nil {
		return err
	}
	_, err = engine.Replay(ctx, tx, "bench", dev, engine.MergeOptions{})
	return errors.Join(err, dev.Close(), dir.Remove())
}

func copyFile(to, from string) error {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, w.Sync(), w.Close())
}
