package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/array/hp3par/proxy"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/run"
)

type proxyOptions struct {
	config, listen, ready string
	check                 bool
	warn                  func(string)
}

func newProxyCommand(s streams) *cobra.Command {
	var o proxyOptions
	cmd := &cobra.Command{
		Use:   "proxy --config FILE",
		Short: "Let servers run listed commands on 3PAR arrays, and nothing else",
		Long: `Let servers run listed commands on 3PAR arrays, and nothing else.

Each rule of the configuration names a service, a node's uuid, an array, and the command lines that
this node may send for this service, compared byte by byte; "ddsgo array commands NAME --method proxy"
prints the list that a resource needs. The uuid is a bearer secret: keep it as a password, and set
client_ca where clients can have certificates; a rule's certificate is a common name or DNS name.
SIGHUP reads the configuration and reopens the logs; a configuration with a defect is refused in
the error log, and the old rules stay. SIGTERM waits for commands that were started.

EXIT STATUS
  0   ended by a signal, or --check found no defect
  1   the port cannot be used
  4   the configuration has a defect`,
		Example: `  ddsgo proxy --config /etc/ddsgo/proxy.yaml --check
  ddsgo proxy --config /etc/ddsgo/proxy.yaml --listen :443
  ddsgo proxy import config.py > /etc/ddsgo/proxy.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runProxy(cmd.Context(), s, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.config, "config", "/etc/ddsgo/proxy.yaml", "the proxy's own configuration `FILE`")
	f.StringVar(&o.listen, "listen", ":443", "`ADDRESS` to listen on")
	f.StringVar(&o.ready, "ready", "", "`FILE` that gets the address when it is served, by rename")
	f.BoolVar(&o.check, "check", false, "read the configuration, say what is wrong with it, and end")
	cmd.AddCommand(newProxyImportCommand(s))
	return cmd
}

func newProxyImportCommand(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE",
		Short: "Translate the config.py of OpenSVC's proxy, without running Python",
		Long: `Translate the config.py of OpenSVC's proxy, without running Python.

EXIT STATUS
  0  translated
  4  something in it is no plain literal`,
		Example: `  ddsgo proxy import config.py > /etc/ddsgo/proxy.yaml`,
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[0])
			if err != nil {
				return failure.With(failure.CodeUsage, args[0], "cannot be read", "", err)
			}
			c, err := proxy.Import(string(text))
			if err != nil {
				return failure.With(failure.CodeUsage, args[0], "cannot be translated", "", err)
			}
			out, err := yaml.Marshal(c)
			if err != nil {
				return err
			}
			if err := c.Check(); err != nil {
				fmt.Fprintf(s.err, "warning: as it is, ddsgo proxy will refuse it: %v\n", err)
			}
			_, err = s.out.Write(out)
			return err
		},
	}
}

// proxyRun is a proxy that serves.
type proxyRun struct {
	o      proxyOptions
	server *proxy.Server
	access *reopened
	errors *reopened
	tls    atomic.Pointer[tls.Config]
}

// load reads the configuration and prepares its arrays.
func (o proxyOptions) load() (*proxy.Config, proxy.Runner, *tls.Config, error) {
	bad := func(err error) error { return failure.With(failure.CodeUsage, o.config, "proxy", "", err) }
	c, err := proxy.Load(o.config)
	if err != nil {
		return nil, nil, nil, bad(err)
	}
	warnings, err := c.CheckFiles()
	if err != nil {
		return nil, nil, nil, bad(err)
	}
	for _, w := range warnings {
		o.warn(w)
	}
	r, err := proxy.NewRunner(c, run.OS{})
	if err != nil {
		return nil, nil, nil, bad(err)
	}
	cert, err := tls.LoadX509KeyPair(c.SSLCrt, c.SSLKey)
	if err != nil {
		return nil, nil, nil, bad(err)
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
	if c.ClientCA != "" {
		pem, err := os.ReadFile(c.ClientCA)
		if err != nil {
			return nil, nil, nil, bad(err)
		}
		t.ClientCAs, t.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !t.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, nil, nil, bad(fmt.Errorf("client_ca %s holds no certificate", c.ClientCA))
		}
	}
	return c, r, t, nil
}

func runProxy(ctx context.Context, s streams, o proxyOptions) error {
	o.warn = func(text string) { fmt.Fprintf(s.err, "warning: %s\n", text) }
	c, r, t, err := o.load()
	if err != nil {
		return err
	}
	if o.check {
		_, err := fmt.Fprintf(s.out, "%d rule(s): no defect\n", len(c.Creds))
		return err
	}
	p := &proxyRun{o: o, access: &reopened{other: s.out}, errors: &reopened{other: s.err}}
	defer p.access.close()
	defer p.errors.close()
	if err := errors.Join(p.access.open(c.AccessLog), p.errors.open(c.ErrorLog)); err != nil {
		return failure.With(failure.CodeUsage, o.config, "log", "", err)
	}
	log := slog.New(slog.NewTextHandler(p.errors, nil))
	p.server = proxy.New(c, r, p.access, log)
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", o.listen)
	if err != nil {
		return failure.With(failure.CodeFailure, "proxy", "cannot listen", "", err)
	}
	l = proxy.Limit(l)
	h := p.server.HTTP()
	p.tls.Store(t)
	// Each connection asks for the newest certificate and authority.
	h.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return p.tls.Load(), nil }}
	ended := make(chan error, 1)
	go func() { ended <- h.Serve(tls.NewListener(l, h.TLSConfig)) }()
	if err := announceProxy(o.ready, l.Addr().String()); err != nil {
		return err
	}
	return p.wait(ctx, h, log, ended)
}

// wait serves until the context ends, and reloads on SIGHUP.
func (p *proxyRun) wait(ctx context.Context, h *http.Server, log *slog.Logger, ended <-chan error) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-hup:
			c, r, t, err := p.o.load()
			if err == nil {
				err = errors.Join(p.access.open(c.AccessLog), p.errors.open(c.ErrorLog))
			}
			if err != nil {
				log.Error("reload refused, the old configuration stays", "err", err)
				continue
			}
			p.server.Reload(c, r)
			p.tls.Store(t)
			log.Info("configuration read again", "rules", len(c.Creds))
		case err := <-ended:
			return failure.With(failure.CodeFailure, "proxy", "stopped serving", "", err)
		case <-ctx.Done():
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			_ = h.Shutdown(stop) // clients that stay are cut
			p.server.Wait()      // acts that were started end
			return nil
		}
	}
}

func announceProxy(path, address string) error {
	if path == "" {
		return nil
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, fmt.Appendf(nil, "{\"schema_version\":1,\"pid\":%d,\"https\":%q}\n", os.Getpid(), address), 0o600); err != nil {
		return failure.With(failure.CodeFailure, "proxy", "cannot announce", "", err)
	}
	return os.Rename(tmp, path)
}

// reopened is a log file that can be opened anew after it was rotated, or elsewhere.
type reopened struct {
	other io.Writer // where no file is named
	mu    sync.Mutex
	file  *os.File
}

// open goes on in the file at path; the old one stays where that cannot be opened.
func (r *reopened) open(path string) error {
	var f *os.File
	if path != "" {
		var err error
		if f, err = os.OpenFile(filepath.Clean(path), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.file
	r.file = f
	if old != nil {
		return old.Close()
	}
	return nil
}

func (r *reopened) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file != nil {
		_ = r.file.Close() // appended lines are with the kernel already
	}
}

// Write implements io.Writer.
func (r *reopened) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil {
		return r.other.Write(p)
	}
	return r.file.Write(p)
}
