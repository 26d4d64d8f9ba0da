package proxy

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Refused is the answer to everything that no rule allows.
const Refused = "this command is not allowed for this node-service-array id"

// Limits of one request.
const (
	maxBody  = 64 << 10
	readTime = 10 * time.Second
	idleTime = 2 * time.Minute
	queue    = 256 // requests that may wait for one array
)

// Runner runs one allowed command line on an array. err: no answer came.
type Runner interface {
	Run(ctx context.Context, array string, command string) (out string, rc int, err error)
}

// Server answers requests by the rules of its present configuration.
type Server struct {
	config atomic.Pointer[Config]
	runner atomic.Pointer[Runner]
	access io.Writer
	log    *slog.Logger

	mu    sync.Mutex
	slots map[string]chan struct{}
	wait  map[string]int
	acts  sync.WaitGroup
}

// New returns a server. access gets one JSON line per request.
func New(c *Config, r Runner, access io.Writer, log *slog.Logger) *Server {
	s := &Server{access: access, log: log, slots: map[string]chan struct{}{}, wait: map[string]int{}}
	s.Reload(c, r)
	return s
}

// Reload puts another configuration in force; requests under way end by the old one.
func (s *Server) Reload(c *Config, r Runner) {
	s.config.Store(c)
	s.runner.Store(&r)
}

// Wait returns when every command that was started has ended.
func (s *Server) Wait() { s.acts.Wait() }

// answer is the reply: always these three keys.
type answer struct {
	Err string `json:"err"`
	Ret int    `json:"ret"`
	Out string `json:"out"`
}

// request is what a client asks for.
type request struct{ service, uuid, array, cmd, certificate string }

// record is one line of the access log.
type record struct {
	Time    time.Time `json:"time"`
	Peer    string    `json:"peer"`
	Service string    `json:"service"`
	UUID    string    `json:"uuid"`
	Array   string    `json:"array"`
	Cmd     string    `json:"cmd"`
	Allowed bool      `json:"allowed"`
	Ret     int       `json:"ret"`
	Seconds float64   `json:"seconds"`
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	req, status, why := readRequest(w, r)
	rec := record{Time: start.UTC(), Peer: r.RemoteAddr, Service: clip(req.service), UUID: short(req.uuid), Array: clip(req.array), Cmd: clip(req.cmd)}
	var a answer
	switch {
	case why != "":
		a = answer{Err: why, Ret: 1}
	case !s.config.Load().allows(req):
		status, a = http.StatusOK, answer{Err: Refused, Ret: 1}
	default:
		rec.Allowed = true
		status, a = s.execute(r.Context(), req)
	}
	rec.Ret, rec.Seconds = a.Ret, time.Since(start).Seconds()
	s.note(rec)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(a); err != nil {
		s.log.Warn("the client left before its answer", "peer", r.RemoteAddr, "err", err)
	}
}

// clip bounds what a stranger can write into the log.
func clip(s string) string { return s[:min(len(s), 256)] }

func (s *Server) note(rec record) {
	line, err := json.Marshal(rec)
	if err != nil {
		s.log.Error("access log", "err", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.access.Write(append(line, '\n')); err != nil {
		s.log.Error("access log", "err", err)
	}
}

// readRequest reads the form; why is empty where it makes sense.
func readRequest(w http.ResponseWriter, r *http.Request) (request, int, string) {
	var req request
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case r.URL.Path != "/api/cmd/" || r.URL.RawQuery != "":
		return req, http.StatusNotFound, "only POST /api/cmd/ is served"
	case r.Method != http.MethodPost:
		return req, http.StatusMethodNotAllowed, "only POST /api/cmd/ is served"
	case err != nil || kind != "application/x-www-form-urlencoded":
		return req, http.StatusBadRequest, "the body must be a form"
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return req, http.StatusBadRequest, "the body cannot be read, or is longer than 64 KiB"
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return req, http.StatusBadRequest, "the body is no form"
	}
	for key, to := range map[string]*string{"array": &req.array, "cmd": &req.cmd, "path": &req.service, "svcname": &req.service, "uuid": &req.uuid} {
		values := form[key]
		if len(values) > 1 || len(values) == 1 && *to != "" {
			return request{}, http.StatusBadRequest, "field " + key + " is given twice"
		}
		if len(values) == 1 {
			*to = values[0]
		}
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		req.certificate = r.TLS.PeerCertificates[0].Subject.CommonName
	}
	return req, http.StatusOK, ""
}

// allows says whether one rule names exactly this request.
func (c *Config) allows(req request) bool {
	allowed := false
	for _, r := range c.Creds {
		same := subtle.ConstantTimeCompare([]byte(r.UUID), []byte(req.uuid)) == 1
		if same && r.Service == req.service && r.Array == req.array && (r.Certificate == "" || r.Certificate == req.certificate) {
			allowed = allowed || slices.Contains(r.Commands, req.cmd)
		}
	}
	return allowed
}

// execute runs an allowed command. What lists is ended with its client, an act is not.
func (s *Server) execute(ctx context.Context, req request) (int, answer) {
	c := s.config.Load()
	if !strings.HasPrefix(req.cmd, "show") {
		ctx = context.WithoutCancel(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	release, err := s.slot(ctx, c, req.array)
	if err != nil {
		return http.StatusServiceUnavailable, answer{Err: err.Error(), Ret: 1}
	}
	defer release()
	s.acts.Add(1)
	defer s.acts.Done()
	out, rc, err := (*s.runner.Load()).Run(ctx, req.array, req.cmd)
	if err != nil {
		s.log.Error("no reply from the array", "array", req.array, "cmd", req.cmd, "err", err)
		return http.StatusOK, answer{Err: "no reply from the array", Ret: 1}
	}
	if rc != 0 {
		return http.StatusOK, answer{Err: strings.TrimSpace(out), Ret: rc, Out: out}
	}
	return http.StatusOK, answer{Out: out}
}

// slot waits for one of the array's few sessions.
func (s *Server) slot(ctx context.Context, c *Config, array string) (func(), error) {
	s.mu.Lock()
	slots := s.slots[array]
	if slots == nil || cap(slots) != c.MaxPerArray {
		slots = make(chan struct{}, c.MaxPerArray)
		s.slots[array] = slots
	}
	if s.wait[array] >= queue {
		s.mu.Unlock()
		return nil, fmt.Errorf("%w: %s", ErrBusy, array)
	}
	s.wait[array]++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.wait[array]--
		s.mu.Unlock()
	}()
	select {
	case slots <- struct{}{}:
		return func() { <-slots }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %s: %w", ErrBusy, array, context.Cause(ctx))
	}
}

// HTTP is the server with its limits on clients.
func (s *Server) HTTP() *http.Server {
	return &http.Server{Handler: s, ReadHeaderTimeout: readTime, ReadTimeout: readTime, IdleTimeout: idleTime, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn)}
}
