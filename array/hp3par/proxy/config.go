package proxy

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Config is the proxy's configuration file.
type Config struct {
	CLI         string            `yaml:"cli,omitempty"` // the vendor's command line
	SSLKey      string            `yaml:"ssl_key"`
	SSLCrt      string            `yaml:"ssl_crt"`
	AccessLog   string            `yaml:"access_log,omitempty"`
	ErrorLog    string            `yaml:"error_log,omitempty"`
	PWF         map[string]string `yaml:"pwf,omitempty"` // array -> password file of the vendor's command line
	Creds       []Rule            `yaml:"creds"`
	Arrays      map[string]Array  `yaml:"arrays,omitempty"`        // reached by ssh instead
	ClientCA    string            `yaml:"client_ca,omitempty"`     // clients need a certificate of this authority
	MaxPerArray int               `yaml:"max_per_array,omitempty"` // commands at once, default 2
	Timeout     string            `yaml:"timeout,omitempty"`       // of one command, default 6h

	limit time.Duration
	path  string
	file  *ast.File
}

// Array is an array that the proxy reaches by ssh.
type Array struct {
	Manager    string `yaml:"manager,omitempty"`
	Port       int    `yaml:"port,omitempty"`
	Username   string `yaml:"username"`
	Key        string `yaml:"key"`
	KnownHosts string `yaml:"known_hosts"`
}

// Rule allows commands to one node for one service on one array.
type Rule struct {
	Service     string   `yaml:"service"`
	UUID        string   `yaml:"uuid"`
	Array       string   `yaml:"array"`
	Commands    []string `yaml:"commands"`
	Certificate string   `yaml:"certificate,omitempty"` // the client certificate's common name or DNS name
}

const (
	defaultPerArray = 2
	defaultTimeout  = 6 * time.Hour
	maxConfig       = 16 << 20
)

// Load reads and checks a configuration file. Unknown keys are refused. An error names file
// and line, and never shows a line: it may hold a uuid.
func Load(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	c := &Config{path: path}
	if len(text) > maxConfig {
		return nil, fmt.Errorf("%w: %s is longer than %d bytes", ErrConfig, path, maxConfig)
	}
	if c.file, err = parser.ParseBytes(text, 0); err != nil {
		return nil, withoutSource(path, err)
	}
	if err := yaml.UnmarshalWithOptions(text, c, yaml.Strict()); err != nil {
		return nil, withoutSource(path, err)
	}
	return c, c.check()
}

// withoutSource takes the excerpt of the file out of an error of the YAML library.
func withoutSource(path string, err error) error {
	var y yaml.Error
	if !errors.As(err, &y) || y.GetToken() == nil || y.GetToken().Position == nil {
		return fmt.Errorf("%w %s: is no YAML", ErrConfig, path)
	}
	p := y.GetToken().Position
	return fmt.Errorf("%w %s:%d:%d: %s", ErrConfig, path, p.Line, p.Column, y.GetMessage())
}

// fail is a defect at a key: $.creds[3].commands[0].
func (c *Config) fail(at, format string, args ...any) error {
	place := c.path
	if p, err := yaml.PathString(at); err == nil && c.file != nil {
		if n, err := p.FilterFile(c.file); err == nil && n != nil && n.GetToken() != nil {
			place = fmt.Sprintf("%s:%d:%d", c.path, n.GetToken().Position.Line, n.GetToken().Position.Column)
		}
	}
	key := strings.TrimPrefix(strings.TrimPrefix(at, "$"), ".")
	return fmt.Errorf("%w %s: %s: %s", ErrConfig, place, key, fmt.Sprintf(format, args...))
}

func (c *Config) check() error {
	switch {
	case c.SSLKey == "":
		return c.fail("$.ssl_key", "is missing: the uuid is a secret that must not travel in the clear")
	case c.SSLCrt == "":
		return c.fail("$.ssl_crt", "is missing")
	case c.MaxPerArray < 0:
		return c.fail("$.max_per_array", "is negative")
	case len(c.PWF) > 0 && c.CLI == "":
		return c.fail("$.cli", "is missing: pwf needs the path of the vendor's command line")
	}
	if c.MaxPerArray == 0 {
		c.MaxPerArray = defaultPerArray
	}
	c.limit = defaultTimeout
	if c.Timeout != "" {
		d, err := time.ParseDuration(c.Timeout)
		if err != nil || d <= 0 {
			return c.fail("$.timeout", "%q is no duration: write 6h", c.Timeout)
		}
		c.limit = d
	}
	for name, a := range c.Arrays {
		if _, twice := c.PWF[name]; twice {
			return c.fail("$.arrays", "array %s stands under pwf, too", name)
		}
		for key, v := range map[string]string{"username": a.Username, "key": a.Key, "known_hosts": a.KnownHosts} {
			if v == "" {
				return c.fail("$.arrays", "array %s: %s is missing", name, key)
			}
		}
	}
	return c.checkRules()
}

