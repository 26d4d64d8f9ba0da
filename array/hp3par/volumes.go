package hp3par

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// volumeListing is what one array tells about its volumes and itself at one moment.
type volumeListing struct {
	volumes  map[string]volume
	licences []string
	clock    stamp         // the array's own; none where the method does not tell it
	ahead    time.Duration // of that clock, before this host's
}

// volume is one virtual volume or snapshot.
type volume struct {
	name    string
	prov    string // snp: a snapshot
	created stamp  // of a snapshot: the instant that it holds
}

// provSnapshot is the Prov word of a snapshot.
const provSnapshot = "snp"

// licenceSnapshots allows snapshots, licenceRemote remote copies.
const (
	licenceSnapshots = "Virtual Copy"
	licenceRemote    = "Remote Copy"
)

// licensed says whether a feature is among the licences. Releases write it alone on a line
// or with a size or a date behind it.
func (l volumeListing) licensed(feature string) bool {
	return slices.ContainsFunc(l.licences, func(line string) bool { return strings.HasPrefix(line, feature) })
}

// Questions about volumes.
const (
	showSnapshots = "showvv -showcols Name,CreationTime,Prov"
	showLicences  = "showlicense"
	showClock     = "showdate"
)

// volumeTransport is a transport that also knows volumes.
type volumeTransport interface {
	listVolumes(ctx context.Context) (volumeListing, error)
	// refreshSteps splits the refresh of snapshots into what is one command each.
	refreshSteps(names []string) [][]string
	refreshText(names []string) (string, error)
	refresh(ctx context.Context, names []string) error
}

var _, _ volumeTransport = (*commandLine)(nil), (*webServices)(nil)

// listVolumes asks for all volumes, the licences and the clock.
func (a *Array) listVolumes(ctx context.Context, mayShare bool) (volumeListing, error) {
	return a.volumes.get(ctx, mayShare, func(ctx context.Context) (volumeListing, error) { return a.t.(volumeTransport).listVolumes(ctx) })
}

// listVolumes implements volumeTransport. A proxy whose rules do not hold showdate costs
// the array's clock, and nothing else.
func (c *commandLine) listVolumes(ctx context.Context) (volumeListing, error) {
	var l volumeListing
	out, err := c.ask(ctx, showSnapshots, true)
	if err != nil {
		return l, err
	}
	if l.volumes, err = parseVolumes(out, c.zones); err != nil {
		return l, err
	}
	if out, err = c.ask(ctx, showLicences, true); err != nil {
		return l, err
	}
	l.licences = parseLicences(out)
	var no *rejection
	if out, err = c.ask(ctx, showClock, true); errors.As(err, &no) {
		return l, nil
	}
	if err == nil {
		l.clock = parseClock(out, c.zones)
	}
	if !l.clock.at.IsZero() {
		l.ahead = time.Until(l.clock.at).Round(time.Second)
	}
	return l, err
}

// refreshSteps implements volumeTransport: one command takes all snapshots, at one instant.
func (c *commandLine) refreshSteps(names []string) [][]string { return [][]string{names} }

// refreshText implements volumeTransport.
func (c *commandLine) refreshText(names []string) (string, error) {
	for _, n := range names {
		if !plainWord.MatchString(n) {
			return "", fmt.Errorf("%w: %q", ErrArgument, n)
		}
	}
	return "updatevv -f " + strings.Join(names, " "), nil
}

// refresh implements volumeTransport.
func (c *commandLine) refresh(ctx context.Context, names []string) error {
	line, err := c.refreshText(names)
	if err != nil {
		return err
	}
	_, err = c.ask(ctx, line, false)
	return err
}

// parseVolumes reads `showvv -showcols Name,CreationTime,Prov` in CSV.
func parseVolumes(out string, z zones) (map[string]volume, error) {
	if text := complaint(out); text != "" {
		return nil, &rejection{rc: 1, text: text}
	}
	list, err := rows(out)
	if err != nil {
		return nil, err
	}
	volumes := map[string]volume{}
	for _, f := range list {
		for i := range f {
			f[i] = strings.TrimSpace(f[i])
		}
		switch {
		case len(f) == 1, f[0] == "Name", f[0] == "":
			continue // "no vv listed", headers, totals
		case len(f) != 3:
			return nil, fmt.Errorf("%w: a volume's row has %d fields: %q", ErrOutput, len(f), f)
		}
		if _, twice := volumes[f[0]]; twice {
			return nil, fmt.Errorf("%w: volume %s is listed twice", ErrOutput, f[0])
		}
		volumes[f[0]] = volume{name: f[0], created: z.parse(f[1]), prov: f[2]}
	}
	return volumes, nil
}

