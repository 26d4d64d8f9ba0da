package cli

import (
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/config"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/run"
	"github.com/ddsgo/ddsgo/internal/version"
	"github.com/ddsgo/ddsgo/replica"
	"github.com/ddsgo/ddsgo/stream/session"
	"github.com/ddsgo/ddsgo/transport"
)

type serveOptions struct {
	stdio   bool
	volumes []string
	verbs   []string
	spool   string
	quota   string
}

func newServeCommand(g *globals, s streams) *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve --stdio",
		Short: "Answer a source on standard input and output; what ssh starts on the target",
		Long: `Answer a source on standard input and output; what ssh starts on the target.

As the forced command of an ssh key, with --allow-volume and --allow-verb, it limits what that key
can do. The client's own command line is ignored then:

  restrict,command="/usr/local/sbin/ddsgo serve --stdio --allow-volume /dev/vg1/appdata" ssh-ed25519 AAAA... root@source

EXIT STATUS
  0   the source ended the session
  4   wrong usage
  12  the connection broke, or the source fell silent
  13  what the source sent is not understood`,
		Example: `  ddsgo serve --stdio
  ddsgo serve --stdio --allow-volume /dev/vg1/appdata --allow-verb inspect,probe,receive
  ddsgo serve --stdio --allow-volume /dev/vg1/appdata --spool-quota 20GiB`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runServe(cmd, g, s, o) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.stdio, "stdio", false, "speak on standard input and output (the only way as yet)")
	f.StringSliceVar(&o.volumes, "allow-volume", nil, "`DEVICE` that the peer may reach, as the source names it; may be given several times")
	f.StringSliceVar(&o.verbs, "allow-verb", nil, "operations that the peer may ask for: inspect, probe, receive, digest, verified, reclaim, extend, hold, release, promote, list, history")
	f.StringVar(&o.spool, "spool-dir", "", "`DIR` for incoming deltas (default: in the state directory)")
	f.StringVar(&o.quota, "spool-quota", "", "`SIZE` that the incoming delta, journal and undo deltas of one volume may take (default: what the file system has)")
	return cmd
}

func runServe(cmd *cobra.Command, g *globals, s streams, o serveOptions) error {
	if !o.stdio {
		return failure.Usage("serve needs --stdio")
	}
	if isTerminal(s.out) {
		return failure.Usage("serve speaks a binary protocol; ddsgo on the source starts it through ssh")
	}
	dir, err := config.StateDir(g.stateDir, os.Getenv)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	env := environment{log: log, runner: run.OS{Log: log}, stateDir: func() (string, error) { return dir, nil }}
	h, err := newHost(env)
	if err != nil {
		return err
	}
	h.SpoolDir = o.spool
	if o.quota != "" {
		q, err := config.ParseSize(o.quota)
		if err != nil || q == 0 {
			return failure.Usage("--spool-quota %q: write a size such as 20GiB", o.quota)
		}
		h.SpoolQuota = int64(q)
	}
	if len(o.volumes) > 0 || len(o.verbs) > 0 {
		h.Allow = &replica.Allow{Devices: o.volumes, Verbs: o.verbs}
	}
	rw, err := transport.Stdio()
	if err != nil {
		return err
	}
	return replica.Service{Host: h}.Serve(cmd.Context(), rw, session.Options{Version: version.String()})
}
