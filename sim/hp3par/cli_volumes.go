package hp3par

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

func volumeCommands() map[string]command {
	return map[string]command{
		"showvv": {flags: flagSet("-p -d", "-showcols", "-type", "-prov", "-copyof", "-rcopygroup", "-cpg"), max: -1,
			syntax: "showvv [-showcols col,...] [-p [-type base|vcopy] [-prov p] [-copyof vv] [-rcopygroup g] [-cpg c]] [vv...]", run: showVolumes},
		"setvv": {writes: true, flags: flagSet("-f", "-comment"), min: 1, max: -1, syntax: "setvv [-f] -comment c vv...", run: setVolumeCommand},
		"createvv": {writes: true, flags: flagSet("-tpvv -tdvv -dedup -compr", "-snp_cpg", "-comment"), min: 3, max: 3,
			syntax: "createvv [-tpvv|-tdvv] [-compr] [-snp_cpg cpg] [-comment c] cpg vv size[m|g|t]", run: createVolumeCommand},
		"removevv":  {writes: true, flags: flagSet("-f -snaponly"), min: 1, max: -1, syntax: "removevv [-f] vv...", run: removeVolumeCommand},
		"growvv":    {writes: true, flags: flagSet("-f"), min: 2, max: 2, syntax: "growvv [-f] vv size[m|g|t]", run: growVolumeCommand},
		"createsv":  {writes: true, flags: flagSet("-ro", "-exp"), min: 2, max: 2, syntax: "createsv [-ro] [-exp time] snapshot vv", run: createSnapshotCommand},
		"updatevv":  {writes: true, flags: flagSet("-f -ro"), min: 1, max: -1, syntax: "updatevv [-f] snapshot...", run: updateCommand},
		"showvvset": {max: -1, syntax: "showvvset [set...]", run: showVolumeSets},
		"showhost":  {max: -1, syntax: "showhost [host...]", run: showHosts},
		"createhost": {writes: true, flags: flagSet("-iscsi", "-persona"), min: 1, max: -1,
			syntax: "createhost [-iscsi] [-persona n] host [wwn|iqn...]", run: createHostCommand},
		"removehost": {writes: true, flags: flagSet("-f"), min: 1, max: 1, syntax: "removehost [-f] host", run: removeHostCommand},
		"showvlun":   {flags: flagSet("-t -a", "-host", "-v"), max: 0, syntax: "showvlun [-t|-a] [-host h] [-v vv]", run: showExports},
		"createvlun": {writes: true, flags: flagSet("-f"), min: 3, max: 3, syntax: "createvlun vv lun|auto host", run: createExportCommand},
		"removevlun": {writes: true, flags: flagSet("-f"), min: 3, max: 3, syntax: "removevlun [-f] vv lun host", run: removeExportCommand},
	}
}

// volumeColumns are the columns of showvv, by the name that -showcols knows.
func (c *cli) volumeColumn(name string, v *volume) (string, bool) {
	mb := strconv.FormatInt(v.size/mib, 10)
	group, state := "-", "normal"
	groupStatus := "-"
	if v.group != nil {
		group, groupStatus = v.group.name, string(v.group.status)
	}
	kind, base := "base", v.id
	if v.prov == "snp" {
		kind = "vcopy"
		if parent := c.a.volumes[v.copyOf]; parent != nil {
			base = parent.id
		}
	}
	access := "RW"
	if v.readOnly || (v.group != nil && v.group.role == secondary) {
		access = "RO"
	}
	created, expires := c.m.cliTime(c.a, v.created), "--"
	if !v.expires.IsZero() {
		expires = c.m.cliTime(c.a, v.expires)
	}
	columns := map[string]string{
		"Id": strconv.Itoa(v.id), "Name": v.name, "Prov": v.prov, "Type": kind, "CopyOf": dashes(v.copyOf), "BsId": strconv.Itoa(base),
		"Rd": access, "State": state, "Detailed_State": state, "VV_WWN": v.wwn, "CreationTime": created, "ExpirationTime": expires,
		"Tot_Rsvd_MB": mb, "VSize_MB": mb, "Adm": "0", "Snp": "0", "Usr": mb, "VSize": mb, "UsrCPG": dashes(v.userCPG),
		"SnpCPG": dashes(v.snapCPG), "RcopyGroup": group, "RcopyStatus": groupStatus, "Comment": dashes(v.comment), "Domain": "-", "Compr": yesOrNA(v),
	}
	text, ok := columns[name]
	return text, ok
}

