package hp3par

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

func inventoryCommands() map[string]command {
	return map[string]command{
		"showsys":     {flags: flagSet("-d"), syntax: "showsys", run: showSystem},
		"shownode":    {flags: flagSet("", "-showcols"), syntax: "shownode [-showcols col,...]", run: showNodes},
		"showcpg":     {max: -1, syntax: "showcpg [cpg...]", run: showCPGs},
		"showport":    {syntax: "showport", run: showPorts},
		"showversion": {flags: flagSet("-s -b"), syntax: "showversion [-s] [-b]", run: showVersion},
		"showlicense": {flags: flagSet("-raw"), syntax: "showlicense", run: showLicence},
		"showuser":    {max: -1, syntax: "showuser [user...]", run: showUsers},
		"showdate":    {syntax: "showdate", run: showDate},
		"showtask":    {flags: flagSet("-active -all -done", "-d"), max: -1, syntax: "showtask [-active|-done|-all] [-d id] [id...]", run: showTasks},
		"waittask":    {flags: flagSet("-v -q"), min: 1, max: -1, syntax: "waittask id...", run: waitTasks},
	}
}

func (c *cli) usedMiB() int64 {
	var used int64
	for _, v := range c.a.volumes {
		if v.prov != "snp" {
			used += v.size / mib
		}
	}
	return used
}

const totalMiB = 20054016

func showSystem(_ context.Context, c *cli, _ input) error {
	return c.locked(func() *opError {
		used := c.usedMiB()
		c.print(table{
			header: []string{"ID", "Name", "Model", "Serial", "Nodes", "Master", "TotalCap", "AllocCap", "FreeCap", "FailedCap"},
			rows: [][]string{{strconv.Itoa(c.a.systemID), c.a.name, c.a.profile.model, c.a.serial, "2", "0",
				strconv.Itoa(totalMiB), strconv.FormatInt(used, 10), strconv.FormatInt(totalMiB-used, 10), "0"}},
		})
		return nil
	})
}

func showNodes(_ context.Context, c *cli, in input) error {
	columns := []string{"Node", "Name", "State", "Master", "InCluster", "LED", "Control_Mem", "Data_Mem", "Available_Cache"}
	known := slices.Clone(columns)
	if in.has("-showcols") {
		columns = strings.Split(in.flags["-showcols"], ",")
	}
	for _, name := range columns {
		if !slices.Contains(known, name) {
			return fmt.Errorf("Invalid column name %q", name)
		}
	}
	return c.locked(func() *opError {
		t := table{header: columns}
		for n := range 2 {
			values := map[string]string{
				"Node": strconv.Itoa(n), "Name": fmt.Sprintf("%s-%d", c.a.serial, n), "State": "OK", "Master": yesNo(n == 0), "InCluster": "Yes",
				"LED": "GreenBlnk", "Control_Mem": "32768", "Data_Mem": "32768", "Available_Cache": "100",
			}
			row := make([]string, len(columns))
			for i, name := range columns {
				row[i] = values[name]
			}
			t.rows = append(t.rows, row)
		}
		c.print(t)
		return nil
	})
}

func yesNo(b bool) string {
	if b {
		return "Yes"
	}
	return "No"
}

func showCPGs(_ context.Context, c *cli, in input) error {
	return c.locked(func() *opError {
		t := table{header: []string{"Id", "Name", "Warn%", "VVs", "TPVVs", "Usr", "Snp", "Total", "Used", "Total", "Used", "Total", "Used"}}
		for _, p := range c.a.cpgs {
			if len(in.pos) > 0 && !slices.Contains(in.pos, p.name) {
				continue
			}
			all, thin, used := 0, 0, int64(0)
			for _, v := range c.a.volumes {
				if v.userCPG != p.name {
					continue
				}
				all++
				if v.prov == "tpvv" || v.prov == "tdvv" {
					thin++
				}
				used += v.size / mib
			}
			n := strconv.FormatInt(used, 10)
			t.rows = append(t.rows, []string{strconv.Itoa(p.id), p.name, "-", strconv.Itoa(all), strconv.Itoa(thin),
				strconv.Itoa(all), "0", n, n, "0", "0", "0", "0"})
		}
		t.total = []string{strconv.Itoa(len(t.rows)), "total"}
		c.print(t)
		return nil
	})
}

