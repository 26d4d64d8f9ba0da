package proxy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// authority makes certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return authority{cert, key}
}

func (a authority) issue(t *testing.T, name string, dns ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: dns, NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, key.Public(), a.key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// Without TLS, with old TLS, without the right certificate: nothing is run.
func TestBadTLS(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	r := &recorder{}
	c := config(t)
	c.ClientCA, c.Creds[0].Certificate = "ca", "dmz1"
	s := New(c, r, io.Discard, slog.New(slog.DiscardHandler))
	h := httptest.NewUnstartedServer(s)
	h.Config = s.HTTP()
	h.TLS = &tls.Config{MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool()}
	h.TLS.ClientCAs.AddCert(ours.cert)
	h.StartTLS()
	defer h.Close()
	ask := func(cfg *tls.Config) (*http.Response, error) {
		cfg.RootCAs = pool(h)
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: cfg}}
		defer client.CloseIdleConnections()
		return client.PostForm(h.URL+"/api/cmd/", form(nil))
	}
	for name, cfg := range map[string]*tls.Config{
		"no certificate":    {},
		"another authority": {Certificates: []tls.Certificate{theirs.issue(t, "dmz1")}},
		"TLS 1.1":           {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11, Certificates: []tls.Certificate{ours.issue(t, "dmz1")}},
	} {
		res, err := ask(cfg)
		if err == nil {
			_ = res.Body.Close()
		}
		require.Error(t, err, name)
	}
	res, err := http.PostForm("http://"+h.Listener.Addr().String()+"/api/cmd/", form(nil))
	require.NoError(t, err)
	_ = res.Body.Close()
	require.Equal(t, http.StatusBadRequest, res.StatusCode, "plain HTTP")
	require.Empty(t, r.seen())
	for name, c := range map[string]struct {
		cert tls.Certificate
		ret  int
	}{
		"another name": {ours.issue(t, "dmz2", "dmz3"), 1}, "the common name": {ours.issue(t, "dmz1"), 0}, "a DNS name": {ours.issue(t, "x", "dmz1"), 0},
	} {
		res, err := ask(&tls.Config{Certificates: []tls.Certificate{c.cert}})
		require.NoError(t, err, name)
		var a answer
		require.NoError(t, json.NewDecoder(res.Body).Decode(&a))
		_ = res.Body.Close()
		require.Equal(t, c.ret, a.Ret, "%s: %v", name, a)
	}
	require.Len(t, r.seen(), 2)
}

// One host cannot hold more connections than the proxy has room for.
func TestConnectionLimit(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := Limit(inner).(*limited)
	l.slots = make(chan struct{}, 1)
	defer l.Close()
	accepted := make(chan net.Conn, 4)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	first, err := net.Dial("tcp", inner.Addr().String())
	require.NoError(t, err)
	defer first.Close()
	held := <-accepted
	second, err := net.Dial("tcp", inner.Addr().String())
	require.NoError(t, err)
	defer second.Close()
	require.NoError(t, second.SetReadDeadline(time.Now().Add(10*time.Second)))
	_, err = second.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "refused at once")
	require.NoError(t, held.Close())
	_ = held.Close() // a second Close frees no second slot
	third, err := net.Dial("tcp", inner.Addr().String())
	require.NoError(t, err)
	defer third.Close()
	_ = (<-accepted).Close()
}
