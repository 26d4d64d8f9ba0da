package opensvc

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ddsgo/ddsgo/config"
)

// Keys that every sync section may have and that change nothing of what is copied where.
func inertKeys() []string {
	return []string{
		"comment", "tags", "subset", "optional", "monitor", "disable", "shared", "standby", "always_on", "restart", "restart_delay", "encap",
		"provision", "unprovision", "provision_requires", "unprovision_requires", "sync_timeout", "timeout",
	}
}

// scheduleKeys say when an agent copies; ddsgo is started by a timer.
func scheduleKeys() []string {
	return []string{"schedule", "sync_schedule", "sync_interval", "sync_period", "sync_days", "sync_min_delay"}
}

// unused tells every key of a section that is not read. A key that is nearly one of ours is
// a mistake; what has a meaning elsewhere is told.
func (m *importer) unused(sec *section, ours []string, only ...string) {
	for _, e := range sec.entries {
		switch {
		case slices.Contains(ours, e.key), len(only) > 0 && !slices.Contains(only, e.key):
		case slices.Contains(scheduleKeys(), e.key):
			m.note(sec.doc, e.line, "[%s] %s = %s: ddsgo keeps no schedule of its own; start `ddsgo update` from a timer, such as ddsgo@.timer", sec.name, e.full(), e.value)
		case slices.Contains(inertKeys(), e.key), trigger(e.key):
			m.note(sec.doc, e.line, "[%s] %s is not translated", sec.name, e.full())
		default:
			if near := nearest(e.key, ours); near != "" {
				err := sec.fail(e, "is not known (did you mean %s?)", near)
				err.Known = ours
				m.fail(err)
				continue
			}
			m.note(sec.doc, e.line, "[%s] %s is not known here and not translated", sec.name, e.full())
		}
	}
}

// trigger says that a key runs a command around an action, or makes it wait for others.
func trigger(key string) bool {
	key = strings.TrimPrefix(key, "blocking_")
	return strings.HasPrefix(key, "pre_") || strings.HasPrefix(key, "post_") || strings.HasSuffix(key, "_requires") ||
		strings.HasSuffix(key, "_trigger") || key == "presnap_trigger" || key == "postsnap_trigger"
}

// nearest is the key that differs in at most two letters; empty: none does.
func nearest(word string, known []string) string {
	for _, k := range known {
		if k != word && distance(word, k) <= 2 && len(k) > 3 {
			return k
		}
	}
	return ""
}

// distance is the number of letters to insert, delete or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}

// required is a value that must be there on a node.
func (m *importer) required(s *service, sec *section, key, node string) (value, bool) {
	v, err := s.value(sec, key, node)
	if err != nil {
		m.fail(err)
		return v, false
	}
	if v.text == "" {
		where := ""
		if node != "" {
			where = " for node " + node
		}
		m.fail(sec.missing(key, "is missing%s", where))
		return v, false
	}
	return v, true
}

// optional is a value that may be absent.
func (m *importer) optional(s *service, sec *section, key, node string) value {
	v, err := s.value(sec, key, node)
	m.fail(err)
	return v
}

// agentDelay is the agent's sync_max_delay where none is set; ddsgo's own for dds is the same.
const agentDelay = "1d3h"

// delay reads sync_max_delay.
func (m *importer) delay(s *service, sec *section, node string) string {
	v := m.optional(s, sec, "sync_max_delay", node)
	if v.text == "" {
		return agentDelay
	}
	d, err := m.duration(v.text)
	if err != nil {
		m.fail(v.fail("%v", err))
		return ""
	}
	return d.String()
}

// duration reads a number with units, or a bare one where the caller says what it means.
func (m *importer) duration(text string) (config.Duration, error) {
	if n, err := strconv.ParseInt(text, 10, 32); err == nil {
		switch {
		case n <= 0:
			return 0, fmt.Errorf("%q is no delay", text)
		case m.options.BareUnit == 0:
			return 0, fmt.Errorf("%q has no unit: agents of 2014 took minutes, those of today take seconds; say which with --bare-unit minutes or --bare-unit seconds", text)
		}
		return config.Duration(time.Duration(n) * m.options.BareUnit), nil
	}
	if weeks, ok := strings.CutSuffix(text, "w"); ok {
		if n, err := strconv.ParseInt(weeks, 10, 16); err == nil && n > 0 {
			return config.Duration(time.Duration(n) * 7 * 24 * time.Hour), nil
		}
	}
	d, err := config.ParseDuration(text)
	if err == nil && d == 0 {
		return 0, fmt.Errorf("%q is no delay", text)
	}
	return d, err
}