// parseLicences reads showlicense: the lines below the one that ends in a colon.
func parseLicences(out string) []string {
	_, list, found := strings.Cut(strings.ReplaceAll(out, "\r\n", "\n"), "enabled:")
	if !found {
		list = out
	}
	var licences []string
	for line := range strings.Lines(list) {
		if line = strings.TrimSpace(line); line != "" {
			licences = append(licences, line)
		}
	}
	return licences
}

// clockText is a time with its zone, in a table or in CSV; some releases add the region in
// brackets.
var clockText = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?: [A-Za-z0-9:+-]+)?`)

// parseClock reads showdate, which has a line per node.
func parseClock(out string, z zones) stamp { return z.parse(clockText.FindString(out)) }

// wsapiSnapshot is the provisioning type of snapshots, and wsapiUpdateCopy the volume action
// that refreshes one.
const (
	wsapiSnapshot   = 3
	wsapiUpdateCopy = 7
)

// listVolumes implements volumeTransport. The WSAPI does not tell the time.
func (w *webServices) listVolumes(ctx context.Context) (volumeListing, error) {
	l := volumeListing{volumes: map[string]volume{}}
	err := w.with(ctx, func(s *session) error {
		var volumes struct {
			Members []struct {
				Name    string `json:"name"`
				Type    int    `json:"provisioningType"`
				Created string `json:"creationTime8601"`
			} `json:"members"`
		}
		if err := s.call(ctx, http.MethodGet, "/volumes", nil, &volumes); err != nil {
			return err
		}
		for _, v := range volumes.Members {
			x := volume{name: v.Name, prov: fmt.Sprintf("number %d", v.Type), created: isoStamp(v.Created)}
			if v.Type == wsapiSnapshot {
				x.prov = provSnapshot
			}
			l.volumes[v.Name] = x
		}
		var system struct {
			LicenseInfo struct {
				Licenses []struct {
					Name string `json:"name"`
				} `json:"licenses"`
			} `json:"licenseInfo"`
		}
		if err := s.call(ctx, http.MethodGet, "/system", nil, &system); err != nil {
			return err
		}
		for _, x := range system.LicenseInfo.Licenses {
			l.licences = append(l.licences, x.Name)
		}
		return nil
	})
	return l, err
}

// refreshSteps implements volumeTransport: a request takes one snapshot.
func (w *webServices) refreshSteps(names []string) [][]string {
	steps := make([][]string, 0, len(names))
	for _, n := range names {
		steps = append(steps, []string{n})
	}
	return steps
}

// refreshText implements volumeTransport.
func (w *webServices) refreshText(names []string) (string, error) {
	if len(names) != 1 || !plainWord.MatchString(names[0]) {
		return "", fmt.Errorf("%w: %q", ErrArgument, names)
	}
	return fmt.Sprintf("PUT /api/v1/volumes/%s action=%d", url.PathEscape(names[0]), wsapiUpdateCopy), nil
}

// refresh implements volumeTransport.
func (w *webServices) refresh(ctx context.Context, names []string) error {
	if _, err := w.refreshText(names); err != nil {
		return err
	}
	return w.with(ctx, func(s *session) error {
		return s.call(ctx, http.MethodPut, "/volumes/"+url.PathEscape(names[0]), map[string]int{"action": wsapiUpdateCopy}, nil)
	})
}

// age is how old a snapshot is by the array's own clock, or by now where the array does not
// tell the time. Within one zone no table is needed. False: it cannot be told.
func (l volumeListing) age(v volume, now time.Time) (time.Duration, bool) {
	switch {
	case v.created.none() || v.created.wall == 0:
		return 0, false
	case l.clock.wall != 0 && l.clock.zone() == v.created.zone():
		return max(0, time.Duration(l.clock.wall-v.created.wall)*time.Second), true
	case v.created.at.IsZero():
		return 0, false
	case !l.clock.at.IsZero():
		return max(0, l.clock.at.Sub(v.created.at)), true
	case l.clock.wall != 0:
		return 0, false // the array's clock is in a zone that nobody knows
	}
	return max(0, now.Sub(v.created.at)), true
}

// zone is the zone's name as the array wrote it.
func (s stamp) zone() string {
	if len(s.text) <= len(calendar) {
		return ""
	}
	return strings.TrimSpace(s.text[len(calendar):])
}
