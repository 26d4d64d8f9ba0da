package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/replica"
)

// logEvery is how often a transfer reports where nobody watches a terminal.
const logEvery = 30 * time.Second

// transfers shows the transfers of one command: a bar for each on a terminal, a line every
// 30 s otherwise, JSON lines where asked for.
type transfers struct {
	mu    sync.Mutex
	g     *globals
	s     streams
	draws bool          // bars on a terminal
	bars  *mpb.Progress // made for the first transfer
}

// newTransfers decides how to show. finish must be called when the command ends.
func newTransfers(g *globals, s streams) *transfers {
	draws := !g.quiet && !g.json && !g.verbose && g.progress == "auto" && isTerminal(s.err)
	return &transfers{g: g, s: s, draws: draws}
}

// finish waits for the last refresh of the bars.
func (p *transfers) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bars != nil {
		p.bars.Shutdown()
		p.bars = nil
	}
}

// transfer is what is shown of one resource.
type transfer struct {
	p        *transfers
	resource string
	bar      *mpb.Bar
	phase    string
	last     time.Time
	began    time.Time
	from     int64
}

// events is the sink for one resource's run.
func (p *transfers) events(resource string) replica.Events {
	t := &transfer{p: p, resource: resource, last: time.Now()}
	return replica.Events{Step: t.step, Progress: t.progress}
}

func (t *transfer) step(text string) {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	if t.p.g.verbose && !t.p.g.json {
		fmt.Fprintf(t.p.s.err, "%s: %s\n", t.resource, text)
	}
}

func (t *transfer) progress(phase string, done, total, sent int64) {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	switch {
	case t.p.draws:
		t.drawBar(phase, done, total)
	case t.p.g.quiet || t.p.g.progress == "never":
	case t.p.g.progress == "json":
		t.line(time.Second, func() { t.printJSON(phase, done, total, sent) })
	default:
		t.line(logEvery, func() { t.printLine(phase, done, total) })
	}
}

// drawBar moves the bar; another phase begins a bar of its own in the same place.
func (t *transfer) drawBar(phase string, done, total int64) {
	if total <= 0 {
		return
	}
	if t.p.bars == nil {
		t.p.bars = mpb.New(mpb.WithOutput(t.p.s.err), mpb.WithWidth(40), mpb.WithRefreshRate(200*time.Millisecond))
		t.bar = nil
	}
	if t.bar == nil || t.phase != phase {
		if t.bar != nil {
			t.bar.Abort(true)
		}
		t.phase = phase
		t.bar = t.p.bars.AddBar(total, mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(decor.Name(t.resource+" "+phase+" ", decor.WCSyncSpaceR), decor.CountersKibiByte("% .1f / % .1f")),
			mpb.AppendDecorators(decor.Percentage(decor.WC{W: 5}), decor.AverageSpeed(decor.SizeB1024(0), "  % .1f"), decor.AverageETA(decor.ET_STYLE_GO, decor.WC{W: 8})))
		t.bar.SetRefill(done)
	}
	t.bar.SetCurrent(done)
}

// line calls show at most once per interval.
func (t *transfer) line(every time.Duration, show func()) {
	if now := time.Now(); now.Sub(t.last) >= every {
		t.last = now
		show()
	}
}

func (t *transfer) printJSON(phase string, done, total, sent int64) {
	b, err := json.Marshal(map[string]any{"message_type": "progress", "resource": t.resource, "phase": phase, "done": done, "total": total, "sent": sent})
	if err == nil {
		fmt.Fprintf(t.out(), "%s\n", b)
	}
}

func (t *transfer) out() io.Writer {
	if t.p.g.json {
		return t.p.s.out
	}
	return t.p.s.err
}

// printLine tells rate and remaining time since the phase began.
func (t *transfer) printLine(phase string, done, total int64) {
	if t.phase != phase {
		t.phase, t.began, t.from = phase, time.Now(), done
	}
	left := "unknown"
	if secs := time.Since(t.began).Seconds(); secs > 1 && done > t.from {
		rate := float64(done-t.from) / secs
		left = (time.Duration(float64(total-done)/rate) * time.Second).Round(time.Second).String()
	}
	fmt.Fprintf(t.p.s.err, "%s: %s %s of %s, time left %s\n", t.resource, phase, humanize.IBytes(uint64(done)), humanize.IBytes(uint64(total)), left)
}

// printSync prints the summary of a sync or a full copy.
func printSync(g *globals, s streams, rep report.Sync) {
	switch {
	case g.quiet:
	case g.json:
		b, err := json.Marshal(struct {
			MessageType string `json:"message_type"`
			report.Sync
		}{"report", rep})
		if err == nil {
			fmt.Fprintf(s.out, "%s\n", b)
		}
	default:
		rep.Line(s.out)
		if g.verbose && rep.Transfer != nil {
			rep.Transfer.Text(s.out, "sent")
		}
	}
}
