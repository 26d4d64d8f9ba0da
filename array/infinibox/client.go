package infinibox

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// Access says how one box is reached.
type Access struct {
	Name      string   // of the array, for messages
	Addresses []string // management addresses: http(s)://HOST[:PORT], one or several
	Username  string
	Password  string
	CAFile    string // PEM; empty: the system's authorities
	Insecure  bool   // do not verify the certificate
	// Deadline of one request; 0: 30 s.
	Deadline time.Duration
	// PeerUsername and PeerPassword are sent when the box asks for permission of its peer.
	PeerUsername, PeerPassword string
	Log                        *slog.Logger // nil: discarded
}

const (
	defaultDeadline = 30 * time.Second
	apiRoot         = "/api/rest/"
	clientID        = "ddsgo"
)

// Client talks to one box. It is safe for concurrent use.
type Client struct {
	access Access
	bases  []*url.URL
	http   *http.Client

	mu       sync.Mutex
	current  int             // index of the address that answered last
	features map[string]bool // nil: not read yet
	sessions bool            // log in, instead of credentials in each request
}

// NewClient checks the access data. It sends nothing.
func NewClient(a Access) (*Client, error) {
	if a.Log == nil {
		a.Log = slog.New(slog.DiscardHandler)
	}
	if a.Deadline <= 0 {
		a.Deadline = defaultDeadline
	}
	c := &Client{access: a}
	for _, text := range a.Addresses {
		u, err := url.Parse(text)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
			return nil, fmt.Errorf("array %s: address %q: write https://HOST or http://HOST:PORT", a.Name, text)
		}
		c.bases = append(c.bases, &url.URL{Scheme: u.Scheme, Host: u.Host})
	}
	if len(c.bases) == 0 {
		return nil, fmt.Errorf("array %s: no address", a.Name)
	}
	if a.Username == "" || a.Password == "" {
		return nil, fmt.Errorf("array %s: username and password are needed", a.Name)
	}
	tlsConfig, err := a.tls()
	if err != nil {
		return nil, err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, fmt.Errorf("cookies: %w", err)
	}
	c.http = &http.Client{
		Jar: jar, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: tlsConfig, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute},
		// Credentials must not follow a redirection to another host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

func (a Access) tls() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: a.Insecure} //nolint:gosec // only where the configuration says so
	if a.CAFile == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(a.CAFile)
	if err != nil {
		return nil, fmt.Errorf("array %s: ca_file: %w", a.Name, err)
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("array %s: ca_file %s holds no certificate", a.Name, a.CAFile)
	}
	return cfg, nil
}

// call is one request.
type call struct {
	method   string
	path     string // below /api/rest/, with its query
	body     json.RawMessage
	approved bool // the box may be told so, when it asks
	raw      bool // header of `sync`
}

func (q call) String() string {
	text := q.method + " " + apiRoot + q.path
	if len(q.body) > 0 {
		text += " " + string(q.body)
	}
	return text
}

// do sends a request and reads the envelope. The result is decoded into out unless
// that is nil.
func (c *Client) do(ctx context.Context, q call, out any) (metadata, error) {
	if err := c.prepare(ctx); err != nil {
		return metadata{}, err
	}
	env, err := c.negotiate(ctx, q)
	if err != nil {
		return env.Meta, err
	}
	if out == nil {
		return env.Meta, nil
	}
	if err := json.Unmarshal(env.Result, out); err != nil {
		return env.Meta, fmt.Errorf("%w: %s: %w", ErrUnreadable, q.path, err)
	}
	return env.Meta, nil
}

// negotiate repeats a request with what the box asks for: approval, credentials of the
// peer. Until it gets them it does nothing, so repeating is safe.
func (c *Client) negotiate(ctx context.Context, q call) (envelope, error) {
	var remote, approval bool
	for {
		env, err := c.exchange(ctx, q, remote)
		if e, asks := needsApproval(err); asks && q.approved && !approval {
			c.access.Log.InfoContext(ctx, "the box asks for approval, given by the verb", "array", c.access.Name, "request", q.String(), "reasons", strings.Join(e.Reasons, "; "))
			approval = true
			q.path = withQuery(q.path, "approved", "true")
			continue
		}
		if needsPermission(err) && !remote && c.access.PeerUsername != "" {
			c.access.Log.InfoContext(ctx, "the box asks for credentials of its peer", "array", c.access.Name, "request", q.String())
			remote = true
			continue
		}
		return env, err
	}
}

