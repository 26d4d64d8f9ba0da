package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/rbd"
	"github.com/ddsgo/ddsgo/internal/failure"
)

func newArrayImagesCommand(g *globals, s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "images NAME",
		Short: "List every mirrored image of an rbd resource's pool, as its daemons last reported it",
		Long: `List every mirrored image of an rbd resource's pool, as its daemons last reported it.

Two calls to Ceph, however many images there are. The reports are up to 30 s old, and as old as
their age says when a daemon is gone: "ddsgo status NAME:IMAGE" asks both clusters about one image.

EXIT STATUS
  0  listed
  3  one cluster did not answer; what the other one says is listed
  4  unknown resource, or not an rbd one`,
		Example: `  ddsgo array images img
  ddsgo array images img --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return listImages(cmd.Context(), g, s, args[0]) },
	}
}

func listImages(ctx context.Context, g *globals, s streams, name string) error {
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
	rows, err := rbd.Overview(ctx, r.RBD.Pool, sites, clis)
	if g.json {
		if printErr := printJSON(s.out, map[string]any{"schema_version": 1, "resource": name, "pool": r.RBD.Pool, "images": rows}); printErr != nil {
			return printErr
		}
	} else {
		printImages(s, sites, rows)
	}
	if err != nil {
		return failure.With(failure.CodePartial, name, "not every cluster answered", "ddsgo doctor "+name, err)
	}
	return nil
}

func printImages(s streams, sites [2]rbd.Site, rows []rbd.ImageSummary) {
	t := table.NewWriter()
	t.SetOutputMirror(s.out)
	t.SetStyle(table.StyleLight)
	t.Style().Options = table.OptionsNoBordersAndSeparators
	t.AppendHeader(table.Row{"IMAGE", strings.ToUpper(sites[0].Name), "AGE", strings.ToUpper(sites[1].Name), "AGE"})
	for _, r := range rows {
		row := table.Row{r.Image}
		for _, site := range sites {
			side := r.Sides[site.Name]
			age := "-"
			if side.AgeSeconds != nil {
				age = (time.Duration(*side.AgeSeconds) * time.Second).String()
			}
			row = append(row, side.State+" "+side.Description, age)
		}
		t.AppendRow(row)
	}
	t.Render()
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
	names, err := sel.names(ctx, env.cfg, args, true)
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
