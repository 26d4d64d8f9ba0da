package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// maxBody bounds what the control API reads; /v1/io carries at most 8 MiB of
// data, base64 encoded.
const maxBody = 12 << 20

// Simulator is what the control API drives besides clock, journal and faults.
type Simulator interface {
	// State returns a value whose JSON form is the answer to GET /v1/state.
	State() any
	// Reset puts the scenario back. Clock, journal and faults are reset by Server.
	Reset() error
	// Settle carries out everything that is due at the present time.
	Settle()
	// IO reads or writes a volume as a host would. It returns ErrForbidden when
	// the volume's role does not allow it, ErrNotFound when there is no such
	// volume; a read returns its data.
	IO(ctx context.Context, r IORequest) ([]byte, error)
}

// IORequest is one host read or write.
type IORequest struct {
	Array  string `json:"array"`
	Volume string `json:"volume"`
	Op     string `json:"op"` // read or write
	Offset int64  `json:"offset"`
	Data   []byte `json:"data_b64,omitempty"` // encoding/json uses base64 for []byte
	Length int64  `json:"length,omitempty"`
}

// Validate refuses requests that no simulator could serve.
func (r IORequest) Validate() error {
	switch {
	case r.Op != "read" && r.Op != "write":
		return fmt.Errorf("%w: op %q: expected read or write", ErrBadRequest, r.Op)
	case r.Op == "write" && (len(r.Data) == 0 || r.Length != 0):
		return fmt.Errorf("%w: write needs data_b64 and no length", ErrBadRequest)
	case r.Op == "read" && (r.Length <= 0 || r.Length > 8<<20 || len(r.Data) != 0):
		return fmt.Errorf("%w: read needs length 1..8388608 and no data_b64", ErrBadRequest)
	case r.Offset < 0:
		return fmt.Errorf("%w: offset %d is negative", ErrBadRequest, r.Offset)
	}
	return nil
}

// Server is the control API as an http.Handler.
type Server struct {
	clock   *Clock
	journal *Journal
	faults  *Faults
	sim     Simulator
	mux     *http.ServeMux
}

// NewServer returns the control API over the given parts.
func NewServer(clock *Clock, journal *Journal, faults *Faults, sim Simulator) *Server {
	s := &Server{clock: clock, journal: journal, faults: faults, sim: sim, mux: http.NewServeMux()}
	s.handle("GET /v1/state", nil, s.getState)
	s.handle("GET /v1/journal", []string{"since"}, s.getJournal)
	s.handle("GET /v1/fault", nil, s.getFaults)
	s.handle("POST /v1/fault", nil, s.postFault)
	s.handle("DELETE /v1/fault", []string{"id", "array", "kind"}, s.deleteFaults)
	s.handle("GET /v1/clock", nil, s.getClock)
	s.handle("POST /v1/clock", nil, s.postClock)
	s.handle("POST /v1/reset", nil, s.postReset)
	s.handle("POST /v1/io", nil, s.postIO)
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, pattern := s.mux.Handler(r); pattern == "" {
		writeError(w, fmt.Errorf("%w: %s %s", ErrNotFound, r.Method, r.URL.Path))
		return
	}
	s.mux.ServeHTTP(w, r)
}

// handle registers f and refuses queries that are not in known.
func (s *Server) handle(pattern string, known []string, f func(r *http.Request, q url.Values) (any, error)) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		for key := range q {
			if !slices.Contains(known, key) {
				writeError(w, fmt.Errorf("%w: unknown query %q", ErrBadRequest, key))
				return
			}
		}
		v, err := f(r, q)
		if err != nil {
			writeError(w, err)
			return
		}
		writeJSON(w, http.StatusOK, v)
	})
}

func (s *Server) getState(*http.Request, url.Values) (any, error) {
	s.sim.Settle()
	return s.sim.State(), nil
}

