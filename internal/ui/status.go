package ui

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/ddsgo/ddsgo/internal/report"
)

// StatusOptions say how a status is shown.
type StatusOptions struct {
	Color   bool
	Verbose bool           // also sides and members
	Zone    *time.Location // of times; nil: local
}

// Status prints one row for each resource. A resource that is not up is followed by its
// reasons and by the command that helps.
func Status(w io.Writer, s report.Status, o StatusOptions) error {
	if len(s.Resources) == 0 {
		_, err := fmt.Fprintln(w, "no resources")
		return err
	}
	lines := statusLines(s, o)
	var out strings.Builder
	out.WriteString(lines[0] + "\n")
	for i, r := range s.Resources {
		out.WriteString(lines[i+1] + "\n")
		for _, why := range r.Reasons {
			fmt.Fprintf(&out, "    %s: %s\n", why.Code, why.Text)
		}
		for _, s := range r.Sides {
			if text, ok := s.Native["warning"].(string); ok {
				fmt.Fprintf(&out, "    warning: %s: %s\n", s.Site, text)
			}
		}
		if r.State != report.StateUp && r.Next != nil {
			fmt.Fprintf(&out, "    next: %s\n", *r.Next)
		}
		if o.Verbose {
			details(&out, r, o)
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// statusLines are the header and one line for each resource, in columns.
func statusLines(s report.Status, o StatusOptions) []string {
	t := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	style.Format.Header = text.FormatUpper
	t.SetStyle(style)
	t.AppendHeader(table.Row{"resource", "driver", "mode", "state", "role", "primary", "link", "replication", "lag", "last sync", "left"})
	for _, r := range s.Resources {
		t.AppendRow(table.Row{r.Name, r.Driver, dash(r.Mode), state(r.State, o.Color), r.Role, primaries(r), r.Link, r.Replication, lag(r.LagSeconds), when(r.LastSync, o.Zone), left(r.BytesLeft)})
	}
	lines := strings.Split(t.Render(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return lines
}

// primaries names the sites that are primary, and marks a direction that is not the
// usual one.
func primaries(r report.Resource) string {
	var names []string
	for _, s := range r.Sides {
		if s.Reachable && s.Role == "primary" {
			names = append(names, s.Site)
		}
	}
	if r.Reversed {
		return strings.Join(names, "+") + " (reversed)"
	}
	return dash(strings.Join(names, "+"))
}

func details(out *strings.Builder, r report.Resource, o StatusOptions) {
	for _, s := range r.Sides {
		reach := "not reachable"
		if s.Reachable {
			reach = s.Role + ", " + writable(s.Writable)
		}
		fmt.Fprintf(out, "    side %s: %s\n", s.Site, reach)
	}
	for _, m := range r.Members {
		fmt.Fprintf(out, "    member %s -> %s: %s, last sync %s\n", m.Name, m.Peer, m.Sync, when(m.LastSync, o.Zone))
	}
}

func writable(w *bool) string {
	switch {
	case w == nil:
		return "writable unknown"
	case *w:
		return "writable"
	}
	return "read-only"
}

func state(s string, color bool) string {
	if !color {
		return s
	}
	switch s {
	case report.StateUp:
		return text.FgGreen.Sprint(s)
	case report.StateDown:
		return text.FgRed.Sprint(s)
	}
	return text.FgYellow.Sprint(s)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// lag is short enough for a column: the two largest units.
func lag(seconds *float64) string {
	if seconds == nil {
		return "-"
	}
	d := time.Duration(*seconds) * time.Second
	switch days := d / (24 * time.Hour); {
	case days > 0:
		return fmt.Sprintf("%dd%dh", days, d%(24*time.Hour)/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

func when(t *time.Time, zone *time.Location) string {
	if t == nil {
		return "-"
	}
	if zone == nil {
		zone = time.Local
	}
	return t.In(zone).Format("2006-01-02 15:04:05")
}

func left(n *int64) string {
	if n == nil || *n < 0 {
		return "-"
	}
	return humanize.IBytes(uint64(*n))
}
