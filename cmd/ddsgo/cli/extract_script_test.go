package cli

import (
	"bytes"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ddsgo/ddsgo/cow/cowtest"
)

func TestMain(m *testing.M) {
	command := func() { os.Exit(Main(os.Args, os.Stdin, os.Stdout, os.Stderr)) }
	testscript.Main(m, map[string]func(){"ddsgo": command, "dds": command})
}

// TestPlumbing runs the scripts of testdata/plumbing: verbs on files, without root.
func TestPlumbing(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/plumbing",
		Setup: func(e *testscript.Env) error {
			e.Setenv("DDSGO_STATE_DIR", e.WorkDir+"/state")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"mkvolume": mkVolume, "truncate": truncateFile, "flip": flipByte, "zeros": makeZeros, "code": exitCodeIs, "overflow": overflowStore,
		},
	})
}

// mkVolume NAME KIB CHUNKS SEED makes NAME.old, NAME.new and NAME.cow: the store of a snapshot
// that was taken at NAME.old, after CHUNKS chunks of 4 KiB became what NAME.new has.
func mkVolume(ts *testscript.TestScript, _ bool, args []string) {
	name := ts.MkAbs(args[0])
	kib, n, seed := number(ts, args[1]), number(ts, args[2]), number(ts, args[3])
	r := rand.New(rand.NewPCG(uint64(seed), 1))
	size := int64(kib) << 10
	old := make([]byte, size)
	for i := range old {
		if i>>16&1 == 0 {
			old[i] = byte(r.Uint32())
		}
	}
	content := bytes.Clone(old)
	storeSize := int64(n)*4096*2 + 1<<20
	f, err := os.Create(name + ".cow")
	ts.Check(err)
	defer f.Close()
	ts.Check(f.Truncate(storeSize))
	store, err := cowtest.New(f, storeSize, 4096)
	ts.Check(err)
	for _, chunk := range r.Perm(int(size / 4096))[:n] {
		at := chunk * 4096
		_, err := store.Copy(uint64(chunk), old[at:at+4096])
		ts.Check(err)
		fill := byte(r.IntN(3)) // 0: zeros
		for i := range 4096 {
			content[at+i] = fill * byte(i>>4)
		}
	}
	ts.Check(store.Flush())
	ts.Check(os.WriteFile(name+".old", old, 0o644))
	ts.Check(os.WriteFile(name+".new", content, 0o644))
}

func number(ts *testscript.TestScript, s string) int {
	n, err := strconv.Atoi(s)
	ts.Check(err)
	return n
}

// truncateFile FILE N cuts a file to N bytes; negative N cuts so many off its end.
func truncateFile(ts *testscript.TestScript, _ bool, args []string) {
	path, n := ts.MkAbs(args[0]), int64(number(ts, args[1]))
	if n < 0 {
		st, err := os.Stat(path)
		ts.Check(err)
		n += st.Size()
	}
	ts.Check(os.Truncate(path, n))
}

// flipByte FILE OFFSET changes one bit.
func flipByte(ts *testscript.TestScript, _ bool, args []string) {
	b, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	b[number(ts, args[1])] ^= 4
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o644))
}

// overflowStore FILE marks an exception store invalid, as the kernel does when it is full.
func overflowStore(ts *testscript.TestScript, _ bool, args []string) {
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_WRONLY, 0)
	ts.Check(err)
	_, err = f.WriteAt(make([]byte, 4), 4)
	ts.Check(err)
	ts.Check(f.Close())
}

// makeZeros FILE KIB makes a sparse file.
func makeZeros(ts *testscript.TestScript, _ bool, args []string) {
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Check(f.Truncate(int64(number(ts, args[1])) << 10))
	ts.Check(f.Close())
}

// exitCodeIs CODE [-stdin FILE] COMMAND ARGS... runs a command and wants this exit status.
func exitCodeIs(ts *testscript.TestScript, _ bool, args []string) {
	want := number(ts, args[0])
	// sh is the only way to learn the status of a registered command from a script.
	err := ts.Exec("sh", append([]string{"-c", `code=$1; shift; "$@"; got=$?; test $got -eq $code || { echo "exit status $got, want $code" >&2; exit 99; }`, "code", strconv.Itoa(want)}, args[1:]...)...)
	if err != nil {
		ts.Fatalf("%v", err)
	}
}