// yesOrNA is the column Compr: full volumes cannot be compressed.
func yesOrNA(v *volume) string {
	switch {
	case v.prov == "full":
		return "NA"
	case v.compress:
		return "Yes"
	}
	return "No"
}

func dashes(s string) string {
	if s == "" {
		return "---"
	}
	return s
}

func showVolumes(_ context.Context, c *cli, in input) error {
	columns := []string{"Id", "Name", "Prov", "Type", "CopyOf", "BsId", "Rd", "Detailed_State", "Adm", "Snp", "Usr", "VSize"}
	plain := !in.has("-showcols")
	if !plain {
		columns = strings.Split(in.flags["-showcols"], ",")
	}
	for _, f := range []string{"-type", "-prov", "-copyof", "-rcopygroup", "-cpg"} {
		if in.has(f) && !in.has("-p") {
			return fmt.Errorf("%w: showvv: Invalid: %s needs -p", errSyntax, f)
		}
	}
	return c.locked(func() *opError {
		t := table{header: columns}
		for _, v := range sortedVolumes(c.a) {
			if !c.volumeMatches(in, v) {
				continue
			}
			row := make([]string, len(columns))
			for i, name := range columns {
				row[i], _ = c.volumeColumn(name, v)
			}
			t.rows = append(t.rows, row)
		}
		for _, name := range columns {
			unlicensed := strings.HasPrefix(name, "Rcopy") && !c.a.licensed("Remote Copy")
			if _, ok := c.volumeColumn(name, &volume{}); !ok || unlicensed {
				return errInput("", "Invalid column name %q", name)
			}
		}
		if len(t.rows) == 0 {
			c.printf("no vv listed\n")
			return nil
		}
		if plain && !c.bare {
			c.printf("%s\n", volumeBanner(c.csv))
		}
		if plain {
			t.total = []string{strconv.Itoa(len(t.rows)), "total"}
		}
		c.print(t)
		return nil
	})
}

// volumeBanner is the line above showvv's column names.
func volumeBanner(csv bool) string {
	if csv {
		return ",,,,,,,,-Rsvd(MB)-,-Rsvd(MB)-,-Rsvd(MB)-,-(MB)-"
	}
	return strings.Repeat(" ", 60) + "-Rsvd(MB)- -(MB)-"
}

func (c *cli) volumeMatches(in input, v *volume) bool {
	match := func(flag, value string) bool {
		return !in.has(flag) || slices.ContainsFunc(strings.Split(in.flags[flag], ","), func(p string) bool {
			ok, err := path.Match(p, value)
			return ok && err == nil
		})
	}
	kind, group := "base", ""
	if v.prov == "snp" {
		kind = "vcopy"
	}
	if v.group != nil {
		group = v.group.name
	}
	named := len(in.pos) == 0 || slices.ContainsFunc(in.pos, func(p string) bool {
		ok, err := path.Match(p, v.name)
		return ok && err == nil
	})
	return named && match("-type", kind) && match("-prov", v.prov) && match("-copyof", v.copyOf) &&
		match("-rcopygroup", group) && match("-cpg", v.userCPG)
}

