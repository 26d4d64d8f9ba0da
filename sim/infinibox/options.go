package infinibox

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ddsgo/ddsgo/sim/control"
)

// Scenarios.
const (
	ScenarioLinked = "linked" // pools p1 and p2, link1 between the boxes
	ScenarioEmpty  = "empty"  // only the replication network spaces
)

// DefaultVersion is the product version that the boxes report.
const DefaultVersion = "7.1"

// Options configures Start. The zero value serves the linked scenario on
// ephemeral ports of 127.0.0.1 with everything in memory.
type Options struct {
	Dir      string          // where the CA file and, with Files, the volumes go; required
	Listen   string          // address to listen on, default 127.0.0.1
	PortBase int             // 0: ephemeral ports
	Scenario string          // ScenarioLinked (default) or ScenarioEmpty
	Version  string          // product version of both boxes, default DefaultVersion
	Features map[string]bool // switches of known features
	Files    bool            // datasets are sparse files below Dir
	Clock    control.Mode    // default control.Real; with Auto every request takes 100 ms
}

// Validate reports what Start would refuse without touching anything.
func (o Options) Validate() error {
	_, err := o.withDefaults()
	return err
}

func (o Options) withDefaults() (Options, error) {
	if o.Dir == "" {
		return o, fmt.Errorf("directory: required")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return o, fmt.Errorf("directory: %w", err)
	}
	o.Dir = dir
	if o.Listen == "" {
		o.Listen = "127.0.0.1"
	}
	if o.Scenario == "" || o.Scenario == "default" {
		o.Scenario = ScenarioLinked
	}
	if o.Version == "" {
		o.Version = DefaultVersion
	}
	if o.Clock == "" {
		o.Clock = control.Real
	}
	if o.Scenario != ScenarioLinked && o.Scenario != ScenarioEmpty {
		return o, fmt.Errorf("scenario %q: expected %s or %s", o.Scenario, ScenarioLinked, ScenarioEmpty)
	}
	if o.PortBase < 0 || o.PortBase > 65535-20 {
		return o, fmt.Errorf("port base %d: expected 0..%d", o.PortBase, 65535-20)
	}
	if _, err := parseVersion(o.Version); err != nil {
		return o, err
	}
	for name := range o.Features {
		if !slices.Contains(SwitchableFeatures(), name) {
			return o, fmt.Errorf("feature %q: expected one of %s", name, strings.Join(SwitchableFeatures(), ", "))
		}
	}
	return o, nil
}

// Feature switches.
const (
	featureAutoCreate   = "replica_auto_create"
	featureSessions     = "auth_sessions"
	featureSync         = "sync_replication"
	featureActiveActive = "active_active"
)

// SwitchableFeatures lists the names that Options.Features accepts.
func SwitchableFeatures() []string {
	return []string{featureAutoCreate, featureSessions, featureSync, featureActiveActive}
}

// feature reports whether the boxes have the feature: all but ACTIVE_ACTIVE are
// on unless switched off.
func (o Options) feature(name string) bool {
	on, set := o.Features[name]
	if !set {
		return name != featureActiveActive
	}
	return on
}

// ParseFeature parses NAME=on|off.
func ParseFeature(s string) (name string, on bool, err error) {
	name, value, ok := strings.Cut(s, "=")
	if !ok || (value != "on" && value != "off") {
		return "", false, fmt.Errorf("feature %q: expected NAME=on or NAME=off", s)
	}
	if !slices.Contains(SwitchableFeatures(), name) {
		return "", false, fmt.Errorf("feature %q: expected one of %s", name, strings.Join(SwitchableFeatures(), ", "))
	}
	return name, value == "on", nil
}

func parseVersion(s string) ([]int, error) {
	var out []int
	for part := range strings.SplitSeq(s, ".") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("version %q: expected numbers and dots, like %s", s, DefaultVersion)
		}
		out = append(out, n)
	}
	if len(out) < 2 || len(out) > 4 {
		return nil, fmt.Errorf("version %q: expected 2 to 4 numbers", s)
	}
	return out, nil
}

// atLeast compares the product version.
func (o Options) atLeast(want ...int) bool {
	have, _ := parseVersion(o.Version) // checked by withDefaults
	for len(have) < len(want) {
		have = append(have, 0)
	}
	return slices.Compare(have[:len(want)], want) >= 0
}
