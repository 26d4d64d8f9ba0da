package hp3par

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Columns of showrcopy in CSV.
const (
	groupColumns  = 6 // Name,Target,Status,Role,Mode,Options
	memberColumns = 7 // " ",LocalVV,ID,RemoteVV,ID,SyncStatus,LastSyncTime
	linkColumns   = 4 // Target,Node,Address,Status[,Options]
)

// complaints are lines with which an array says no, whatever its exit status is. A line of a table is
// no complaint: the words must begin it or follow a colon.
var complaints = regexp.MustCompile(`(?im)^\s*(error\b.*|invalid\b.*|\w+: invalid\b.*|.*\bmust specify\b.*|.*permission denied.*|task \d+ (failed|cancelled).*|.*too many local cli connections.*)$`)

// complaint is the first line in which the array says no; empty: there is none.
func complaint(out string) string {
	return strings.TrimSpace(complaints.FindString(out))
}

// rows reads CSV as arrays print it: any number of fields, blank lines between groups.
func rows(out string) ([][]string, error) {
	r := csv.NewReader(strings.NewReader(strings.ReplaceAll(out, "\r\n", "\n")))
	r.FieldsPerRecord, r.LazyQuotes = -1, true
	var list [][]string
	for {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrOutput, err)
		}
		list = append(list, rec)
	}
}

// parseGroups reads `showrcopy groups` in CSV, with or without header rows.
func parseGroups(out string, z zones) (map[string]group, error) {
	if text := complaint(out); text != "" {
		return nil, &rejection{rc: 1, text: text}
	}
	list, err := rows(out)
	if err != nil {
		return nil, err
	}
	groups, current := map[string]group{}, ""
	for _, f := range list {
		first := strings.TrimSpace(f[0])
		switch {
		case len(f) == 1: // a banner, a total or an empty answer
			continue
		case first == "Name" || first == "" && strings.TrimSpace(f[1]) == "LocalVV":
			continue
		case first == "":
			m, err := parseMember(f, z)
			if err != nil {
				return nil, err
			}
			if current == "" {
				return nil, fmt.Errorf("%w: volume %s before any group", ErrOutput, m.local)
			}
			g := groups[current]
			g.members = append(g.members, m)
			groups[current] = g
		default:
			g, err := parseGroup(f, z)
			if err != nil {
				return nil, err
			}
			if _, twice := groups[g.name]; twice {
				return nil, fmt.Errorf("%w: group %s is listed twice", ErrOutput, g.name)
			}
			groups[g.name], current = g, g.name
		}
	}
	return groups, nil
}

// parseGroup reads a group's row. Options may be absent, empty, quoted or not: without quotes their
// commas have become separators, so everything from that column on belongs to them.
func parseGroup(f []string, z zones) (group, error) {
	if len(f) < groupColumns-1 {
		return group{}, fmt.Errorf("%w: a group's row has %d fields: %q", ErrOutput, len(f), f)
	}
	for i := range f {
		f[i] = strings.TrimSpace(f[i])
	}
	g := group{name: f[0], target: f[1], status: f[2], role: role(f[3]), mode: f[4]}
	if !g.role.primary() && !g.role.secondary() {
		g.role = role(f[3]) // kept in the array's word; Observe calls it unknown
	}
	for _, item := range strings.Split(strings.Join(f[groupColumns-1:], ","), ",") {
		item = strings.TrimSpace(item)
		switch word, value, _ := strings.Cut(item, " "); {
		case item == "" || item == "-":
		case word == "Last-Sync":
			g.lastSync = z.parse(strings.TrimSpace(value))
		case word == "Period":
			g.period = parsePeriod(strings.TrimSpace(value))
		default:
			g.policies = append(g.policies, item)
		}
	}
	return g, nil
}

// parsePeriod reads 5m, 90s, 1h or 2d; what it does not know is no period.
func parsePeriod(s string) time.Duration {
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}
	if len(s) < 2 || units[s[len(s)-1]] == 0 {
		return 0
	}
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 31)
	if err != nil {
		return 0
	}
	return min(time.Duration(n), 366*24*3600) * units[s[len(s)-1]]
}

var progress = regexp.MustCompile(`^(\S+)\s*\((\d{1,3})%\)$`)

func parseMember(f []string, z zones) (member, error) {
	if len(f) < memberColumns {
		return member{}, fmt.Errorf("%w: a volume's row has %d fields: %q", ErrOutput, len(f), f)
	}
	m := member{local: strings.TrimSpace(f[1]), remote: strings.TrimSpace(f[3]), sync: strings.TrimSpace(f[5]), percent: -1}
	if p := progress.FindStringSubmatch(m.sync); p != nil {
		m.sync = p[1]
		m.percent, _ = strconv.Atoi(p[2]) // digits, by the expression
	}
	m.last = z.parse(strings.TrimSpace(f[6]))
	return m, nil
}

// parseLinks reads `showrcopy links` in CSV.
func parseLinks(out string) ([]link, error) {
	if text := complaint(out); text != "" {
		return nil, &rejection{rc: 1, text: text}
	}
	list, err := rows(out)
	if err != nil {
		return nil, err
	}
	var links []link
	for _, f := range list {
		if len(f) < linkColumns || strings.TrimSpace(f[0]) == "Target" {
			continue
		}
		links = append(links, link{strings.TrimSpace(f[0]), strings.TrimSpace(f[3])})
	}
	return links, nil
}

// zones translates the names of time zones to offsets.
type zones map[string]*time.Location

// newZones makes the table from the configuration: CET: "+01:00".
func newZones(table map[string]string) (zones, error) {
	z := zones{"UTC": time.UTC, "GMT": time.UTC}
	for name, text := range table {
		at, err := time.Parse("-07:00", text)
		if err != nil {
			return nil, fmt.Errorf("%w: timezones: %s: %q is no offset: write +01:00", ErrConfig, name, text)
		}
		_, seconds := at.Zone()
		z[name] = time.FixedZone(name, seconds)
	}
	return z, nil
}

const calendar = "2006-01-02 15:04:05"

// parse reads "2014-03-25 16:12:47 CET" or NA.
func (z zones) parse(text string) stamp {
	s := stamp{text: text}
	if s.none() {
		return s
	}
	wall, name := text, ""
	if len(text) > len(calendar) {
		wall, name = text[:len(calendar)], strings.TrimSpace(text[len(calendar):])
	}
	at, err := time.Parse(calendar, wall)
	if err != nil {
		s.err = fmt.Errorf("%w: time %q", ErrOutput, text)
		return s
	}
	s.wall = at.Unix()
	zone, ok := z[name]
	if !ok {
		zone, ok = numericZone(name)
	}
	if !ok {
		s.err = fmt.Errorf("%w %q: add it to the array's timezones, as %s: \"+01:00\"", ErrZone, name, name)
		return s
	}
	s.at = time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), 0, zone)
	return s
}

// numericZone reads a zone that is its own offset: +0530.
func numericZone(name string) (*time.Location, bool) {
	for _, form := range []string{"-0700", "-07:00", "-07"} {
		if at, err := time.Parse(form, name); err == nil && name != "" {
			_, seconds := at.Zone()
			return time.FixedZone(name, seconds), true
		}
	}
	return nil, false
}

// has says whether a policy is set.
func (g group) has(policy string) bool { return slices.Contains(g.policies, policy) }
