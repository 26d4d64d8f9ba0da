package hp3par

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/ddsgo/ddsgo/sim/control"
)

// Options say how the simulator is to run.
type Options struct {
	Dir      string // for keys, certificates and volume files; required
	Listen   string // address to listen on; default 127.0.0.1
	PortBase int    // 0: ephemeral ports
	Profile  Profile
	Scenario Scenario // the zero value is an empty pair; see LoadScenario
	Files    bool     // volumes are files in Dir/volumes/ARRAY/

	Clock control.Mode // default Real
	Start time.Time    // first instant of a Manual or Auto clock
	// KeyDir, if set, holds the keys instead of Dir: tests share one, because
	// making RSA keys takes longer than most of them.
	KeyDir string
}

// Ready is the simulator's ready line.
type Ready struct {
	SchemaVersion int          `json:"schema_version"`
	PID           int          `json:"pid"`
	Control       string       `json:"control"`
	Arrays        []ReadyArray `json:"arrays"`
}

// ReadyArray says where one array is served.
type ReadyArray struct {
	Name       string `json:"name"`
	SystemID   int    `json:"system_id"`
	SSH        string `json:"ssh"`
	WSAPI      string `json:"wsapi"`
	WSAPIHTTP  string `json:"wsapi_http"`
	CAFile     string `json:"ca_file"`
	KnownHosts string `json:"known_hosts"`
	ClientKey  string `json:"client_key"`
}

// Sim is a running pair of arrays.
type Sim struct {
	m        *machine
	options  Options
	profile  profile
	journal  control.Journal
	ready    Ready
	sessions [2]*sessions
	shells   [2]*sshServer
	managed  [2][]*control.Listener // cut by mgmt_down and array_down
	all      []*control.Listener
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	closing  sync.Once
	closeErr error
}

