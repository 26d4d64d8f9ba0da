package proxy

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Refused is the answer to everything that no rule allows.
const Refused = "this command is not allowed for this node-service-array id"

// maxBody bounds the form, maxHeader the lines before it.
const (
	maxBody   = 64 << 10
	maxHeader = 16 << 10
)

// limits bound what a client can hold; none of them bounds a command.
type limits struct {
	readTime  time.Duration // for the whole request, TLS included
	writeTime time.Duration // for taking the answer
	idleTime  time.Duration // between two requests
	queue     int           // requests that wait for one array
	queueTime time.Duration // and how long each
}

func usualLimits() limits {
	return limits{readTime: 10 * time.Second, writeTime: 30 * time.Second, idleTime: 30 * time.Second, queue: 256, queueTime: 5 * time.Minute}
}

// Runner runs one allowed command line on an array. err: no answer came. A Runner that is
// an io.Closer is closed when it is not needed any more.
type Runner interface {
	Run(ctx context.Context, array string, command string) (out string, rc int, err error)
}

// Server answers requests by the rules of its present configuration.
type Server struct {
	access io.Writer
	log    *slog.Logger
	limits limits

	line sync.Mutex // of the access log

	mu    sync.Mutex
	now   *force
	gates map[string]*gate // by array; they outlive a reload

	stopped bool
	acts    sync.WaitGroup
	running context.Context // ended by stop: who waits for a turn is sent away
	stop    context.CancelFunc
}

// New returns a server. access gets one JSON line per request.
func New(c *Config, r Runner, access io.Writer, log *slog.Logger) *Server {
	s := &Server{access: access, log: log, limits: usualLimits(), gates: map[string]*gate{}}
	s.running, s.stop = context.WithCancel(context.Background())
	s.Reload(c, r)
	return s
}

// answer is the reply: always these three keys.
type answer struct {
	Err string `json:"err"`
	Ret int    `json:"ret"`
	Out string `json:"out"`
}

// request is what a client asks for.
type request struct {
	service, uuid, array, cmd string
	certificates              []string // names of the client's certificate
}

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
	f := s.enter()
	defer s.leave(f)
	req, status, why := readRequest(w, r)
	control := http.NewResponseController(w)
	clean := f.config.hide
	rec := record{Time: start.UTC(), Peer: r.RemoteAddr, Service: clean(req.service), UUID: short(req.uuid), Array: clean(req.array), Cmd: clean(req.cmd)}
	var a answer
	switch {
	case why != "":
		a = answer{Err: why, Ret: 1}
	case !f.config.allows(req):
		status, a = http.StatusOK, answer{Err: Refused, Ret: 1}
	default:
		rec.Allowed = true
		// The request has been read: its limit must not end the command, nor the wait for it.
		_ = control.SetReadDeadline(time.Time{}) // a writer that knows no deadlines has none
		status, a = s.execute(r.Context(), f, req)
	}
	rec.Ret, rec.Seconds = a.Ret, time.Since(start).Seconds()
	s.note(rec)
	_ = control.SetWriteDeadline(time.Now().Add(s.limits.writeTime))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(a); err != nil {
		s.log.Warn("the client left before its answer", "peer", r.RemoteAddr, "err", err)
	}
}

func (s *Server) note(rec record) {
	line, err := json.Marshal(rec)
	if err != nil {
		s.log.Error("access log", "err", err)
		return
	}
	s.line.Lock()
	defer s.line.Unlock()
	if _, err := s.access.Write(append(line, '\n')); err != nil {
		s.log.Error("access log", "err", err)
	}
}

// shortestSecret is how long a uuid is that cannot be a part of honest text by chance.
const shortestSecret = 8

// hide bounds what a stranger can write into the log, and takes out secrets that a client
// put into the wrong field.
func (c *Config) hide(field string) string {
	for _, r := range c.Creds {
		if len(r.UUID) >= shortestSecret {
			field = strings.ReplaceAll(field, r.UUID, "***")
		}
	}
	return field[:min(len(field), 256)]
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
		cert := r.TLS.PeerCertificates[0]
		req.certificates = append([]string{cert.Subject.CommonName}, cert.DNSNames...)
	}
	return req, http.StatusOK, ""
}

// allows says whether one rule names exactly this request.
func (c *Config) allows(req request) bool {
	allowed := false
	for _, r := range c.Creds {
		same := subtle.ConstantTimeCompare([]byte(r.UUID), []byte(req.uuid)) == 1
		if same && r.Service == req.service && r.Array == req.array && (r.Certificate == "" || slices.Contains(req.certificates, r.Certificate)) {
			allowed = allowed || slices.Contains(r.Commands, req.cmd)
		}
	}
	return allowed
}

// execute runs an allowed command. A client that leaves while it waits for its turn gets
// nothing done; once started, what lists is ended with its client, and an act is not.
func (s *Server) execute(ctx context.Context, f *force, req request) (int, answer) {
	release, err := s.slot(ctx, f, req.array)
	if err != nil {
		s.log.Warn("nothing was started", "array", req.array, "cmd", req.cmd, "err", err)
		return http.StatusServiceUnavailable, answer{Err: ErrBusy.Error(), Ret: 1}
	}
	defer release()
	done := s.begin()
	if done == nil {
		return http.StatusServiceUnavailable, answer{Err: ErrBusy.Error(), Ret: 1}
	}
	defer done()
	if !strings.HasPrefix(req.cmd, "show") {
		ctx = context.WithoutCancel(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, f.config.limit)
	defer cancel()
	out, rc, err := f.runner.Run(ctx, req.array, req.cmd)
	if err != nil {
		s.log.Error("no reply from the array", "array", req.array, "cmd", req.cmd, "err", err)
		return http.StatusOK, answer{Err: "no reply from the array", Ret: 1}
	}
	if rc != 0 {
		return http.StatusOK, answer{Err: strings.TrimSpace(out), Ret: rc, Out: out}
	}
	return http.StatusOK, answer{Out: out}
}

// HTTP is the server with its limits on clients.
func (s *Server) HTTP() *http.Server {
	return &http.Server{Handler: s, ReadHeaderTimeout: s.limits.readTime, ReadTimeout: s.limits.readTime, IdleTimeout: s.limits.idleTime, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn)}
}
