package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/internal/report"
)

// How often a transfer says where it stands.
const (
	progressTerminal = 200 * time.Millisecond
	progressLog      = 30 * time.Second
)

// progress shows the progress of a transfer on standard error: one line that is written
// over on a terminal, else a line each 30 seconds, or JSON.
type progress struct {
	w     io.Writer
	mode  string // "", line, log, json
	start time.Time
	next  time.Time
	every time.Duration
	first int64 // what was done when it began
	wrote bool
}

func newProgress(g *globals, s streams) *progress {
	p := &progress{w: s.err, start: time.Now(), every: progressLog, first: -1}
	switch {
	case g.progress == "json":
		p.mode, p.every = "json", time.Second
	case g.quiet || g.json || g.progress == "never":
	case isTerminal(s.err):
		p.mode, p.every = "line", progressTerminal
	default:
		p.mode = "log"
	}
	p.next = p.start.Add(p.every)
	return p
}

func (p *progress) show(e engine.Progress) {
	if p.first < 0 {
		p.first = e.Done
	}
	if p.mode == "" {
		return
	}
	now := time.Now()
	if now.Before(p.next) {
		return
	}
	p.next = now.Add(p.every)
	if p.mode == "json" {
		_ = printJSON(p.w, map[string]any{"message_type": "status", "phase": e.Phase, "done": e.Done, "total": e.Total, "sent": e.Sent, "seconds": now.Sub(p.start).Seconds()})
		return
	}
	text := p.text(e, now)
	if p.mode == "line" {
		p.wrote = true
		fmt.Fprintf(p.w, "\r\033[K%s", text)
		return
	}
	fmt.Fprintln(p.w, text)
}

// text is "extracting 1.2 GiB of 4.0 GiB (30 %), 210 MiB/s, 14s left".
func (p *progress) text(e engine.Progress, now time.Time) string {
	rate := float64(e.Done-p.first) / now.Sub(p.start).Seconds()
	text := fmt.Sprintf("%s %s", e.Phase, humanize.IBytes(uint64(e.Done)))
	if e.Total > 0 {
		text += fmt.Sprintf(" of %s (%d %%)", humanize.IBytes(uint64(e.Total)), e.Done*100/e.Total)
	}
	text += fmt.Sprintf(", %s/s", humanize.IBytes(uint64(rate)))
	if rate > 0 && e.Total > e.Done {
		text += fmt.Sprintf(", %s left", (time.Duration(float64(e.Total-e.Done)/rate) * time.Second).Round(time.Second))
	}
	return text
}

// done clears the line.
func (p *progress) done() {
	if p.wrote {
		fmt.Fprint(p.w, "\r\033[K")
	}
}

// printJSON writes one object on one line.
func printJSON(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// transferLine is the summary of a plumbing verb with its report.
type transferLine struct {
	report.Summary
	Report any `json:"report"`
}

func transferSummary(verb, device string, seconds float64, warnings []string, r any) transferLine {
	return transferLine{Summary: report.Summary{MessageType: report.TypeSummary, Resource: device, Verb: verb, Result: report.ResultDone,
		Seconds: seconds, Warnings: warnings}, Report: r}
}