func (s *Server) getJournal(_ *http.Request, q url.Values) (any, error) {
	since, err := numberQuery(q, "since")
	if err != nil {
		return nil, err
	}
	return s.journal.Since(since), nil
}

func (s *Server) getFaults(*http.Request, url.Values) (any, error) { return s.faults.List(), nil }

func (s *Server) postFault(r *http.Request, _ url.Values) (any, error) {
	var f Fault
	if err := readJSON(r, &f); err != nil {
		return nil, err
	}
	s.sim.Settle() // what was due before the fault happened before the fault
	id, err := s.faults.Add(f)
	return map[string]int{"id": id}, err
}

func (s *Server) deleteFaults(_ *http.Request, q url.Values) (any, error) {
	id, err := numberQuery(q, "id")
	if err != nil {
		return nil, err
	}
	s.sim.Settle()
	removed := s.faults.Clear(int(id), q.Get("array"), q.Get("kind"))
	if removed == 0 && len(q) > 0 {
		return nil, fmt.Errorf("%w: no fault matches", ErrNotFound)
	}
	return map[string]int{"removed": removed}, nil
}

func (s *Server) clockState() any {
	return struct {
		Now  time.Time `json:"now"`
		Mode Mode      `json:"mode"`
	}{s.clock.Now().UTC(), s.clock.Mode()}
}

func (s *Server) getClock(*http.Request, url.Values) (any, error) { return s.clockState(), nil }

func (s *Server) postClock(r *http.Request, _ url.Values) (any, error) {
	var in struct {
		AdvanceS float64 `json:"advance_s"`
		Mode     Mode    `json:"mode"`
	}
	if err := readJSON(r, &in); err != nil {
		return nil, err
	}
	if in.Mode != "" {
		if err := s.clock.SetMode(in.Mode); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBadRequest, err)
		}
	}
	if err := s.clock.Advance(time.Duration(in.AdvanceS * float64(time.Second))); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadRequest, err)
	}
	s.sim.Settle()
	return s.clockState(), nil
}

func (s *Server) postReset(r *http.Request, _ url.Values) (any, error) {
	if body, err := io.ReadAll(io.LimitReader(r.Body, maxBody)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadRequest, err)
	} else if trimmed := bytes.TrimSpace(body); len(trimmed) > 0 && string(trimmed) != "{}" {
		return nil, fmt.Errorf("%w: reset takes no keys", ErrBadRequest)
	}
	s.faults.Clear(0, "", "")
	if err := s.sim.Reset(); err != nil {
		return nil, err
	}
	s.journal.Reset()
	return map[string]any{}, nil
}

func (s *Server) postIO(r *http.Request, _ url.Values) (any, error) {
	var in IORequest
	if err := readJSON(r, &in); err != nil {
		return nil, err
	}
	if err := in.Validate(); err != nil {
		return nil, err
	}
	data, err := s.sim.IO(r.Context(), in)
	if err != nil {
		return nil, err
	}
	if in.Op == "write" {
		return map[string]int{"written": len(in.Data)}, nil
	}
	return map[string][]byte{"data_b64": data}, nil
}

func numberQuery(q url.Values, key string) (uint64, error) {
	if !q.Has(key) {
		return 0, nil
	}
	n, err := strconv.ParseUint(q.Get(key), 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%w: %s=%q is not a number", ErrBadRequest, key, q.Get(key))
	}
	return n, nil
}

// readJSON decodes exactly one JSON object with known keys only.
func readJSON(r *http.Request, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %w", ErrBadRequest, err)
	}
	if d.More() {
		return fmt.Errorf("%w: more than one JSON value", ErrBadRequest)
	}
	return nil
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"answer cannot be encoded"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a client that left gets nothing
}

func writeError(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, ErrBadRequest):
		status = http.StatusBadRequest
	case errors.Is(err, ErrNotFound):
		status = http.StatusNotFound
	case errors.Is(err, ErrForbidden):
		status = http.StatusConflict
	}
	writeJSON(w, status, map[string]string{"error": err.Error()})
}