func withQuery(path, key, value string) string {
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	return path + sep + key + "=" + value
}

// exchange tries the management addresses, the last good one first, and logs in again
// once.
func (c *Client) exchange(ctx context.Context, q call, remote bool) (envelope, error) {
	var last error
	c.mu.Lock()
	first := c.current
	c.mu.Unlock()
	for n := range c.bases {
		at := (first + n) % len(c.bases)
		env, err := c.send(ctx, at, q, remote)
		if errors.Is(err, ErrUnauthorized) && c.hasSession() {
			if err = c.login(ctx, at); err == nil {
				env, err = c.send(ctx, at, q, remote)
			}
		}
		if err == nil || !elsewhere(q, err) {
			c.mu.Lock()
			c.current = at
			c.mu.Unlock()
			return env, err
		}
		last = err
		if ctx.Err() != nil {
			break
		}
	}
	return envelope{}, last
}

// elsewhere says that a failed request may be tried on another address: it was not
// carried out, or changes nothing.
func elsewhere(q call, err error) bool {
	if errors.Is(err, ErrNotSent) || errors.Is(err, ErrUnavailable) {
		return true
	}
	return q.method == http.MethodGet && (errors.Is(err, ErrNoReply) || errors.Is(err, ErrBadAnswer))
}

// send sends one request to one address.
func (c *Client) send(ctx context.Context, at int, q call, remote bool) (envelope, error) {
	ctx, cancel := context.WithTimeout(ctx, c.access.Deadline)
	defer cancel()
	sent := false
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent = true }})
	req, err := http.NewRequestWithContext(ctx, q.method, c.bases[at].String()+apiRoot+q.path, bytes.NewReader(q.body))
	if err != nil {
		return envelope{}, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	c.headers(req, q, remote)
	start := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		c.access.Log.DebugContext(ctx, "request", "array", c.access.Name, "request", q.logged(), "err", err)
		if !sent {
			return envelope{}, fmt.Errorf("%w: %w", ErrNotSent, err)
		}
		return envelope{}, fmt.Errorf("%w: %w", ErrNoReply, err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read, or is given up
	c.access.Log.DebugContext(ctx, "request", "array", c.access.Name, "request", q.logged(), "status", resp.StatusCode, "duration", time.Since(start))
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return envelope{}, fmt.Errorf("%w: the answer was cut off: %w", ErrNoReply, err)
	case len(body) > maxAnswer:
		return envelope{}, badAnswer(resp.StatusCode, fmt.Sprintf("more than %d bytes", maxAnswer), body)
	case resp.StatusCode == http.StatusServiceUnavailable:
		return envelope{}, fmt.Errorf("%s: %w", c.bases[at].Host, ErrUnavailable)
	case resp.StatusCode == http.StatusUnauthorized:
		return envelope{}, ErrUnauthorized
	}
	return decodeEnvelope(resp.StatusCode, body)
}

func (q call) logged() string {
	if strings.HasPrefix(q.path, "users/login") {
		return q.method + " " + apiRoot + q.path
	}
	return q.String()
}

func (c *Client) headers(req *http.Request, q call, remote bool) {
	req.Header.Set("Accept", "application/json")
	if len(q.body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	if q.raw {
		req.Header.Set("X-INFINIDAT-RAW-RESPONSE", "true")
	}
	if remote {
		credentials := base64.StdEncoding.EncodeToString([]byte(c.access.PeerUsername + ":" + c.access.PeerPassword))
		req.Header.Set("X-Remote-Authorization", "Basic "+credentials)
	}
	if !c.hasSession() && !strings.HasPrefix(q.path, "users/login") {
		req.SetBasicAuth(c.access.Username, c.access.Password)
	}
}

func (c *Client) hasSession() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessions
}
