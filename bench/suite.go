package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Suite is one run of all comparisons.
type Suite struct {
	Ddsgo    string // the program to measure
	Dir      string // where the files go: tmpfs
	Disk     string // where volumes go that have to be read from a disk
	Size     int64  // of the volumes, bytes
	Large    int64  // of the sparse volume that must cost no more
	Rounds   int
	Progress func(string)
	// Only limits the run to groups whose name contains it.
	Only string

	meter  *Meter
	ssh    *SSHD
	report *Report
}

// Goals of the first release; each is a row of the last table.
const (
	goalDirect    = 0.17
	goalJournaled = 0.25
	goalJournal   = 1.35 // journalled to direct, the whole pipeline
	goalFullWire  = 0.62
	goalFullCPU   = 1.10
	goalScale     = 1.10
	goalMemory    = 48 // MiB
)

// Run measures everything.
func (s *Suite) Run(ctx context.Context) (report *Report, err error) {
	s.meter = NewMeter()
	keys := filepath.Join(s.Dir, "ssh")
	if err := os.MkdirAll(keys, 0o700); err != nil {
		return nil, err
	}
	if s.ssh, err = StartSSHD(ctx, s.meter, keys); err != nil {
		return nil, errors.Join(err, s.meter.Close())
	}
	defer func() { err = errors.Join(err, s.ssh.Close(), s.meter.Close()) }()
	s.report = &Report{
		SchemaVersion: 1, Time: time.Now().UTC().Format(time.RFC3339), Machine: machine(), Meter: s.meter.Kind, Rounds: s.Rounds, Load: load(),
	}
	for _, g := range []struct {
		name string
		run  func(context.Context, string) error
	}{
		{"1 % changed, through ssh", s.incrementSSH},
		{"1 % changed, no ssh", s.incrementLocal},
		{"journal: 10 % changed, through ssh", s.journalSSH},
		{"full copy, mixed image, through ssh", s.fullSSH},
		{"same changes, small and large volume", s.scale},
		{"exception table, in process", s.parse},
		{"verify and resync of a volume on disk, in process", s.hashing},
	} {
		if strings.Contains(g.name, s.Only) {
			if err := g.run(ctx, g.name); err != nil {
				return nil, fmt.Errorf("%s: %w", g.name, err)
			}
		}
	}
	s.report.Load += " .. " + load()
	return s.report, nil
}

// compare runs a group and enters it into the report.
func (s *Suite) compare(ctx context.Context, group string, cases []Case) (map[string]Result, error) {
	results, err := Interleave(ctx, s.meter, s.Rounds, cases, func(p string) { s.Progress(group + ": " + p) })
	if err != nil {
		return nil, err
	}
	s.report.AddGroup(group, cases, results)
	return results, nil
}

func (s *Suite) goal(name string, goal, measured float64, unit string) {
	s.report.Goals = append(s.report.Goals, NewGoal(name, goal, measured, unit))
}

func (s *Suite) figure(name string, value float64, unit string) {
	s.report.Figures = append(s.report.Figures, Figure{name, value, unit})
}

// workload prepares files that are removed when the group ends.
func (s *Suite) workload(name string, w *Workload) (func(), error) {
	s.Progress("making " + name)
	remove := func() {
		for _, f := range []string{w.Source, w.Target, w.Cow} {
			_ = os.Remove(f)
		}
	}
	if err := w.Prepare(s.Dir, name); err != nil {
		remove()
		return nil, err
	}
	return remove, nil
}

func (s *Suite) extract(w *Workload) string {
	return fmt.Sprintf("%s extract --cow %s --source %s", s.Ddsgo, w.Cow, w.Source)
}

func (s *Suite) extractFull(w *Workload) string {
	return fmt.Sprintf("%s extract --full --source %s", s.Ddsgo, w.Source)
}

func (s *Suite) merge(w *Workload, flags string) string {
	return strings.TrimSpace(fmt.Sprintf("%s --state-dir %s/state merge --dest %s %s", s.Ddsgo, s.Dir, w.Target, flags))
}

func (s *Suite) remote(command string) string { return s.ssh.Client + " '" + command + "'" }

// onePercent is a mixed volume with scattered rewrites.
func (s *Suite) onePercent() *Workload { return s.percent(1) }

func (s *Suite) percent(p int64) *Workload {
	v := Volume{Bytes: s.Size, Seed: 1, Profile: Profiles()["mixed"]}
	return &Workload{Volume: v, Changes: Changes{Seed: 2, Count: Percent(v, p)}}
}