// parseSize reads a size in MiB, or with suffix m, g or t.
func parseSize(s string) (int64, error) {
	unit, digits := mib, s
	if s != "" {
		switch s[len(s)-1] {
		case 'm', 'M':
			digits = s[:len(s)-1]
		case 'g', 'G':
			unit, digits = mib<<10, s[:len(s)-1]
		case 't', 'T':
			unit, digits = mib<<20, s[:len(s)-1]
		}
	}
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("Invalid size %q", s)
	}
	return n * unit, nil
}

func createVolumeCommand(_ context.Context, c *cli, in input) error {
	size, err := parseSize(in.pos[2])
	if err != nil {
		return err
	}
	s := volumeSpec{cpg: in.pos[0], name: in.pos[1], size: size, snapCPG: in.flags["-snp_cpg"], comment: in.flags["-comment"], prov: "full"}
	if in.has("-tpvv") {
		s.prov = "tpvv"
	}
	if in.has("-tdvv") || in.has("-dedup") {
		s.prov = "tdvv"
	}
	s.compress = in.has("-compr")
	return c.locked(func() *opError {
		_, err := c.m.createVolume(c.a, s)
		return err
	})
}

// setVolumeCommand changes the comment; an empty one removes it. All names are checked first.
func setVolumeCommand(_ context.Context, c *cli, in input) error {
	if !in.has("-comment") {
		return fmt.Errorf("%w: setvv: Invalid: an option must be given", errSyntax)
	}
	if len(in.flags["-comment"]) > maxComment {
		return fmt.Errorf("Invalid comment: more than %d characters", maxComment)
	}
	return c.locked(func() *opError {
		for _, name := range in.pos {
			if c.a.volumes[name] == nil {
				return errVolumeMissing(name)
			}
		}
		for _, name := range in.pos {
			c.a.volumes[name].comment = in.flags["-comment"]
		}
		return nil
	})
}

func removeVolumeCommand(_ context.Context, c *cli, in input) error {
	for _, name := range in.pos {
		if err := c.confirm(in, fmt.Sprintf("Are you sure you want to remove the virtual volume %s?", name)); err != nil {
			return err
		}
		c.printf("Removing vv %s\n", name)
		if err := c.locked(func() *opError { return c.m.removeVolume(c.a, name) }); err != nil {
			return err
		}
	}
	return nil
}

func growVolumeCommand(_ context.Context, c *cli, in input) error {
	size, err := parseSize(in.pos[1])
	if err != nil {
		return err
	}
	if err := c.confirm(in, fmt.Sprintf("Are you sure you want to grow %s?", in.pos[0])); err != nil {
		return err
	}
	return c.locked(func() *opError { return c.m.growVolume(c.a, in.pos[0], size) })
}

func createSnapshotCommand(_ context.Context, c *cli, in input) error {
	var keep time.Duration
	if in.has("-exp") {
		d, err := parsePeriod(in.flags["-exp"])
		if err != nil {
			return err
		}
		keep = d
	}
	return c.locked(func() *opError { return c.m.snapshot(c.a, in.pos[1], in.pos[0], in.has("-ro"), keep) })
}

func updateCommand(_ context.Context, c *cli, in input) error {
	if err := c.confirm(in, "Are you sure you want to update "+strings.Join(in.pos, " ")+"?"); err != nil {
		return err
	}
	if err := c.locked(func() *opError { return c.m.update(c.a, in.pos) }); err != nil {
		return err
	}
	c.printf("Updating VVs %s\n", strings.Join(in.pos, " "))
	return nil
}

func showVolumeSets(_ context.Context, c *cli, in input) error {
	return c.locked(func() *opError {
		t := table{header: []string{"Id", "Name", "Members"}}
		for i, s := range sortedSets(c.a) {
			if len(in.pos) == 0 || slices.Contains(in.pos, s.name) {
				t.rows = append(t.rows, []string{strconv.Itoa(i + 1), s.name, dashes(strings.Join(s.members, " "))})
			}
		}
		c.print(t)
		return nil
	})
}