// Start brings up both arrays and their control API.
func Start(ctx context.Context, o Options) (*Sim, error) {
	prof, err := profileByName(o.Profile)
	if err != nil {
		return nil, err
	}
	if o.Dir == "" {
		return nil, fmt.Errorf("%w: a directory is required", ErrOptions)
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1"
	}
	if o.KeyDir == "" {
		o.KeyDir = o.Dir
	}
	if o.Clock == "" {
		o.Clock = control.Real
	}
	clock, err := control.NewClock(o.Clock, o.Start)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, err
	}
	list, err := o.Scenario.arrayList()
	if err != nil {
		return nil, err
	}
	s := &Sim{options: o, profile: prof, m: &machine{clock: clock, scheduled: make(chan struct{}, 1)}}
	if o.Files {
		s.m.files = o.Dir
	}
	s.m.faults = control.NewFaults(faultKinds, []string{list[0].Name, list[1].Name}, s.faultsChanged)
	s.m.faults.SetCheck(s.m.validateFault)
	if err := s.m.build(o.Scenario, prof); err != nil {
		return nil, err
	}
	ctx, s.cancel = context.WithCancel(ctx)
	if err := s.serve(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// serve opens every port, then starts every server.
func (s *Sim) serve(ctx context.Context) error {
	client, err := loadKey(filepath.Join(s.options.KeyDir, "client_key"), newRSA)
	if err != nil {
		return fmt.Errorf("client key: %w", err)
	}
	s.ready = Ready{SchemaVersion: 1, PID: os.Getpid()}
	for i := range s.m.arrays {
		if err := s.serveArray(ctx, i, client.PublicKey()); err != nil {
			return err
		}
	}
	l, err := s.listen(20)
	if err != nil {
		return err
	}
	s.ready.Control = l.Addr().String()
	handler := control.NewServer(s.m.clock, &s.journal, s.m.faults, s)
	s.wg.Go(func() { _ = serveHTTP(ctx, l, handler) })
	s.wg.Go(func() { s.m.run(ctx) })
	return nil
}

func (s *Sim) listen(offset int) (*control.Listener, error) {
	l, err := control.Listen(s.options.Listen, s.options.PortBase, offset)
	if err == nil {
		s.all = append(s.all, l)
	}
	return l, err
}

// serveArray serves ssh, https and http of one array.
func (s *Sim) serveArray(ctx context.Context, i int, client ssh.PublicKey) error {
	a := s.m.arrays[i]
	file := func(name string) string {
		return filepath.Join(s.options.Dir, fmt.Sprintf("array%d_%s", i+1, name))
	}
	keys, err := hostKeys(s.options.KeyDir, i)
	if err != nil {
		return err
	}
	for port := range 3 {
		l, err := s.listen(10*i + port)
		if err != nil {
			return err
		}
		s.managed[i] = append(s.managed[i], l)
	}
	address := func(port int) string { return s.managed[i][port].Addr().String() }
	if err := writeKnownHosts(file("known_hosts"), address(0), keys); err != nil {
		return fmt.Errorf("known_hosts: %w", err)
	}
	config, err := control.NewTLS(file("ca.pem"), a.name, []string{a.name, s.options.Listen, "127.0.0.1", "localhost"})
	if err != nil {
		return err
	}
	s.ready.Arrays = append(s.ready.Arrays, ReadyArray{
		Name: a.name, SystemID: a.systemID, SSH: address(0), WSAPI: address(1), WSAPIHTTP: address(2),
		CAFile: file("ca.pem"), KnownHosts: file("known_hosts"), ClientKey: filepath.Join(s.options.KeyDir, "client_key"),
	})
	s.sessions[i] = newSessions()
	s.shells[i] = newSSHServer(s.m, i, &s.journal, keys, client)
	s.wg.Go(func() { s.shells[i].serve(ctx, s.managed[i][0]) })
	s.serveAPI(ctx, i, 1, "https", config)
	s.serveAPI(ctx, i, 2, "http", nil)
	return nil
}

func (s *Sim) serveAPI(ctx context.Context, i, port int, transport string, config *tls.Config) {
	var l net.Listener = s.managed[i][port]
	if config != nil {
		l = tls.NewListener(l, config)
	}
	handler := &wsapi{m: s.m, a: i, journal: &s.journal, transport: transport, sessions: s.sessions[i]}
	s.wg.Go(func() { _ = serveHTTP(ctx, l, handler) })
}

// serveHTTP runs handler on l until ctx ends.
func serveHTTP(ctx context.Context, l net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// faultsChanged makes management ports dead or alive. It may be called with the
// machine's lock held, so it must not take it; the state machine notices by
// itself.
func (s *Sim) faultsChanged() {
	for i, ports := range s.managed {
		if i >= len(s.ready.Arrays) {
			break
		}
		name := s.ready.Arrays[i].Name
		_, off := s.m.faults.Active(name, "array_down")
		_, cut := s.m.faults.Active(name, "mgmt_down")
		for _, l := range ports {
			l.SetDown(off || cut)
		}
	}
	s.m.poke()
}

// Ready says where everything is served.
func (s *Sim) Ready() Ready { return s.ready }

// Clock is the simulated time.
func (s *Sim) Clock() *control.Clock { return s.m.clock }

// Journal is the record of all commands and requests.
func (s *Sim) Journal() *control.Journal { return &s.journal }

// Faults is the set of injected faults.
func (s *Sim) Faults() *control.Faults { return s.m.faults }

// AddFault puts a fault in force; value is a bool, a number or text, or nil.
func (s *Sim) AddFault(array, kind string, value any) error {
	f, err := control.NewFault(array, kind, value)
	if err != nil {
		return err
	}
	s.Settle()
	if _, err := s.m.faults.Add(f); err != nil {
		return err
	}
	s.Settle()
	return nil
}

// ClearFaults removes all faults of a kind ("" means all) on array ("": all).
func (s *Sim) ClearFaults(array, kind string) {
	s.Settle()
	s.m.faults.Clear(0, array, kind)
	s.Settle()
}

// Advance moves the clock and carries out what became due.
func (s *Sim) Advance(d time.Duration) error {
	if err := s.m.clock.Advance(d); err != nil {
		return err
	}
	s.Settle()
	return nil
}

// Settle carries out everything that is due.
func (s *Sim) Settle() {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.settle()
}

// IO reads or writes a volume as a host would.
func (s *Sim) IO(ctx context.Context, r control.IORequest) ([]byte, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	return s.m.io(ctx, r)
}

// Violations lists what must never happen, if it did: both sides written while
// both were primary, or a side promoted that was no completed point.
func (s *Sim) Violations() []string {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	return append([]string(nil), s.m.violations...)
}

// Reset puts the scenario back and forgets all sessions.
func (s *Sim) Reset() error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	for _, x := range s.sessions {
		x.clear()
	}
	return s.m.build(s.options.Scenario, s.profile)
}

// Close ends every connection and server.
func (s *Sim) Close() error {
	s.closing.Do(func() {
		if s.cancel != nil {
			s.cancel()
		}
		for _, l := range s.all {
			if err := l.CloseAll(); err != nil && !errors.Is(err, net.ErrClosed) {
				s.closeErr = errors.Join(s.closeErr, err)
			}
		}
		s.wg.Wait()
	})
	return s.closeErr
}