// journalSSH is what the journal costs: every byte is written twice, and read once between.
func (s *Suite) journalSSH(ctx context.Context, group string) error {
	w := s.percent(10)
	remove, err := s.workload("ten-percent", w)
	if err != nil {
		return err
	}
	defer remove()
	r, err := s.compare(ctx, group, []Case{
		{"extract | ssh merge --direct", s.extract(w) + " | " + s.remote(s.merge(w, "--direct")), w.ResetTarget, w.Verify},
		{"extract | ssh merge", s.extract(w) + " | " + s.remote(s.merge(w, "")), w.ResetTarget, w.Verify},
	})
	if err != nil {
		return err
	}
	journalled, direct := r["extract | ssh merge"], r["extract | ssh merge --direct"]
	s.goal("10 % of "+gib(s.Size)+" over ssh, journalled: CPU to --direct", goalJournal, Ratio(journalled, direct), "x")
	s.goal("10 % of "+gib(s.Size)+" over ssh, journalled: time to --direct", goalJournal, RatioWall(journalled, direct), "x")
	return nil
}

func (s *Suite) incrementSSH(ctx context.Context, group string) error {
	w := s.onePercent()
	remove, err := s.workload("one-percent", w)
	if err != nil {
		return err
	}
	defer remove()
	r, err := s.compare(ctx, group, []Case{
		{"dd | ssh dd", "dd if=" + w.Source + " bs=1M | " + s.remote("dd of="+w.Target+" bs=1M conv=notrunc"), w.ResetTarget, w.Verify},
		{"extract | ssh merge --direct", s.extract(w) + " | " + s.remote(s.merge(w, "--direct")), w.ResetTarget, w.Verify},
		{"extract | ssh merge", s.extract(w) + " | " + s.remote(s.merge(w, "")), w.ResetTarget, w.Verify},
		{"ssh true", s.remote("true") + " </dev/null", nil, nil},
	})
	if err != nil {
		return err
	}
	dd := r["dd | ssh dd"]
	s.goal("1 % of "+gib(s.Size)+" over ssh, --direct: CPU to dd | ssh dd", goalDirect, Ratio(r["extract | ssh merge --direct"], dd), "x")
	s.goal("1 % of "+gib(s.Size)+" over ssh, journalled: CPU to dd | ssh dd", goalJournaled, Ratio(r["extract | ssh merge"], dd), "x")
	bytes, err := s.streamBytes(ctx, s.extract(w))
	if err != nil {
		return err
	}
	s.figure("1 %: stream", mib(bytes), "MiB")
	s.figure("1 %: stream to changed bytes", float64(bytes)/float64(w.Changes.Count*BlockSize), "x")
	return nil
}

func (s *Suite) incrementLocal(ctx context.Context, group string) error {
	w := s.onePercent()
	remove, err := s.workload("one-percent", w)
	if err != nil {
		return err
	}
	defer remove()
	delta := filepath.Join(s.Dir, "delta")
	defer os.Remove(delta)
	if _, err := s.meter.Run(ctx, s.extract(w)+" > "+delta); err != nil {
		return err
	}
	_, err = s.compare(ctx, group, []Case{
		{"dd | dd", "dd if=" + w.Source + " bs=1M | dd of=" + w.Target + " bs=1M conv=notrunc", w.ResetTarget, w.Verify},
		{"extract | merge --direct", s.extract(w) + " | " + s.merge(w, "--direct"), w.ResetTarget, w.Verify},
		{"extract | merge", s.extract(w) + " | " + s.merge(w, ""), w.ResetTarget, w.Verify},
		{"extract", s.extract(w) + " > /dev/null", nil, nil},
		{"merge --direct", s.merge(w, "--direct") + " < " + delta, w.ResetTarget, w.Verify},
		{"merge", s.merge(w, "") + " < " + delta, w.ResetTarget, w.Verify},
		{"ddsgo --version", s.Ddsgo + " --version", nil, nil},
	})
	return err
}

