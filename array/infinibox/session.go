package infinibox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// Features that change what is sent.
const (
	featureSessions   = "api/auth_sessions"
	featureSessions2  = "api_auth_sessions" // another spelling of the same
	featureAutoCreate = "replica_auto_create"
	featureSync       = "sync_replication"
)

// prepare reads the box's features and opens a session, once per client.
func (c *Client) prepare(ctx context.Context) error {
	c.mu.Lock()
	known := c.features != nil
	c.mu.Unlock()
	if known {
		return nil
	}
	env, err := c.exchange(ctx, call{method: http.MethodGet, path: "_features"}, false)
	if err != nil && !isNotFound(err) {
		return err
	}
	features, err := decodeFeatures(env.Result)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.features = features
	at := c.current
	c.mu.Unlock()
	if !features[featureSessions] && !features[featureSessions2] {
		return nil // Basic credentials in each request
	}
	return c.login(ctx, at)
}

// decodeFeatures reads names and switches. A feature that is listed without a switch
// is on.
func decodeFeatures(raw json.RawMessage) (map[string]bool, error) {
	out := map[string]bool{}
	if !present(raw) {
		return out, nil
	}
	var list []struct {
		Name    string `json:"name"`
		Enabled *bool  `json:"enabled"`
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("%w: _features: %w", ErrUnreadable, err)
	}
	for _, f := range list {
		out[f.Name] = f.Enabled == nil || *f.Enabled
	}
	return out, nil
}

// feature says whether the box has a feature; it is known after the first request.
func (c *Client) feature(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.features[name]
}

// login opens a session at one address.
func (c *Client) login(ctx context.Context, at int) error {
	body, err := json.Marshal(map[string]string{"username": c.access.Username, "password": c.access.Password, "clientid": clientID})
	if err != nil {
		return fmt.Errorf("login: %w", err)
	}
	_, err = c.send(ctx, at, call{method: http.MethodPost, path: "users/login?approved=true", body: body}, false)
	if err != nil {
		return fmt.Errorf("login: %w", err)
	}
	got := len(c.http.Jar.Cookies(c.bases[at])) > 0
	c.mu.Lock()
	c.sessions = got // a box that gives no cookie gets credentials each time
	c.mu.Unlock()
	return nil
}

// Close ends the session.
func (c *Client) Close(ctx context.Context) error {
	if !c.hasSession() {
		return nil
	}
	_, err := c.exchange(ctx, call{method: http.MethodPost, path: "users/logout?approved=true", body: json.RawMessage(`{}`)}, false)
	c.mu.Lock()
	c.sessions, c.features = false, nil
	c.mu.Unlock()
	c.http.CloseIdleConnections()
	if errors.Is(err, ErrNotSent) || errors.Is(err, ErrNoReply) {
		return nil // it ends by itself
	}
	return err
}

// pageSize is what is asked for; a box gives at most 1000.
const (
	pageSize = 500
	maxPages = 2000 // a box that never ends is not believed
)

// filter is one condition on a field: field=eq:value.
type filter struct{ field, value string }

func eq(field, value string) filter         { return filter{field, "eq:" + value} }
func eqID(field string, value int64) filter { return eq(field, strconv.FormatInt(value, 10)) }

// list reads all pages of a collection.
func list[T any](ctx context.Context, c *Client, path string, filters ...filter) ([]T, error) {
	var out []T
	for page := int64(1); page <= maxPages; page++ {
		q := url.Values{"page": {strconv.FormatInt(page, 10)}, "page_size": {strconv.Itoa(pageSize)}, "sort": {"id"}}
		for _, f := range filters {
			q.Add(f.field, f.value)
		}
		var part []T
		meta, err := c.do(ctx, call{method: http.MethodGet, path: path + "?" + q.Encode()}, &part)
		if err != nil {
			return nil, err
		}
		out = append(out, part...)
		if meta.Pages == nil || page >= *meta.Pages || len(part) == 0 {
			return out, nil
		}
	}
	return nil, fmt.Errorf("%w: %s has more than %d pages", ErrUnreadable, path, maxPages)
}

// get reads one object. nil without an error: it does not exist.
func get[T any](ctx context.Context, c *Client, path string) (*T, error) {
	var out T
	_, err := c.do(ctx, call{method: http.MethodGet, path: path}, &out)
	if isNotFound(err) {
		return nil, nil //nolint:nilnil // absence is an answer
	}
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// byName reads the one object of a collection with that name; nil: there is none.
func byName[T any](ctx context.Context, c *Client, path, name string, more ...filter) (*T, error) {
	found, err := list[T](ctx, c, path, append([]filter{eq("name", name)}, more...)...)
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, nil //nolint:nilnil // absence is an answer
	case len(found) > 1:
		return nil, fmt.Errorf("%w: %d objects named %q in %s", ErrUnreadable, len(found), name, path)
	}
	return &found[0], nil
}
