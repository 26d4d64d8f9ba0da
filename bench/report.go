package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// Goal is one row of the table of goals.
type Goal struct {
	Name     string  `json:"name"`
	Goal     float64 `json:"goal"` // at most this
	Measured float64 `json:"measured"`
	Unit     string  `json:"unit"` // "x" for ratios, "MiB"
	OK       bool    `json:"ok"`
}

// NewGoal compares a figure with the most that it may be.
func NewGoal(name string, goal, measured float64, unit string) Goal {
	return Goal{Name: name, Goal: goal, Measured: measured, Unit: unit, OK: measured > 0 && measured <= goal}
}

// Row is one measured pipeline.
type Row struct {
	Group      string  `json:"group"`
	Name       string  `json:"name"`
	WallMedian float64 `json:"wall_median_seconds"`
	CPUMedian  float64 `json:"cpu_median_seconds"`
	CPUMin     float64 `json:"cpu_min_seconds"`
	CPUMax     float64 `json:"cpu_max_seconds"`
	Ratio      float64 `json:"cpu_ratio"` // to the first row of the group, round by round
}

// Figure is one number that is not a time.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

// Report is everything that one run of the benchmark found.
type Report struct {
	SchemaVersion int      `json:"schema_version"`
	Time          string   `json:"time"`
	Machine       string   `json:"machine"`
	Meter         string   `json:"meter"`
	Rounds        int      `json:"rounds"`
	Load          string   `json:"load"` // at start and end
	Rows          []Row    `json:"rows"`
	Figures       []Figure `json:"figures"`
	Goals         []Goal   `json:"goals"`
}

// AddGroup adds a comparison; ratios are to its first case.
func (r *Report) AddGroup(group string, cases []Case, results map[string]Result) {
	for _, c := range cases {
		res := results[c.Name]
		row := Row{
			Group: group, Name: c.Name, WallMedian: seconds(res.MedianWall()), CPUMedian: seconds(res.MedianCPU()),
			Ratio: Ratio(res, results[cases[0].Name]),
		}
		for i, d := range res.CPU {
			s := seconds(d)
			if i == 0 || s < row.CPUMin {
				row.CPUMin = s
			}
			row.CPUMax = max(row.CPUMax, s)
		}
		r.Rows = append(r.Rows, row)
	}
}

func seconds(d time.Duration) float64 { return d.Seconds() }

// Missed is the number of goals that were not reached.
func (r *Report) Missed() (n int) {
	for _, g := range r.Goals {
		if !g.OK {
			n++
		}
	}
	return n
}

// WriteJSON writes the report for programs.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(r)
}

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) {
	fmt.Fprintf(w, "%s; CPU by %s; load %s; median of %d interleaved rounds\n", r.Machine, r.Meter, r.Load, r.Rounds)
	t := newTable(w)
	t.AppendHeader(table.Row{"pipeline", "wall s", "cpu s", "min .. max", "x first"})
	group := ""
	for _, row := range r.Rows {
		if row.Group != group {
			group = row.Group
			t.AppendSeparator()
			t.AppendRow(table.Row{text.Bold.Sprint(group)})
		}
		t.AppendRow(table.Row{"  " + row.Name, f3(row.WallMedian), f3(row.CPUMedian), f3(row.CPUMin) + " .. " + f3(row.CPUMax), f3(row.Ratio)})
	}
	t.Render()
	t = newTable(w)
	t.AppendHeader(table.Row{"figure", "value", "unit"})
	for _, f := range r.Figures {
		t.AppendRow(table.Row{f.Name, f3(f.Value), f.Unit})
	}
	t.Render()
	t = newTable(w)
	t.AppendHeader(table.Row{"goal", "at most", "measured", ""})
	for _, g := range r.Goals {
		verdict := "ok"
		if !g.OK {
			verdict = "NOT REACHED"
		}
		t.AppendRow(table.Row{g.Name, f3(g.Goal) + " " + g.Unit, f3(g.Measured) + " " + g.Unit, verdict})
	}
	t.Render()
}

func newTable(w io.Writer) table.Writer {
	text.DisableColors()
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.SetStyle(table.StyleLight)
	t.Style().Options.DrawBorder = false
	t.Style().Format.Header = text.FormatDefault
	return t
}

func f3(v float64) string { return fmt.Sprintf("%.3f", v) }