func (s *Suite) fullSSH(ctx context.Context, group string) error {
	w := &Workload{Volume: Volume{Bytes: s.Size, Seed: 1, Profile: Profiles()["mixed"]}}
	remove, err := s.workload("full", w)
	if err != nil {
		return err
	}
	defer remove()
	cases := []Case{
		{"dd | ssh dd", "dd if=" + w.Source + " bs=1M | " + s.remote("dd of="+w.Target+" bs=1M conv=notrunc"), w.DirtyTarget, w.Verify},
		{"extract --full | ssh merge", s.extractFull(w) + " | " + s.remote(s.merge(w, "--direct")), w.DirtyTarget, w.Verify},
	}
	if _, err := exec.LookPath("zstd"); err == nil {
		cases = append(cases, Case{
			"dd | zstd -1 | ssh zstd -d | dd", "dd if=" + w.Source + " bs=1M | zstd -1 -T1 -c | " +
				s.remote("zstd -d -c | dd of="+w.Target+" bs=1M conv=notrunc"), w.DirtyTarget, w.Verify,
		})
	}
	r, err := s.compare(ctx, group, cases)
	if err != nil {
		return err
	}
	s.goal("full mixed image of "+gib(s.Size)+" over ssh: CPU to dd | ssh dd", goalFullCPU, Ratio(r["extract --full | ssh merge"], r["dd | ssh dd"]), "x")
	bytes, err := s.streamBytes(ctx, s.extractFull(w))
	if err != nil {
		return err
	}
	s.figure("full: stream", mib(bytes), "MiB")
	s.goal("full mixed image of "+gib(s.Size)+": stream to image", goalFullWire, float64(bytes)/float64(s.Size), "x")
	return nil
}

// scale has the same number of changes on a small and on a large sparse volume.
func (s *Suite) scale(ctx context.Context, group string) error {
	count := Percent(Volume{Bytes: 1 << 30}, 1)
	var cases []Case
	var large *Workload
	names := []string{}
	for _, size := range []int64{s.Size, s.Large} {
		w := &Workload{Volume: Volume{Bytes: size, Seed: 1}, Changes: Changes{Seed: 2, Count: count}, Sparse: true}
		name := gib(size)
		remove, err := s.workload(strings.ReplaceAll(name, " ", "-"), w)
		if err != nil {
			return err
		}
		defer remove()
		cases = append(cases, Case{name, s.extract(w) + " | " + s.merge(w, "--direct"), w.ResetTarget, w.Verify})
		names = append(names, name)
		large = w
	}
	r, err := s.compare(ctx, group, cases)
	if err != nil {
		return err
	}
	s.goal(names[1]+" to "+names[0]+", same changes: CPU", goalScale, Ratio(r[names[1]], r[names[0]]), "x")
	return s.memory(ctx, large, names[1])
}

// memory is the peak memory of each side at the large volume, the figure being the largest of
// all rounds.
func (s *Suite) memory(ctx context.Context, w *Workload, name string) error {
	delta := filepath.Join(s.Dir, "delta")
	defer os.Remove(delta)
	peaks := map[string]int64{}
	for range s.Rounds {
		out, err := os.Create(delta)
		if err != nil {
			return err
		}
		n, err := PeakMemory(ctx, nil, out, strings.Fields(s.extract(w))...)
		if err = errors.Join(err, out.Close()); err != nil {
			return err
		}
		peaks["extract"] = max(peaks["extract"], n)
		for side, flags := range map[string]string{"merge --direct": "--direct", "merge": ""} {
			if err := w.ResetTarget(); err != nil {
				return err
			}
			in, err := os.Open(delta)
			if err != nil {
				return err
			}
			n, err := PeakMemory(ctx, in, nil, strings.Fields(s.merge(w, flags))...)
			if err = errors.Join(err, in.Close()); err != nil {
				return err
			}
			peaks[side] = max(peaks[side], n)
		}
	}
	for _, side := range []string{"extract", "merge --direct", "merge"} {
		s.goal(fmt.Sprintf("peak memory of %s, %s", side, name), goalMemory, mib(peaks[side]), "MiB")
	}
	return nil
}

// streamBytes is the length of what a command writes.
func (s *Suite) streamBytes(ctx context.Context, script string) (int64, error) {
	out := filepath.Join(s.Dir, "stream")
	defer os.Remove(out)
	if _, err := s.meter.Run(ctx, script+" > "+out); err != nil {
		return 0, err
	}
	info, err := os.Stat(out)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// gib names a size: the goals were set for 1 GiB, and smaller volumes weigh the start of ssh more.
func gib(n int64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.2f", float64(n)/(1<<30)), ".00") + " GiB"
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// machine is what the figures depend on, for whoever compares two reports.
func machine() string {
	model := "unknown CPU"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(b), "model name\t: "); ok {
			model, _, _ = strings.Cut(rest, "\n")
		}
	}
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%s, %d CPUs, Linux %s", model, cpus(), strings.TrimSpace(string(release)))
}

func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(b), " ")
	return first
}