func showPorts(_ context.Context, c *cli, _ input) error {
	return c.locked(func() *opError {
		t := table{header: []string{"N:S:P", "Mode", "State", "Node_WWN", "Port_WWN", "Type", "Protocol", "Label", "Partner", "FailoverState"}}
		node := fmt.Sprintf("2FF70002AC%06X", c.a.systemID)
		for n := range 2 {
			t.rows = append(t.rows,
				[]string{fmt.Sprintf("%d:1:1", n), "target", "ready", node, fmt.Sprintf("2%d110002AC%06X", n, c.a.systemID), "host", "FC", "-", fmt.Sprintf("%d:1:1", 1-n), "none"},
				[]string{fmt.Sprintf("%d:3:1", n), "peer", c.linkPortState(), "-", fmt.Sprintf("0002AC%06X", c.a.systemID+n), "rcip", "IP", "RCIP" + strconv.Itoa(n), "-", "-"})
		}
		t.total = []string{strconv.Itoa(len(t.rows)), "total"}
		c.print(t)
		return nil
	})
}

func (c *cli) linkPortState() string {
	if c.m.linked {
		return "ready"
	}
	return "loss_sync"
}

func showVersion(_ context.Context, c *cli, in input) error {
	return c.locked(func() *opError {
		if in.has("-s") {
			c.printf("%s\n", c.a.profile.release)
			return nil
		}
		c.printf("Release version %s\nPatches:  None\n\nComponent Name                   Version\nCLI Server                       %s\nCLI Client                       %s\nKernel                           %s\n",
			c.a.profile.release, c.a.profile.release, c.a.profile.release, c.a.profile.release)
		return nil
	})
}

func showLicence(_ context.Context, c *cli, _ input) error {
	return c.locked(func() *opError {
		c.printf("License key was generated on %s\n\nLicense features currently enabled:\n", c.m.cliTime(c.a, c.m.now.AddDate(-1, 0, 0)))
		for _, l := range c.a.licences {
			c.printf("%s\n", l)
		}
		return nil
	})
}

func showUsers(_ context.Context, c *cli, in input) error {
	return c.locked(func() *opError {
		t := table{header: []string{"Username", "Domain", "Role", "Default"}}
		for _, name := range slices.Sorted(maps.Keys(c.a.users)) {
			if len(in.pos) == 0 || slices.Contains(in.pos, name) {
				t.rows = append(t.rows, []string{name, "all", c.a.users[name].role, "N"})
			}
		}
		t.total = []string{strconv.Itoa(len(t.rows)), "total"}
		c.print(t)
		return nil
	})
}

func showDate(_ context.Context, c *cli, _ input) error {
	return c.locked(func() *opError {
		now := c.m.cliTime(c.a, c.m.now)
		c.print(table{header: []string{"Node", "Date"}, rows: [][]string{{"0", now}, {"1", now}}})
		return nil
	})
}

func (c *cli) taskRow(t *task) []string {
	kind := taskTypeNames[t.kind]
	return []string{strconv.Itoa(t.id), kind, t.name, t.status.String(), "---", "---",
		c.m.cliTime(c.a, t.started), dashes(strings.TrimSuffix(c.m.cliTime(c.a, t.finished), "NA")), "n/a", t.user}
}

func showTasks(_ context.Context, c *cli, in input) error {
	wanted := in.pos
	if in.has("-d") {
		wanted = append(wanted, in.flags["-d"])
	}
	return c.locked(func() *opError {
		t := table{header: []string{"Id", "Type", "Name", "Status", "Phase", "Step", "StartTime", "FinishTime", "Priority", "User"}}
		for _, id := range wanted {
			n, err := strconv.Atoi(id)
			if err != nil || c.a.task(n) == nil {
				return refuse(145, 404, "task %s does not exist", id)
			}
		}
		for _, x := range c.a.tasks {
			if (len(wanted) > 0 && !slices.Contains(wanted, strconv.Itoa(x.id))) ||
				(in.has("-active") && x.status != taskActive) || (in.has("-done") && x.status == taskActive) {
				continue
			}
			t.rows = append(t.rows, c.taskRow(x))
		}
		if len(t.rows) == 0 {
			c.printf("No tasks.\n")
			return nil
		}
		c.print(t)
		return nil
	})
}

func waitTasks(ctx context.Context, c *cli, in input) error {
	for _, word := range in.pos {
		var t *task
		err := c.locked(func() *opError {
			id, err := strconv.Atoi(word)
			if err == nil {
				t = c.a.task(id)
			}
			if t == nil {
				return refuse(145, 404, "task %s does not exist", word)
			}
			return nil
		})
		if err != nil {
			return err
		}
		state, err := c.m.wait(ctx, t)
		if err != nil {
			return err
		}
		c.printf("Task %d %s\n", t.id, state)
		if state != taskDone {
			return errSilent
		}
	}
	return nil
}
