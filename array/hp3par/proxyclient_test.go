package hp3par_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/hp3par"
	"github.com/ddsgo/ddsgo/array/hp3par/proxy"
)

// proxyTo is an array behind something that answers like a proxy, or not.
func proxyTo(t *testing.T, h *httptest.Server, change func(*hp3par.Proxy)) (*hp3par.Array, error) {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw}), 0o600))
	p := hp3par.Proxy{URL: h.URL, CAFile: ca, Service: "svc1", UUID: "u-1"}
	if change != nil {
		change(&p)
	}
	return hp3par.NewProxy(hp3par.Options{Name: "hp3par1.opensvc.com"}, p)
}

// What is no answer of a proxy is never taken for one of an array.
func TestProxyAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		kind   array.Kind // empty: a success
		says   string
	}{
		"success":          {200, `{"err": "", "ret": 0, "out": ""}`, "", ""},
		"refused":          {200, `{"err": "` + proxy.Refused + `", "ret": 1, "out": ""}`, array.KindArray, proxy.Refused},
		"the array's word": {200, `{"err": "", "ret": 1, "out": "Error: no such thing\n"}`, array.KindArray, "no such thing"},
		"no reply":         {200, `{"err": "no reply from the array", "ret": 1, "out": ""}`, array.KindUnreachable, "no reply from the array"},
		"busy":             {503, `{"err": "too many", "ret": 1, "out": ""}`, array.KindUnreachable, "too many"},
		"no JSON":          {200, "<html>welcome</html>", array.KindUnreachable, "HTTP 200) is not understood"},
		"an empty answer":  {200, "", array.KindUnreachable, "not understood"},
		"empty JSON":       {200, "{}", array.KindUnreachable, "not understood"},
		"no ret":           {200, `{"err": "", "out": ""}`, array.KindUnreachable, "not understood"},
		"a gateway's page": {502, "Bad Gateway", array.KindUnreachable, "HTTP 502) is not understood"},
		"an error in a success": {200, `{"err": "", "ret": 0, "out": "Name,Target,Status,Role,Mode,Options\nError: group matching x does not exist\n"}`,
			array.KindArray, "does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			var got http.Request
			h := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_ = r.ParseForm() // the assertions below look at it
				got = *r
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body)
			}))
			defer h.Close()
			a, err := proxyTo(t, h, nil)
			require.NoError(t, err)
			defer func() { require.NoError(t, a.Close()) }()
			_, err = a.Inventory(t.Context())
			require.Equal(t, "/api/cmd/", got.URL.Path)
			require.Equal(t, "hp3par1.opensvc.com", got.PostForm.Get("array"))
			require.Equal(t, "svc1", got.PostForm.Get("path"))
			require.Equal(t, "u-1", got.PostForm.Get("uuid"))
			require.NotContains(t, got.PostForm.Get("cmd"), "-csvtable", "the proxy adds it")
			if c.kind == "" {
				require.NoError(t, err)
				return
			}
			require.Equal(t, c.kind, array.KindOf(err), "%v", err)
			require.ErrorContains(t, err, c.says)
			require.NotContains(t, err.Error(), "u-1")
		})
	}
}

// An empty success is what some programs make of a lost connection: no group is absent
// because of it.
func TestEmptySuccessIsNoAnswer(t *testing.T) {
	h := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"err": "", "ret": 0, "out": ""}`) }))
	defer h.Close()
	a, err := proxyTo(t, h, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, a.Close()) }()
	d, err := hp3par.New(hp3par.Config{Name: "svc1", Mode: "async", Sites: [2]hp3par.Site{{Name: "site1", Array: a, Group: "G"}, {Name: "site2", Array: a, Group: "G.r1"}}})
	require.NoError(t, err)
	o, err := d.Observe(t.Context())
	require.NoError(t, err)
	r := array.Report("svc1", d.Capabilities(), o, "site1", time.Now())
	require.Equal(t, "unknown", r.State)
	require.Equal(t, []string{"unreachable"}, codes(r))
	require.Contains(t, r.Reasons[0].Text, "neither groups nor links are listed")
}

// A proxy that asks for a certificate gets the one of the configuration.
func TestProxyClientCertificate(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "dmz1"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	private, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "client.pem")
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})...)
	require.NoError(t, os.WriteFile(file, text, 0o600))

	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"err": "", "ret": 0, "out": "%s\n"}`, r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	h.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	h.TLS.ClientCAs.AddCert(cert)
	h.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	h.StartTLS()
	defer h.Close()
	a, err := proxyTo(t, h, func(p *hp3par.Proxy) { p.KeyFile = file })
	require.NoError(t, err)
	i, err := a.Inventory(t.Context())
	require.NoError(t, err)
	require.Equal(t, "dmz1", i.Version)
	require.NoError(t, a.Close())

	a, err = proxyTo(t, h, nil)
	require.NoError(t, err)
	_, err = a.Inventory(t.Context())
	require.Equal(t, array.KindUnreachable, array.KindOf(err), "%v", err)
	require.NoError(t, a.Close())
	_, err = proxyTo(t, h, func(p *hp3par.Proxy) { p.KeyFile = filepath.Join(t.TempDir(), "nowhere") })
	require.ErrorIs(t, err, hp3par.ErrConfig)
}
