package hp3par

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Proxy says how `ddsgo proxy` (or OpenSVC's) is reached.
type Proxy struct {
	URL     string // https://MANAGER; /api/cmd/ is added
	CAFile  string // empty: the system's authorities
	KeyFile string // PEM with a client certificate and its key; empty: none
	Service string // form field path
	UUID    string // form field uuid: the node's bearer secret
}

// proxyCarrier posts each command as a form.
type proxyCarrier struct {
	o      Proxy
	array  string
	client *http.Client
}

// NewProxy returns an array reached through an allow-list proxy.
func NewProxy(o Options, p Proxy) (*Array, error) {
	if p.URL == "" || p.UUID == "" {
		return nil, fmt.Errorf("%w: array %s: method proxy needs manager and the node's uuid as password", ErrConfig, o.Name)
	}
	client, err := httpsClient(p.CAFile, p.KeyFile)
	if err != nil {
		return nil, err
	}
	return o.commandLine(&proxyCarrier{o: p, array: o.Name, client: client})
}

// httpsClient trusts the system's authorities, or those of a file, and shows the certificate
// of another one.
func httpsClient(caFile, keyFile string) (*http.Client, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if keyFile != "" {
		pair, err := tls.LoadX509KeyPair(keyFile, keyFile)
		if err != nil {
			return nil, fmt.Errorf("%w: key must hold a client certificate and its private key: %w", ErrConfig, err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("%w: ca_file: %w", ErrConfig, err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%w: ca_file %s holds no certificate", ErrConfig, caFile)
		}
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: cfg, TLSHandshakeTimeout: dialTime, MaxIdleConns: 4, IdleConnTimeout: time.Minute}}, nil
}

func (p *proxyCarrier) carry(ctx context.Context, command string, _ bool) (string, int, error) {
	form := url.Values{"array": {p.array}, "cmd": {command}, "path": {p.o.Service}, "uuid": {p.o.UUID}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(p.o.URL, "/")+"/api/cmd/", strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, fmt.Errorf("%w: url: %w", ErrConfig, err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := p.client.Do(req)
	if err != nil {
		return "", 0, &silence{err, false}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxOutput))
	if err != nil {
		return "", 0, &silence{err, false}
	}
	var answer struct {
		Err *string `json:"err"`
		Ret *int    `json:"ret"`
		Out *string `json:"out"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Ret == nil || answer.Out == nil {
		return "", 0, &silence{fmt.Errorf("the proxy's answer (HTTP %d) is not understood", res.StatusCode), false}
	}
	if *answer.Ret == 0 {
		return *answer.Out, 0, nil
	}
	why := strings.TrimSpace(*answer.Out)
	if answer.Err != nil && *answer.Err != "" {
		why = *answer.Err
	}
	if res.StatusCode == http.StatusServiceUnavailable || strings.Contains(why, proxyNoReply) {
		return "", 0, &silence{errors.New("proxy: " + why), res.StatusCode == http.StatusServiceUnavailable}
	}
	return "proxy error: " + why, *answer.Ret, nil
}

// proxyNoReply begins the proxy's error where the array gave it no answer.
const proxyNoReply = "no reply from the array"

func (p *proxyCarrier) close() error {
	p.client.CloseIdleConnections()
	return nil
}
