package config

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// Duration is a time span with a unit: 90s, 10m, 27h, 1d3h.
type Duration time.Duration

var durationUnits = []struct {
	letter byte
	span   time.Duration
}{{'d', 24 * time.Hour}, {'h', time.Hour}, {'m', time.Minute}, {'s', time.Second}}

// ParseDuration reads numbers with units, the larger unit first. A bare number has no
// meaning and is refused.
func ParseDuration(s string) (Duration, error) {
	rest, total, next := s, time.Duration(0), 0
	for rest != "" {
		n := 0
		for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
			n++
		}
		if n == 0 || n == len(rest) {
			return 0, badDuration(s)
		}
		value, err := strconv.ParseInt(rest[:n], 10, 64)
		if err != nil {
			return 0, badDuration(s)
		}
		for next < len(durationUnits) && durationUnits[next].letter != rest[n] {
			next++
		}
		if next == len(durationUnits) {
			return 0, badDuration(s)
		}
		span := durationUnits[next].span
		if value > int64((math.MaxInt64-total)/span) {
			return 0, badDuration(s)
		}
		total += time.Duration(value) * span
		rest, next = rest[n+1:], next+1
	}
	if s == "" {
		return 0, badDuration(s)
	}
	return Duration(total), nil
}

func badDuration(s string) error {
	return fmt.Errorf("%q is no duration: write numbers with units s, m, h or d, for instance 90s, 10m or 1d3h", s)
}

// String is the shortest form that ParseDuration reads.
func (d Duration) String() string {
	rest, out := time.Duration(d), ""
	for _, u := range durationUnits {
		if n := rest / u.span; n > 0 {
			out += fmt.Sprintf("%d%c", n, u.letter)
			rest -= n * u.span
		}
	}
	if out == "" {
		return "0s"
	}
	return out
}

// D is the duration as the standard library knows it.
func (d Duration) D() time.Duration { return time.Duration(d) }

// UnmarshalYAML implements yaml.NodeUnmarshaler.
func (d *Duration) UnmarshalYAML(n ast.Node) error {
	v, err := ParseDuration(scalar(n))
	if err != nil {
		return nodeError(n, "%v", err)
	}
	*d = v
	return nil
}

// MarshalYAML implements yaml.InterfaceMarshaler.
func (d Duration) MarshalYAML() (any, error) { return d.String(), nil }

// Size is a number of bytes: 4096, 64K, 4MiB, 10G; the units are powers of 1024.
type Size int64

// ParseSize reads a number of bytes.
func ParseSize(s string) (Size, error) {
	text := strings.ToUpper(strings.TrimSpace(s))
	bare := strings.TrimSuffix(strings.TrimSuffix(text, "B"), "I")
	if bare != "" && strings.ContainsRune("KMGTPE", rune(bare[len(bare)-1])) {
		text = bare + "IB"
	}
	n, err := humanize.ParseBytes(text)
	if err != nil || n > math.MaxInt64 {
		return 0, fmt.Errorf("%q is no size: write bytes or a number with K, M, G or T (powers of 1024), for instance 64K, 4MiB or 10G", s)
	}
	return Size(n), nil
}

// String is the size in the largest unit that gives a whole number.
func (s Size) String() string {
	units := []string{"", "KiB", "MiB", "GiB", "TiB", "PiB"}
	n, i := int64(s), 0
	for n != 0 && n%1024 == 0 && i < len(units)-1 {
		n, i = n/1024, i+1
	}
	return strconv.FormatInt(n, 10) + units[i]
}

// UnmarshalYAML implements yaml.NodeUnmarshaler.
func (s *Size) UnmarshalYAML(n ast.Node) error {
	v, err := ParseSize(scalar(n))
	if err != nil {
		return nodeError(n, "%v", err)
	}
	*s = v
	return nil
}

// MarshalYAML implements yaml.InterfaceMarshaler.
func (s Size) MarshalYAML() (any, error) { return s.String(), nil }

// SnapSize is the size of a snapshot: a share of its origin, or bytes.
type SnapSize struct {
	Percent int // 1 to 100; 0: Bytes counts
	Bytes   Size
}

// Of is the size for an origin of this many bytes.
func (s SnapSize) Of(origin int64) int64 {
	if s.Percent > 0 {
		return origin/100*int64(s.Percent) + origin%100*int64(s.Percent)/100
	}
	return int64(s.Bytes)
}

// IsZero says that nothing is set.
func (s SnapSize) IsZero() bool { return s == SnapSize{} }

// String is what the configuration says.
func (s SnapSize) String() string {
	if s.Percent > 0 {
		return strconv.Itoa(s.Percent) + "%"
	}
	return s.Bytes.String()
}

// UnmarshalYAML implements yaml.NodeUnmarshaler.
func (s *SnapSize) UnmarshalYAML(n ast.Node) error {
	text := scalar(n)
	if p, ok := strings.CutSuffix(text, "%"); ok {
		v, err := strconv.Atoi(p)
		if err != nil || v < 1 || v > 100 {
			return nodeError(n, "%q is no share: write 1%% to 100%%", text)
		}
		*s = SnapSize{Percent: v}
		return nil
	}
	v, err := ParseSize(text)
	if err != nil || v == 0 {
		return nodeError(n, "%q is no snapshot size: write a share such as 10%%, or a size such as 4GiB", text)
	}
	*s = SnapSize{Bytes: v}
	return nil
}

// MarshalYAML implements yaml.InterfaceMarshaler.
func (s SnapSize) MarshalYAML() (any, error) { return s.String(), nil }

// Strings is a list that may be written as one string.
type Strings []string

// UnmarshalYAML implements yaml.NodeUnmarshaler.
func (s *Strings) UnmarshalYAML(n ast.Node) error {
	if _, ok := n.(*ast.StringNode); ok {
		*s = Strings{scalar(n)}
		return nil
	}
	var list []string
	if err := yaml.NodeToValue(n, &list); err != nil {
		return err
	}
	*s = list
	return nil
}

// Sites are the settings of each site, in the order of the file: the first is home.
type Sites[T any] []Site[T]

// Site is one entry of Sites.
type Site[T any] struct {
	Name string
	Of   T
}

// Names are the names, home first.
func (s Sites[T]) Names() []string {
	names := make([]string, len(s))
	for i := range s {
		names[i] = s[i].Name
	}
	return names
}

// Get returns the settings of a site.
func (s Sites[T]) Get(name string) (T, bool) {
	for _, e := range s {
		if e.Name == name {
			return e.Of, true
		}
	}
	var zero T
	return zero, false
}

// UnmarshalYAML implements yaml.NodeUnmarshaler.
func (s *Sites[T]) UnmarshalYAML(n ast.Node) error {
	entries, ok := pairs(n)
	if !ok {
		return nodeError(n, "sites is a mapping of site names, home first")
	}
	for _, p := range entries {
		e := Site[T]{Name: keyOf(p)}
		if p.Value.Type() != ast.NullType {
			if err := yaml.NodeToValue(p.Value, &e.Of); err != nil {
				return err
			}
		}
		*s = append(*s, e)
	}
	return nil
}

// MarshalYAML implements yaml.InterfaceMarshaler.
func (s Sites[T]) MarshalYAML() (any, error) {
	out := make(yaml.MapSlice, len(s))
	for i, e := range s {
		out[i] = yaml.MapItem{Key: e.Name, Value: e.Of}
	}
	return out, nil
}

// settings is the type of one site's settings, for the check of keys.
func (Sites[T]) settings() reflect.Type { return reflect.TypeFor[T]() }
