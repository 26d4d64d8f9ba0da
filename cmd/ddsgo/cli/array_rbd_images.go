package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/rbd"
	"github.com/ddsgo/ddsgo/internal/failure"
)

func newArrayImagesCommand(g *globals, s streams) *cobra.Command {
	var o rbd.OverviewOptions
	cmd := &cobra.Command{
		Use:   "images NAME",
		Short: "List every mirrored image of an rbd resource's pool, as its daemons last reported it",
		Long: `List every mirrored image of an rbd resource's pool, as its daemons last reported it.

Two calls to Ceph, however many images there are; with --long four. The reports are up to 30 s old, and
as old as their age says when a daemon is gone: "ddsgo status NAME:IMAGE" asks both clusters about one
image. VERDICT is what both reports add up to:

  ok            one site is primary, the other one replicates, both reports are fresh
  warn          first copy, stopped, no daemon, an old report, mirrored at one site only
  error         split brain, or primary at both sites
  unknown       a cluster did not answer
  not_mirrored  listed by --long only

EXIT STATUS
  0  listed, whatever the verdicts
  3  one cluster did not answer; what the other one says is listed
  4  unknown resource, or not an rbd one`,
		Example: `  ddsgo array images img
  ddsgo array images img --long
  ddsgo array images img --json | jq -r '.images[] | select(.verdict != "ok") | .image'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return listImages(cmd.Context(), g, s, args[0], o) },
	}
	cmd.Flags().BoolVar(&o.List, "long", false, "size and lock of every image, and the images that are not mirrored")
	return cmd
}

func listImages(ctx context.Context, g *globals, s streams, name string, o rbd.OverviewOptions) error {
	env, err := g.load(s)
	if err != nil {
		return err
	}
	r, ok := env.cfg.Resources[name]
	if !ok || r.RBD == nil {
		return failure.Usage("%q is no rbd resource; known: %s", name, known(env.cfg))
	}
	var sites [2]rbd.Site
	var clis [2]*rbd.CLI
	for i, site := range r.RBD.Sites {
		sites[i] = rbd.Site{Name: site.Name, Cluster: rbdCluster(site.Of)}
		clis[i] = rbd.NewCLI(sites[i].Cluster, rbd.Times{}, env.runner)
	}
	rows, err := rbd.Overview(ctx, r.RBD.Pool, sites, clis, o)
	if g.json {
		if rows == nil {
			rows = []rbd.ImageSummary{}
		}
		if printErr := printJSON(s.out, map[string]any{"schema_version": 1, "resource": name, "pool": r.RBD.Pool, "images": rows}); printErr != nil {
			return printErr
		}
	} else {
		printImages(s, sites, rows, o)
	}
	if err != nil {
		return failure.With(failure.CodePartial, name, "not every cluster answered", "ddsgo doctor "+name, err)
	}
	return nil
}

func printImages(s streams, sites [2]rbd.Site, rows []rbd.ImageSummary, o rbd.OverviewOptions) {
	t := table.NewWriter()
	t.SetOutputMirror(s.out)
	t.SetStyle(table.StyleLight)
	t.Style().Options = table.OptionsNoBordersAndSeparators
	one, two := strings.ToUpper(sites[0].Name), strings.ToUpper(sites[1].Name)
	head := table.Row{"IMAGE", "VERDICT", "PRIMARY", one, "AGE", two, "AGE", "BEHIND"}
	if o.List {
		head = append(head, "SIZE", "LOCK "+one, "LOCK "+two)
	}
	t.AppendHeader(append(head, "WHY"))
	for _, r := range rows {
		row := table.Row{r.Image, string(r.Verdict), strings.Join(r.Primary, " and ")}
		behind, size := "", ""
		for _, site := range sites {
			side := r.Sides[site.Name]
			row = append(row, side.State, ageWord(side.AgeSeconds))
			behind, size = either(behind, behindWord(side)), either(size, sizeWord(side.Size))
		}
		row = append(row, behind)
		if o.List {
			row = append(row, size, r.Sides[sites[0].Name].Lock, r.Sides[sites[1].Name].Lock)
		}
		t.AppendRow(append(row, strings.Join(r.Why, "; ")))
	}
	t.Render()
}

func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func ageWord(seconds *float64) string {
	if seconds == nil {
		return "-"
	}
	return (time.Duration(*seconds) * time.Second).String()
}

// behindWord is what the receiving side reports: entries of a journal, or seconds between snapshots.
func behindWord(s rbd.SideReported) string {
	switch {
	case s.EntriesBehind != nil:
		return fmt.Sprintf("%d entries", *s.EntriesBehind)
	case s.LagSeconds != nil:
		return ageWord(s.LagSeconds)
	}
	return ""
}

func sizeWord(size *int64) string {
	if size == nil {
		return ""
	}
	return humanize.IBytes(uint64(max(*size, 0)))
}

// diagnoser is a driver that can tell more about what is wrong than an observation.
type diagnoser interface {
	Diagnose(ctx context.Context) ([]rbd.Finding, error)
}

func newDoctorCommand(g *globals, s streams) *cobra.Command {
	var sel selection
	cmd := &cobra.Command{
		Use:   "doctor [NAME... | --all]",
		Short: "Say what is wrong with resources, and which command helps",
		Long: `Say what is wrong with resources, and which command helps.

Nothing is changed. Beyond what status shows, drivers look at what a way back will need: for rbd the
peers and rbd-mirror daemons of each direction.

EXIT STATUS
  0  nothing is wrong
  3  something is
  4  wrong usage or configuration`,
		Example: `  ddsgo doctor
  ddsgo doctor img --json`,
		RunE: func(cmd *cobra.Command, args []string) error { return runDoctor(cmd.Context(), g, s, &sel, args) },
	}
	sel.addFlags(cmd)
	return cmd
}

// complaint is one line of doctor.
type complaint struct {
	MessageType string `json:"message_type"`
	Resource    string `json:"resource"`
	Site        string `json:"site"`
	Text        string `json:"text"`
	Next        string `json:"next"`
}

func runDoctor(ctx context.Context, g *globals, s streams, sel *selection, args []string) error {
	env, err := g.load(s)
	if err != nil {
		return err
	}
	names, err := sel.names(ctx, env, args, true)
	if err != nil {
		return err
	}
	lists := each(sel.parallel, names, func(name string) []complaint { return g.examine(ctx, env, name) })
	sick := 0
	for i, list := range lists {
		if len(list) > 0 {
			sick++
		} else if !g.json && !g.quiet {
			fmt.Fprintf(s.out, "%s: nothing is wrong\n", names[i])
		}
		for _, c := range list {
			if err := printComplaint(g, s, c); err != nil {
				return err
			}
		}
	}
	if sick > 0 {
		return failure.With(failure.CodePartial, "", fmt.Sprintf("something is wrong with %d of %d resources", sick, len(names)), "", nil)
	}
	return nil
}

// examine asks the driver, or takes what status says.
func (g *globals) examine(ctx context.Context, env environment, name string) []complaint {
	complain := func(site, text, next string) complaint {
		return complaint{MessageType: "finding", Resource: name, Site: site, Text: text, Next: next}
	}
	d, err := g.open(ctx, env, env.cfg.Resources[name])
	if err != nil {
		return []complaint{complain("", err.Error(), "ddsgo config check")}
	}
	var out []complaint
	if dd, ok := array.As[diagnoser](d); ok {
		findings, err := dd.Diagnose(ctx)
		for _, f := range findings {
			c := complain(f.Site, f.Text, f.Next)
			if !slices.Contains(out, c) {
				out = append(out, c)
			}
		}
		if err != nil {
			out = append(out, complain("", err.Error(), ""))
		}
		return out
	}
	st := g.statusOf(ctx, env, name, doctorTime)
	next := ""
	if st.Next != nil {
		next = *st.Next
	}
	for _, r := range st.Reasons {
		out = append(out, complain("", r.Text, next))
	}
	return out
}

// doctorTime bounds the look at one resource.
const doctorTime = 2 * time.Minute

func printComplaint(g *globals, s streams, c complaint) error {
	if g.json {
		return printJSON(s.out, c)
	}
	where := c.Resource
	if c.Site != "" {
		where += " " + c.Site
	}
	if _, err := fmt.Fprintf(s.out, "%s: %s\n", where, c.Text); err != nil {
		return err
	}
	if c.Next != "" {
		_, err := fmt.Fprintf(s.out, "  next: %s\n", c.Next)
		return err
	}
	return nil
}
