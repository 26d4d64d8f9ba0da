//go:build lab

package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Run runs a command and returns its standard output without the last newline; a failure ends the test with the
// command's stderr.
func Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := try(name, args...)
	if err != nil {
		t.Fatalf("lab: %s %s: %v", name, strings.Join(args, " "), err)
	}
	return out
}

// Try runs a command and returns its standard output; the error carries its stderr.
func Try(name string, args ...string) (string, error) { return try(name, args...) }

func try(name string, args ...string) (string, error) {
	var stderr strings.Builder
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = &commandError{err: err, stderr: strings.TrimSpace(stderr.String())}
	}
	return strings.TrimRight(string(out), "\n"), err
}

type commandError struct {
	err    error
	stderr string
}

func (e *commandError) Error() string { return e.err.Error() + ": " + e.stderr }
func (e *commandError) Unwrap() error { return e.err }

// Disk returns the path of a fresh loop device of size bytes, all zeros.
func Disk(t testing.TB, size int64) string {
	t.Helper()
	s := get(t)
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(s.dir, s.name(".")+".img")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	dev := Run(t, "losetup", "--find", "--show", "--nooverlap", file)
	s.mu.Lock()
	s.loops[dev] = true
	err = s.configure()
	s.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.drop(t, dev, file) })
	return dev
}

func (s *session) drop(t testing.TB, dev, file string) {
	// A process that just ended may hold the device for a moment; losetup -d is lazy then, which is what we want.
	if _, err := try("losetup", "-d", dev); err != nil {
		t.Errorf("lab: cannot detach %s: %v", dev, err)
	}
	_ = os.Remove(file)
	s.mu.Lock()
	delete(s.loops, dev)
	err := s.configure()
	s.mu.Unlock()
	if err != nil {
		t.Error(err)
	}
	s.release()
}

// Dir is a fresh directory, in memory, removed at the end. Unlike t.TempDir it is swept after a kill.
func Dir(t testing.TB) string {
	t.Helper()
	s := get(t)
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := os.MkdirTemp(s.dir, "d")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(d); s.release() })
	return d
}

// Binary is the path of the ddsgo program built from this tree.
func Binary(t testing.TB) string {
	t.Helper()
	bin := os.Getenv("DDSGO_LAB_BIN")
	if bin == "" {
		t.Fatal("lab: DDSGO_LAB_BIN is not set: start the tests by make lab")
	}
	return bin
}

// OutDir is a directory whose content survives the lab: make lab copies it to $LAB_OUT.
func OutDir(t testing.TB) string {
	t.Helper()
	d := os.Getenv("DDSGO_LAB_OUT")
	if d == "" {
		t.Fatal("lab: DDSGO_LAB_OUT is not set: start the tests by make lab")
	}
	return d
}

// Mount makes an ext4 on dev, mounts it and returns the directory.
func Mount(t testing.TB, dev string) string {
	t.Helper()
	Run(t, "mkfs.ext4", "-q", "-F", dev)
	dir := Dir(t)
	Run(t, "mount", dev, dir)
	t.Cleanup(func() {
		if _, err := try("umount", dir); err != nil {
			_, _ = try("umount", "-l", dir)
			t.Errorf("lab: %s was still in use: %v", dir, err)
		}
	})
	return dir
}
