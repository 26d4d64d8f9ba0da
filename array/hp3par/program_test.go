package hp3par_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/hp3par"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/internal/run"
)

// Environment of the stand-in for the vendor's program.
const (
	standInMode   = "DDSGO_TEST_VENDOR_CLI"        // talk, untrusted, untrusted0
	standInArrays = "DDSGO_TEST_VENDOR_CLI_ARRAYS" // NAME ADDRESS KNOWN_HOSTS, a line for each array
)

// standIn is `cli -sys NAME [-nohdtot -csvtable] COMMAND...`, talking to the simulator. It takes what the
// vendor's takes and nothing else.
func standIn(args []string) int {
	fail := func(format string, a ...any) int {
		fmt.Printf(format+"\n", a...)
		return 1
	}
	if len(args) < 3 || args[0] != "-sys" {
		return fail("usage: cli -sys NAME [-nohdtot -csvtable] COMMAND...")
	}
	name, words, flags := args[1], args[2:], ""
	if len(words) > 2 && words[0] == "-nohdtot" && words[1] == "-csvtable" {
		words, flags = words[2:], " -csvtable -nohdtot"
	}
	root, err := user.LookupId("0")
	if err != nil || os.Getenv("HOME") != root.HomeDir || os.Getenv("TPDNOCERTPROMPT") != "1" {
		return fail("HOME=%s TPDNOCERTPROMPT=%s: %v", os.Getenv("HOME"), os.Getenv("TPDNOCERTPROMPT"), err)
	}
	secret, err := os.ReadFile(os.Getenv("TPDPWFILE"))
	if err != nil {
		return fail("TPDPWFILE: %v", err)
	}
	if mode := os.Getenv(standInMode); strings.HasPrefix(mode, "untrusted") {
		fmt.Printf("The authenticity of the storage system cannot be established.\nThe certificate sent by the system is self-signed and cannot be trusted.\n")
		return 1 - strings.Count(mode, "0")
	}
	for _, line := range strings.Split(os.Getenv(standInArrays), "\n") {
		if f := strings.Fields(line); len(f) == 3 && f[0] == name {
			return talk(f[1], f[2], string(bytes.TrimSpace(secret)), strings.Join(words, " ")+flags)
		}
	}
	return fail("Error: system %s not found", name)
}

func talk(address, known, password, line string) int {
	check, err := knownhosts.New(known)
	if err != nil {
		panic(err)
	}
	cfg := &ssh.ClientConfig{User: "opensvc", Auth: []ssh.AuthMethod{ssh.Password(password)}, HostKeyCallback: check, HostKeyAlgorithms: []string{ssh.KeyAlgoED25519}}
	c, err := ssh.Dial("tcp", address, cfg)
	if err != nil {
		fmt.Println("Connection closed by remote host")
		return 1
	}
	defer c.Close()
	s, err := c.NewSession()
	if err != nil {
		panic(err)
	}
	out, err := s.CombinedOutput(line)
	os.Stdout.Write(out)
	var exit *ssh.ExitError
	if errors.As(err, &exit) {
		return exit.ExitStatus()
	}
	return 0
}

// vendorCLI is an array that is reached by a real process.
func (b *bench) vendorCLI(t *testing.T, i int, mode string, log *bytes.Buffer) *hp3par.Array {
	t.Helper()
	pwf := filepath.Join(t.TempDir(), "pwf")
	require.NoError(t, os.WriteFile(pwf, []byte("opensvc\n"), 0o600))
	var arrays []string
	for _, r := range b.sim.Ready().Arrays {
		arrays = append(arrays, r.Name+" "+r.SSH+" "+r.KnownHosts)
	}
	t.Setenv(standInMode, mode)
	t.Setenv(standInArrays, strings.Join(arrays, "\n"))
	self, err := os.Executable()
	require.NoError(t, err)
	runner := run.OS{Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	return closing(t)(hp3par.NewProgram(b.options(i), hp3par.Program{Path: self, PwFile: pwf, Runner: runner}))
}

// A relocation with the vendor's program, whose command lines are those of OpenSVC's agent.
func TestProgram(t *testing.T) {
	b, log := newBench(t, "async", nil), &bytes.Buffer{}
	for i := range b.arrays {
		b.arrays[i] = b.vendorCLI(t, i, "talk", log)
	}
	s := b.run(t, array.Goal{Verb: array.Swap, Site: "site2", WritersStopped: true})
	require.Equal(t, report.ResultDone, s.Result)
	require.Equal(t, []string{"hp3par1 syncrcopy -w MYRCG", "hp3par1 stoprcopygroup -f MYRCG", "hp3par2 setrcopygroup reverse -f -waittask MYRCG.r12345", "hp3par2 startrcopygroup MYRCG.r12345"}, b.changes())
	b.checkJournal(t)
	text := log.String()
	require.Contains(t, text, "-sys hp3par1.opensvc.com -nohdtot -csvtable showrcopy groups")
	require.Contains(t, text, "-sys hp3par2.opensvc.com setrcopygroup reverse -f -waittask MYRCG.r12345")
	require.False(t, slices.ContainsFunc(strings.Split(text, "\n"), func(l string) bool { return strings.Contains(l, "TPDPWFILE") || strings.Contains(l, "=opensvc") }), "secrets are not logged")
}

// What is wrong with the installation is said as such, and is no array that does not answer.
func TestProgramThatCannotWork(t *testing.T) {
	for mode, wants := range map[string]string{
		"untrusted":  "its certificate is not trusted: run",
		"untrusted0": "its certificate is not trusted: run",
	} {
		b := newBench(t, "async", nil)
		b.arrays[0] = b.vendorCLI(t, 0, mode, &bytes.Buffer{})
		_, err := b.driver(t).Observe(t.Context())
		require.ErrorIs(t, err, hp3par.ErrConfig)
		require.ErrorContains(t, err, wants)
		require.ErrorContains(t, err, "hp3par1.opensvc.com")
	}
	b := newBench(t, "async", nil)
	a, err := hp3par.NewProgram(b.options(0), hp3par.Program{Path: "/nonexistent/cli", PwFile: "/p", Runner: run.OS{}})
	b.arrays[0] = closing(t)(a, err)
	_, err = b.driver(t).Observe(t.Context())
	require.ErrorIs(t, err, hp3par.ErrConfig)
	require.ErrorContains(t, err, "/nonexistent/cli")
	_, err = hp3par.NewProgram(b.options(0), hp3par.Program{})
	require.ErrorContains(t, err, "pwf")
}
