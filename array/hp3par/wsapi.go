package hp3par

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// WSAPI says how an array's web services are reached.
type WSAPI struct {
	URL            string // https://ARRAY:8080, with or without /api/v1
	CAFile         string
	User, Password string
}

// Limits of requests.
const (
	requestTime = 30 * time.Second
	logoutTime  = 5 * time.Second
	pollPause   = time.Second
	pollIdle    = 60 // questions in a row that show no movement after a change of direction
)

// busyPauses are the waits before a request that was answered 503 is sent again.
func busyPauses() []time.Duration {
	return []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second, 15 * time.Second}
}

// codes of the WSAPI that are public and that decide something.
const (
	codeBadSession = 6
	sessionHeader  = "X-HP3PAR-WSAPI-SessionKey"
)

// webServices is an array that is spoken to over HTTP. Each call of list and do has a
// session of its own, which is deleted when the call ends, however it ends.
type webServices struct {
	o      WSAPI
	client *http.Client
	slots  chan struct{}
	sleep  func(context.Context, time.Duration) error
}

// NewWSAPI returns an array reached by its web services.
func NewWSAPI(o Options, w WSAPI) (*Array, error) {
	if w.URL == "" || w.User == "" || w.Password == "" {
		return nil, fmt.Errorf("%w: array %s: method wsapi needs url, username and a password", ErrConfig, o.Name)
	}
	client, err := httpsClient(w.CAFile, "")
	if err != nil {
		return nil, err
	}
	w.URL = strings.TrimSuffix(strings.TrimSuffix(w.URL, "/"), "/api/v1") + "/api/v1"
	if o.MaxCLI <= 0 {
		o.MaxCLI = DefaultMaxCLI
	}
	if o.Sleep == nil {
		o.Sleep = pause
	}
	return &Array{Name: o.Name, t: &webServices{o: w, client: client, slots: make(chan struct{}, o.MaxCLI), sleep: o.Sleep}}, nil
}

// session is one login.
type session struct {
	w   *webServices
	key string
}

// with runs f in a session of its own.
func (w *webServices) with(ctx context.Context, f func(s *session) error) error {
	select {
	case w.slots <- struct{}{}:
		defer func() { <-w.slots }()
	case <-ctx.Done():
		return &silence{context.Cause(ctx), true}
	}
	s := &session{w: w}
	defer s.logout(ctx)
	if err := s.login(ctx); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return &silence{context.Cause(ctx), true}
	}
	return f(s)
}

// outlive is ctx with some more time after its end: a login that is under way then has to be
// heard, because only its answer has the key with which the session is deleted.
func outlive(ctx context.Context, more time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(more, cancel) })
	return longer, func() { stop(); cancel() }
}

func (s *session) login(ctx context.Context) error {
	s.key = ""
	var got struct {
		Key string `json:"key"`
	}
	longer, cancel := outlive(ctx, logoutTime)
	defer cancel()
	err := s.patiently(ctx, func() error {
		return s.send(longer, http.MethodPost, "/credentials", map[string]string{"user": s.w.o.User, "password": s.w.o.Password}, &got)
	})
	var quiet *silence
	if errors.As(err, &quiet) {
		quiet.unsent = true
	}
	if err == nil && got.Key == "" {
		err = fmt.Errorf("%w: login without a session key", ErrOutput)
	}
	s.key = got.Key
	return err
}

// logout deletes the session even where ctx has ended.
func (s *session) logout(ctx context.Context) {
	if s.key == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), logoutTime)
	defer cancel()
	_ = s.once(ctx, http.MethodDelete, "/credentials/"+url.PathEscape(s.key), nil, nil) // it ends by itself, too
}

// call sends a request, again where the session has ended.
func (s *session) call(ctx context.Context, method, path string, in, out any) error {
	err := s.once(ctx, method, path, in, out)
	var no *rejection
	if !errors.As(err, &no) || no.rc != http.StatusUnauthorized && no.code != codeBadSession {
		return err
	}
	if err := s.login(ctx); err != nil {
		return err
	}
	return s.once(ctx, method, path, in, out)
}

// once sends a request, again where the array says that it has no time (503).
func (s *session) once(ctx context.Context, method, path string, in, out any) error {
	return s.patiently(ctx, func() error { return s.send(ctx, method, path, in, out) })
}

// patiently counts its attempts per call: the next one has them all again.
func (s *session) patiently(ctx context.Context, send func() error) error {
	var err error
	for _, wait := range busyPauses() {
		if wait > 0 && s.w.sleep(ctx, wait) != nil {
			break
		}
		if err = send(); !errors.Is(err, errBusy) {
			return err
		}
	}
	return &silence{err, true}
}

var errBusy = errors.New("the array answers 503 Service Unavailable")

func (s *session) send(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.w.o.URL+path, body)
	if err != nil {
		return fmt.Errorf("%w: url: %w", ErrConfig, err)
	}
	req.Header.Set("Accept", "application/json")
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if s.key != "" {
		req.Header.Set(sessionHeader, s.key)
	}
	res, err := s.w.client.Do(req)
	if err != nil {
		return &silence{err, false}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxOutput))
	switch {
	case err != nil:
		return &silence{err, false}
	case res.StatusCode == http.StatusServiceUnavailable:
		return errBusy
	case res.StatusCode >= 300:
		return refusal(res.StatusCode, text)
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%w: %w", ErrOutput, err)
	}
	return nil
}

func refusal(status int, body []byte) error {
	var e struct {
		Code int    `json:"code"`
		Desc string `json:"desc"`
		Ref  string `json:"ref"`
	}
	r := &rejection{rc: status}
	if json.Unmarshal(body, &e) != nil || e.Desc == "" {
		r.text = fmt.Sprintf("HTTP %d", status)
		return r
	}
	r.code, r.text = e.Code, e.Desc
	if e.Ref != "" {
		r.text += " (" + e.Ref + ")"
	}
	return r
}

func (w *webServices) close() error {
	w.client.CloseIdleConnections()
	return nil
}
