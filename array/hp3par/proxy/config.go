package proxy

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
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
	Certificate string   `yaml:"certificate,omitempty"` // the client certificate's common name
}

const (
	defaultPerArray = 2
	defaultTimeout  = 6 * time.Hour
)

// Load reads and checks a configuration file. Unknown keys are refused.
func Load(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	var c Config
	if err := yaml.UnmarshalWithOptions(text, &c, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrConfig, path, err)
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrConfig, path, err)
	}
	return &c, nil
}

func (c *Config) check() error {
	if c.SSLKey == "" || c.SSLCrt == "" {
		return fmt.Errorf("ssl_key and ssl_crt are needed: the uuid is a secret that must not travel in the clear")
	}
	if c.MaxPerArray < 0 {
		return fmt.Errorf("max_per_array is negative")
	}
	if c.MaxPerArray == 0 {
		c.MaxPerArray = defaultPerArray
	}
	c.limit = defaultTimeout
	if c.Timeout != "" {
		d, err := time.ParseDuration(c.Timeout)
		if err != nil || d <= 0 {
			return fmt.Errorf("timeout %q: write 6h", c.Timeout)
		}
		c.limit = d
	}
	if len(c.PWF) > 0 && c.CLI == "" {
		return fmt.Errorf("pwf needs cli, the path of the vendor's command line")
	}
	seen := map[string]bool{}
	for i, r := range c.Creds {
		if err := c.checkRule(r); err != nil {
			return fmt.Errorf("creds[%d]: %w", i, err)
		}
		key := r.Service + "\x00" + r.UUID + "\x00" + r.Array
		if seen[key] {
			return fmt.Errorf("creds[%d]: a second rule for service %s on %s", i, r.Service, r.Array)
		}
		seen[key] = true
	}
	return nil
}

func (c *Config) checkRule(r Rule) error {
	_, byCLI := c.PWF[r.Array]
	_, bySSH := c.Arrays[r.Array]
	switch {
	case r.Service == "" || r.UUID == "" || r.Array == "":
		return fmt.Errorf("service, uuid and array are needed")
	case !byCLI && !bySSH:
		return fmt.Errorf("array %s is neither under pwf nor under arrays", r.Array)
	case r.Certificate != "" && c.ClientCA == "":
		return fmt.Errorf("certificate needs client_ca")
	}
	for _, cmd := range r.Commands {
		if why := badCommand(cmd); why != "" {
			return fmt.Errorf("command %q: %s", cmd, why)
		}
	}
	return nil
}

// badCommand says why a line cannot be handed to an array as plain words.
func badCommand(cmd string) string {
	if cmd == "" || strings.TrimSpace(cmd) != cmd || strings.Contains(cmd, "  ") {
		return "words are separated by single spaces"
	}
	for _, c := range cmd {
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune(" _-.:,@", c)
		if !ok {
			return fmt.Sprintf("character %q is never allowed", c)
		}
	}
	return ""
}

// short is how a uuid is shown in logs: enough to tell two apart, useless to a thief.
func short(uuid string) string {
	if uuid == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(uuid))
	return fmt.Sprintf("%x", sum[:4])
}
