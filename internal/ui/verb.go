package ui

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ddsgo/ddsgo/internal/report"
)

// waitEvery is how often a person is told what a verb is still waiting for.
const waitEvery = 30 * time.Second

// Verbs prints what mutating verbs do, for several resources at once. Its methods may
// be called concurrently; every line is whole.
type Verbs struct {
	mu           sync.Mutex
	out, errOut  io.Writer
	json, quiet  bool
	waitsAsJSON  bool // to errOut
	waitsForText bool
	told         map[string]told
	warned       map[string]bool // resource and text
	now          func() time.Time
}

// told is what was last said about a resource that waits.
type told struct {
	what string
	at   time.Time
}

// VerbOptions say how verbs are shown.
type VerbOptions struct {
	JSON     bool
	Quiet    bool
	Progress string // auto, never, json
}

// NewVerbs returns a printer of steps and summaries on out, of waits on errOut.
func NewVerbs(out, errOut io.Writer, o VerbOptions) *Verbs {
	return &Verbs{
		out: out, errOut: errOut, json: o.JSON, quiet: o.Quiet, waitsAsJSON: o.Progress == "json",
		waitsForText: o.Progress == "auto" && !o.Quiet && !o.JSON, told: map[string]told{}, warned: map[string]bool{}, now: time.Now,
	}
}

// Step tells of one native command that was sent.
func (v *Verbs) Step(s report.Step) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.json {
		v.line(v.out, s)
		return
	}
	if v.quiet {
		return
	}
	result := "ok"
	switch {
	case s.RC < 0:
		result = "no reply"
	case s.RC > 0:
		result = fmt.Sprintf("error %d", s.RC)
	}
	fmt.Fprintf(v.out, "%s: %d. %s: %s: %s  [%s, %.1fs]\n", s.Resource, s.N, s.Site, s.Action, s.Command, result, s.Seconds)
}

// Wait tells what a verb is waiting for: at once when it changes, then now and again.
func (v *Verbs) Wait(w report.Wait) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.waitsAsJSON {
		v.line(v.errOut, w)
		return
	}
	last := v.told[w.Resource]
	if !v.waitsForText || last.what == w.What && v.now().Sub(last.at) < waitEvery {
		return
	}
	v.told[w.Resource] = told{w.What, v.now()}
	share := ""
	if w.Done != nil && w.Total != nil && *w.Total > 0 {
		share = fmt.Sprintf(" (%d %%)", 100**w.Done / *w.Total)
	}
	fmt.Fprintf(v.errOut, "%s: waiting for %s%s\n", w.Resource, w.What, share)
}

// Warning tells a person of a danger before anything is done; for programs it is in the
// summary.
func (v *Verbs) Warning(resource, text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.json || v.quiet {
		return
	}
	v.warned[resource+"\x00"+text] = true
	fmt.Fprintf(v.errOut, "%s: warning: %s\n", resource, text)
}

// Summary tells how a verb ended.
func (v *Verbs) Summary(s report.Summary) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.json {
		v.line(v.out, s)
		return
	}
	if v.quiet || s.ExitCode != 0 {
		return
	}
	for _, w := range s.Warnings {
		if v.warned[s.Resource+"\x00"+w] {
			continue
		}
		fmt.Fprintf(v.errOut, "%s: warning: %s\n", s.Resource, w)
	}
	if s.Result == report.ResultNothingToDo {
		fmt.Fprintf(v.out, "%s: %s: nothing to do\n", s.Resource, s.Verb)
	} else {
		fmt.Fprintf(v.out, "%s: %s: done in %d step(s), %.1fs\n", s.Resource, s.Verb, s.Steps, s.Seconds)
	}
	for _, k := range slices.Sorted(maps.Keys(s.Info)) {
		fmt.Fprintf(v.out, "%s:   %s: %s\n", s.Resource, k, s.Info[k])
	}
}

// Plan tells what a verb would do.
func (v *Verbs) Plan(p report.Plan) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.json {
		v.line(v.out, p)
		return
	}
	goal := p.Verb
	if p.Site != "" {
		goal += " (primary at " + p.Site + ")"
	}
	switch p.Result {
	case report.ResultNothingToDo:
		fmt.Fprintf(v.out, "%s: %s: nothing to do\n", p.Resource, goal)
		return
	case report.ResultDone:
		fmt.Fprintf(v.out, "%s: %s: would do\n", p.Resource, goal)
	default:
		fmt.Fprintf(v.out, "%s: %s: %s: %s\n", p.Resource, goal, p.Result, p.Reason)
	}
	v.planBody(p)
}

func (v *Verbs) planBody(p report.Plan) {
	for _, s := range p.Steps {
		fmt.Fprintf(v.out, "    %d. %s: %s\n", s.N, s.Site, actionLine(s.Action, s.Command))
	}
	if p.Result == report.ResultDone && len(p.Steps) == 0 {
		fmt.Fprintln(v.out, "    no command; it waits for the storage")
	}
	if p.Authoritative != "" {
		fmt.Fprintf(v.out, "    the content of %s survives\n", p.Authoritative)
	}
	for _, ow := range p.Overwrites {
		common, kept := "unknown", "not kept"
		if ow.LastCommon != nil {
			common = *ow.LastCommon
		}
		if ow.Kept != "" {
			kept = "kept in " + ow.Kept
		}
		fmt.Fprintf(v.out, "    writes that only %s holds are overwritten (last common point: %s; %s)\n", ow.Site, common, kept)
	}
	for _, w := range p.Warnings {
		fmt.Fprintf(v.out, "    warning: %s\n", w)
	}
	if p.Next != "" {
		fmt.Fprintf(v.out, "    next: %s\n", p.Next)
	}
}

// line writes one JSON object on one line.
func (v *Verbs) line(w io.Writer, obj any) {
	b, err := json.Marshal(obj)
	if err != nil {
		fmt.Fprintf(v.errOut, "ddsgo: %v\n", err)
		return
	}
	fmt.Fprintf(w, "%s\n", b)
}

// actionLine is what is done in words and, where there is one, the native command.
func actionLine(action, command string) string {
	if command == "" {
		return action
	}
	return action + ": " + command
}
