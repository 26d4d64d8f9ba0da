package proxy

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// BenchmarkTwoHundredClients is one request from each of 200 clients at once: what the proxy
// itself costs, TLS and both logs included, and how many sessions an array sees at most.
func BenchmarkTwoHundredClients(b *testing.B) {
	const clients = 200
	r := &recorder{}
	c := &Config{SSLKey: "k", SSLCrt: "c", CLI: "/cli", PWF: map[string]string{array1: "f"}, Creds: []Rule{
		{Service: service, UUID: uuid, Array: array1, Commands: []string{"showrcopy groups RCG.SVC1"}},
	}}
	if err := c.check(); err != nil {
		b.Fatal(err)
	}
	s := New(c, r, io.Discard, slog.New(slog.DiscardHandler))
	h := httptest.NewUnstartedServer(s)
	h.Config = s.HTTP()
	h.StartTLS()
	defer h.Close()
	client := h.Client()
	client.Transport.(*http.Transport).MaxIdleConnsPerHost = clients
	for b.Loop() {
		var wg sync.WaitGroup
		for range clients {
			wg.Go(func() {
				res, err := client.PostForm(h.URL+"/api/cmd/", form(nil))
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			})
		}
		wg.Wait()
	}
	b.ReportMetric(float64(clients*b.N)/b.Elapsed().Seconds(), "requests/s")
	b.ReportMetric(float64(r.most.Load()), "sessions-peak")
	if r.most.Load() > defaultPerArray {
		b.Fatalf("%d commands at once, %d are allowed", r.most.Load(), defaultPerArray)
	}
}