func (c *Config) checkRules() error {
	seen := map[string]bool{}
	for i, r := range c.Creds {
		at := fmt.Sprintf("$.creds[%d]", i)
		if err := c.checkRule(at, r); err != nil {
			return err
		}
		key := r.Service + "\x00" + r.UUID + "\x00" + r.Array
		if seen[key] {
			return c.fail(at, "a second rule for service %s on %s and the same uuid", r.Service, r.Array)
		}
		seen[key] = true
	}
	return nil
}

func (c *Config) checkRule(at string, r Rule) error {
	_, byCLI := c.PWF[r.Array]
	_, bySSH := c.Arrays[r.Array]
	switch {
	case r.Service == "":
		return c.fail(at+".service", "is missing")
	case r.UUID == "":
		return c.fail(at+".uuid", "is missing")
	case r.Array == "":
		return c.fail(at+".array", "is missing")
	case !byCLI && !bySSH:
		return c.fail(at+".array", "array %s is neither under pwf nor under arrays", r.Array)
	case r.Certificate != "" && c.ClientCA == "":
		return c.fail(at+".certificate", "needs client_ca")
	}
	for i, cmd := range r.Commands {
		if why := badCommand(cmd); why != "" {
			return c.fail(fmt.Sprintf("%s.commands[%d]", at, i), "%q: %s", cmd, why)
		}
	}
	return nil
}

// CheckFiles says which of the files that the configuration names cannot be used; warnings
// are for those that others on this host can read.
func (c *Config) CheckFiles() (warnings []string, err error) {
	secret := map[string]string{"$": c.path, "$.ssl_key": c.SSLKey}
	open := map[string]string{"$.ssl_crt": c.SSLCrt, "$.client_ca": c.ClientCA, "$.cli": c.CLI}
	for name, file := range c.PWF {
		secret["$.pwf.'"+name+"'"] = file
	}
	for name, a := range c.Arrays {
		secret["$.arrays.'"+name+"'.key"] = a.Key
		open["$.arrays.'"+name+"'.known_hosts"] = a.KnownHosts
	}
	for at, file := range open {
		if file != "" {
			if _, err := os.Stat(file); err != nil {
				return nil, c.fail(at, "%v", err)
			}
		}
	}
	for at, file := range secret {
		if file == "" {
			continue
		}
		st, err := os.Stat(file)
		switch {
		case err != nil:
			return nil, c.fail(at, "%v", err)
		case st.Mode()&fs.ModePerm&0o007 != 0:
			warnings = append(warnings, fmt.Sprintf("%s can be read by everybody on this host (chmod 600 %s)", file, file))
		}
	}
	return warnings, nil
}

// badCommand says why a line cannot be handed to an array as plain words.
func badCommand(cmd string) string {
	if cmd == "" || strings.TrimSpace(cmd) != cmd || strings.Contains(cmd, "  ") {
		return "words are separated by single spaces"
	}
	// The one thing in quotes that arrays are told is nothing: a comment that is removed.
	for _, c := range strings.ReplaceAll(cmd, ` "" `, " ") {
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune(" _-.:,@", c)
		if !ok {
			return fmt.Sprintf("character %q is never allowed", c)
		}
	}
	return ""
}

// short is how a uuid is shown in logs: enough to find its rule. One so short that its
// beginning would give it away is shown as a hash.
func short(uuid string) string {
	switch {
	case uuid == "":
		return ""
	case len(uuid) >= 4*shownUUID:
		return uuid[:shownUUID] + "..."
	}
	sum := sha256.Sum256([]byte(uuid))
	return fmt.Sprintf("sha256:%x", sum[:4])
}

// shownUUID is how many characters of a uuid logs show.
const shownUUID = 8
