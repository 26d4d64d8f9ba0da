package infinibox

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"strings"
)

// validUser knows the two users of a box, both administrators.
func validUser(name, password string) bool {
	return (name == "admin" || name == "infinidat") && password == "123456"
}

func parseBasic(header string) (user, password string, ok bool) {
	encoded, found := strings.CutPrefix(header, "Basic ")
	if !found {
		return "", "", false
	}
	plain, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(plain), ":")
}

// authenticate returns the user of a request: Basic credentials, when there are
// any, decide; else the session cookie.
func (b *box) authenticate(hr *http.Request) string {
	if header := hr.Header.Get("Authorization"); header != "" {
		user, password, ok := parseBasic(header)
		if !ok || !validUser(user, password) {
			return ""
		}
		return user
	}
	if c, err := hr.Cookie(sessionCookie); err == nil {
		return b.sessions[c.Value]
	}
	return ""
}

func (b *box) openSession(user string) string {
	id := rand.Text()
	b.sessions[id] = user
	return id
}

func login(r *request) (any, *apiError) {
	o := parseObject("login", r.body)
	o.need("username", "password")
	user, password := o.text("username"), o.text("password")
	if r.box.w.opt.feature(featureSessions) {
		o.text("clientid")
	}
	if err := o.finish(); err != nil {
		return nil, err
	}
	if r.remote {
		return nil, fail(http.StatusForbidden, "SIM_NOT_OVER_LINK", "login is not possible over the link")
	}
	if !validUser(user, password) {
		return nil, fail(http.StatusUnauthorized, "UNAUTHORIZED", "Wrong user name or password")
	}
	r.user = user
	role := map[string]string{"admin": "ADMIN", "infinidat": "INFINIDAT"}[user]
	return view{
		"name": user, "roles": []any{role},
		"user_objects": []any{view{
			"type": "Local", "id": map[string]int64{"admin": -2, "infinidat": -1}[user], "role": role, "name": user, "email": user + "@" + r.box.title + ".example",
			"password_digest_version": int64(1), "enabled": true, "is_digest_sufficient": true, "roles": []any{role},
		}},
	}, nil
}

func logout(r *request) (any, *apiError) {
	if err := parseObject("logout", r.body).finish(); err != nil {
		return nil, err
	}
	return view{"name": r.user}, nil // the session was closed before
}
