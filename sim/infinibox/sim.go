package infinibox

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ddsgo/ddsgo/sim/control"
)

// Array is one box of the ready line; addresses are host:port.
type Array struct {
	Name   string `json:"name"`
	Serial int64  `json:"serial"`
	HTTP   string `json:"http"`
	HTTPS  string `json:"https"`
	CAFile string `json:"ca_file"`
}

// Ready is the line that says where the simulator serves.
type Ready struct {
	SchemaVersion int     `json:"schema_version"`
	PID           int     `json:"pid"`
	Control       string  `json:"control"`
	Arrays        []Array `json:"arrays"`
}

// Sim is a running simulator.
type Sim struct {
	w         *world
	journal   *control.Journal
	ready     Ready
	servers   []*http.Server
	listeners []*control.Listener    // all
	fronts    [2][]*control.Listener // management, by box
	wg        sync.WaitGroup
	once      sync.Once
	closeErr  error
}

// Start serves two boxes until Close is called or ctx ends.
func Start(ctx context.Context, opt Options) (*Sim, error) {
	opt, err := opt.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(opt.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	clock, err := control.NewClock(opt.Clock, time.Time{})
	if err != nil {
		return nil, err
	}
	s := &Sim{journal: &control.Journal{}, w: &world{opt: opt, clock: clock, store: memoryStore{}}}
	if opt.Files {
		s.w.store = &fileStore{dir: opt.Dir}
	}
	s.w.faults = control.NewFaults(faultKinds(), []string{boxName(0), boxName(1)}, s.applyFaults)
	if err := s.w.resetBoxes(); err != nil {
		return nil, err
	}
	if err := s.listen(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	context.AfterFunc(ctx, func() { _ = s.Close() })
	return s, nil
}

func (s *Sim) listen() error {
	opt := s.w.opt
	s.ready = Ready{SchemaVersion: 1, PID: os.Getpid()}
	for i := range s.w.boxes {
		ca := filepath.Join(opt.Dir, boxName(i)+"-ca.pem")
		tlsConfig, err := control.NewTLS(ca, boxName(i), []string{"localhost", boxName(i), opt.Listen, "127.0.0.1"})
		if err != nil {
			return err
		}
		secure, err := s.serve(i, 10*i+1, &front{w: s.w, index: i, transport: "https", journal: s.journal}, func(srv *http.Server) { srv.TLSConfig = tlsConfig })
		if err != nil {
			return err
		}
		plain, err := s.serve(i, 10*i+2, &front{w: s.w, index: i, transport: "http", journal: s.journal}, nil)
		if err != nil {
			return err
		}
		s.ready.Arrays = append(s.ready.Arrays, Array{Name: boxName(i), Serial: s.w.boxes[i].serial, HTTP: plain, HTTPS: secure, CAFile: ca})
	}
	var err error
	s.ready.Control, err = s.serve(-1, 20, control.NewServer(s.w.clock, s.journal, s.w.faults, s), nil)
	return err
}

// serve starts one HTTP server; box -1 is the control API, which faults never touch.
func (s *Sim) serve(box, offset int, h http.Handler, secure func(*http.Server)) (string, error) {
	l, err := control.Listen(s.w.opt.Listen, s.w.opt.PortBase, offset)
	if err != nil {
		return "", err
	}
	s.listeners = append(s.listeners, l)
	if box >= 0 {
		s.fronts[box] = append(s.fronts[box], l)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ErrorLog: discardLog()}
	serve := func() error { return srv.Serve(l) }
	if secure != nil {
		secure(srv)
		serve = func() error { return srv.ServeTLS(l, "", "") }
	}
	s.servers = append(s.servers, srv)
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		_ = serve() // returns when Close is called
	}()
	return l.Addr().String(), nil
}

// applyFaults makes management addresses dead or alive.
func (s *Sim) applyFaults() {
	for i, listeners := range s.fronts {
		_, dead := s.w.faults.Active(boxName(i), faultArrayDown)
		_, mute := s.w.faults.Active(boxName(i), faultMgmtDown)
		for _, l := range listeners {
			l.SetDown(dead || mute)
		}
	}
}

// Ready returns where the simulator serves.
func (s *Sim) Ready() Ready { return s.ready }

// Clock returns the simulator's clock; Settle after moving it.
func (s *Sim) Clock() *control.Clock { return s.w.clock }

// Journal returns the record of all requests.
func (s *Sim) Journal() *control.Journal { return s.journal }

// Faults returns the faults in force; AddFault is the safe way to add one.
func (s *Sim) Faults() *control.Faults { return s.w.faults }

// AddFault carries out what was due, then puts a fault in force.
func (s *Sim) AddFault(f control.Fault) (int, error) {
	s.Settle()
	return s.w.faults.Add(f)
}

// ClearFaults carries out what was due under the faults, then removes them all.
func (s *Sim) ClearFaults() {
	s.Settle()
	s.w.faults.Clear(0, "", "")
}

// Advance moves the clock and carries out what falls due.
func (s *Sim) Advance(d time.Duration) error {
	if err := s.w.clock.Advance(d); err != nil {
		return err
	}
	s.Settle()
	return nil
}

// Violations lists the datasets that accepted writes on both boxes since their
// last common point in time.
func (s *Sim) Violations() []string {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return append([]string{}, s.w.violations...)
}

// Close stops serving and waits for all goroutines.
func (s *Sim) Close() error {
	s.once.Do(func() {
		for _, srv := range s.servers {
			s.closeErr = errors.Join(s.closeErr, srv.Close())
		}
		for _, l := range s.listeners {
			_ = l.CloseAll() // the server has closed it already
		}
		s.wg.Wait()
	})
	return s.closeErr
}
