package arraytest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ddsgo/ddsgo/array"
)

// Errors that labs return.
var (
	ErrLeftOut  = errors.New("this lab cannot do that")
	ErrReadOnly = errors.New("the side does not accept writes")
)

// ErrTooMany ends a suite that found Options.MaxFailures failures.
var ErrTooMany = errors.New("failed cases, and more were not looked for")

// Lab is a resource under test and the power to hurt its storage. Methods that a lab
// does not have return ErrLeftOut.
type Lab interface {
	// Open makes the driver anew, as a process on that site would.
	Open(ctx context.Context, site string) (array.Driver, error)
	// SiteDown takes a side away, as a fire does; SiteUp brings it back as it was.
	SiteDown(ctx context.Context, site string) error
	SiteUp(ctx context.Context, site string) error
	// LinkDown cuts the sides from each other; both still answer ddsgo.
	LinkDown(ctx context.Context) error
	LinkUp(ctx context.Context) error
	// Read returns a text that is equal for equal contents.
	Read(ctx context.Context, site string) (string, error)
	// Write writes something new as an application would. ErrReadOnly: not accepted.
	Write(ctx context.Context, site string) error
	// Foreign does what another operator's "break" or "resume" would, behind ddsgo's back.
	Foreign(ctx context.Context, verb string) error
	// Sleep lets time pass, real or not.
	Sleep(ctx context.Context, d time.Duration) error
}

// Remaker is a Lab that can make the resource anew: both sides, in the normal state. The
// suite asks for it only where the away side was promoted and the driver knows no
// failback, so that no verb leads home; the report then says that the way home is left out.
type Remaker interface {
	Remake(ctx context.Context) error
}

// Witness is a Lab whose storage itself notes what must never happen: hosts that wrote on
// both sides, a promoted side that holds no completed copy. A case in which it notes
// something fails, whatever the driver says.
type Witness interface {
	// Harm is everything noted so far, oldest first.
	Harm() []string
}

// Options of the suite.
type Options struct {
	// Quick tries each disturbance at fewer places; for labs that are slow.
	Quick   bool
	Timeout time.Duration // of one verb; default 1 minute
	// Log is told each case as it begins; nil: nobody.
	Log func(text string)
	// Part and Parts run every Parts-th verb in its state only, beginning with the Part-th:
	// a matrix of labs shares the work.
	Part, Parts int
	// Goals are tried besides those that every driver knows.
	Goals []array.Goal
	// MaxFailures ends the suite after so many failed cases; 0: never.
	MaxFailures int
	// Only runs cases whose name holds this text.
	Only string
	// Pick runs the cases that it wants by their whole name; those of a verb that is disturbed are
	// offered only when the undisturbed one was picked. nil: all.
	Pick func(name string) bool
}

// Outcomes of a case.
const (
	Passed  = "passed"
	Failed  = "failed"
	LeftOut = "left_out"
)

// Result is the outcome of one case.
type Result struct {
	Case    string `json:"case"`
	Outcome string `json:"outcome"`
	Detail  string `json:"detail,omitempty"`
}

// Report is the outcome of the suite.
type Report struct {
	Results []Result `json:"results"`
	Verbs   int      `json:"verbs"` // that were run
}

// Count is the number of cases with an outcome.
func (r Report) Count(outcome string) int {
	n := 0
	for _, c := range r.Results {
		if c.Outcome == outcome {
			n++
		}
	}
	return n
}

// TB is what Test needs of a *testing.T.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Logf(format string, args ...any)
	Context() context.Context
}

// Test runs the suite and fails t for each case that fails.
func Test(t TB, lab Lab, o Options) {
	t.Helper()
	r, err := Run(t.Context(), lab, o)
	for _, c := range r.Results {
		switch c.Outcome {
		case Failed:
			t.Errorf("%s: %s", c.Case, c.Detail)
		case LeftOut:
			t.Logf("left out: %s: %s", c.Case, c.Detail)
		}
	}
	if err != nil {
		t.Errorf("suite: %v", err)
	}
	if r.Count(Passed) == 0 {
		t.Errorf("no case passed")
	}
	t.Logf("%d cases passed, %d failed, %d left out; %d verbs were run", r.Count(Passed), r.Count(Failed), r.Count(LeftOut), r.Verbs)
}

// brokenError is a defect that the suite found.
type brokenError struct{ text string }

func (b *brokenError) Error() string { return b.text }

func broken(format string, args ...any) error { return &brokenError{fmt.Sprintf(format, args...)} }
