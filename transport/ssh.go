package transport

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ddsgo/ddsgo/internal/run"
)

// EnvSSHConfig names an ssh_config file in place of ssh's own (ssh -F).
const EnvSSHConfig = "DDSGO_SSH_CONFIG"

// preferredCipher is the cheapest where the processor has AES instructions.
const preferredCipher = "aes128-gcm@openssh.com"

// DefaultConnectTimeout is how long ssh may take to connect.
const DefaultConnectTimeout = 15 * time.Second

// askTimeout bounds "ssh -G", which contacts nobody but may run Match exec lines.
const askTimeout = 10 * time.Second

// Options of a connection. The zero value is the default.
type Options struct {
	SSH            string        // ssh program; "" = "ssh"
	SSHConfig      string        // ssh -F; "" = DDSGO_SSH_CONFIG, else ssh's own
	ConnectTimeout time.Duration // default 15 s
	Runner         run.Runner    // for ssh -G; nil: the real one
	Log            *slog.Logger  // nil: none
}

func (o Options) complete() Options {
	if o.SSH == "" {
		o.SSH = "ssh"
	}
	if o.SSHConfig == "" {
		o.SSHConfig = os.Getenv(EnvSSHConfig)
	}
	if o.ConnectTimeout <= 0 {
		o.ConnectTimeout = DefaultConnectTimeout
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Runner == nil {
		o.Runner = run.OS{Log: o.Log}
	}
	return o
}

// sshArgs are the arguments before the destination.
func (o Options) sshArgs(ciphers string) []string {
	var args []string
	if o.SSHConfig != "" {
		args = append(args, "-F", o.SSHConfig)
	}
	args = append(args, "-a", "-x", "-T")
	seconds := max(1, int(o.ConnectTimeout/time.Second))
	for _, opt := range []string{
		"BatchMode=yes", "ControlMaster=no", "ControlPath=none", "ClearAllForwardings=yes",
		"PermitLocalCommand=no", "RemoteCommand=none",
		fmt.Sprintf("ConnectTimeout=%d", seconds), "ServerAliveInterval=10", "ServerAliveCountMax=3",
	} {
		args = append(args, "-o", opt)
	}
	if ciphers != "" {
		args = append(args, "-o", "Ciphers="+ciphers)
	}
	return args
}

// ciphers asks ssh which ciphers the configuration allows for host and puts the
// preferred one first. "" leaves the order to ssh: an ssh that cannot answer will
// say why when it is started for real.
func (o Options) ciphers(ctx context.Context, host string) string {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	args := append(o.sshArgs(""), "-G", "--", host)
	res, err := o.Runner.Run(ctx, run.Cmd{Name: o.SSH, Args: args, Pdeathsig: true})
	if err != nil {
		o.Log.Debug("ssh -G failed: cipher order left alone", "host", host, "err", err)
		return ""
	}
	return preferCipher(res.Stdout)
}

// preferCipher finds the line "ciphers a,b,c" in the output of ssh -G.
func preferCipher(out []byte) string {
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		list, ok := strings.CutPrefix(lines.Text(), "ciphers ")
		if !ok {
			continue
		}
		all := strings.Split(list, ",")
		at := slices.Index(all, preferredCipher)
		if at < 0 {
			return ""
		}
		return strings.Join(slices.Insert(slices.Delete(all, at, at+1), 0, preferredCipher), ",")
	}
	return ""
}
