package hp3par

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/ddsgo/ddsgo/array"
)

// Inventory is what an array holds, in the columns of its own command language whatever
// the method is. Values are the array's words; numbers are not converted.
type Inventory struct {
	SchemaVersion int               `json:"schema_version"`
	Array         string            `json:"array"`
	Version       string            `json:"version"`
	Licences      []string          `json:"licences"`
	Sections      map[string]Table  `json:"sections"` // by SectionNames
	Errors        map[string]string `json:"errors"`   // sections that were refused, and why
}

// Sections of an inventory.
const (
	sectionVersion  = "version"
	sectionLicences = "licences"
	sectionSystem   = "system"
	sectionNodes    = "nodes"
	sectionCPGs     = "cpgs"
	sectionPorts    = "ports"
	sectionVolumes  = "volumes"
)

// SectionNames are the tables of an inventory, in the order in which they are shown.
func SectionNames() []string {
	return []string{sectionSystem, sectionNodes, sectionCPGs, sectionPorts, sectionVolumes}
}

// Table is one list, with the names of its columns.
type Table struct {
	Columns []string            `json:"columns"`
	Rows    []map[string]string `json:"rows"`
}

func newTable(columns []string) Table {
	return Table{Columns: columns, Rows: []map[string]string{}}
}

// Columns that are known. Releases differ in showcpg; how many fields a row has tells which
// one it is.
func columnsOf(section string) [][]string {
	return map[string][][]string{
		sectionSystem: {{"ID", "Name", "Model", "Serial", "Nodes", "Master", "TotalCap", "AllocCap", "FreeCap", "FailedCap"}},
		sectionNodes:  {{"Available_Cache", "Control_Mem", "Data_Mem", "InCluster", "LED", "Master", "Name", "Node", "State"}},
		sectionCPGs: {
			{"Id", "Name", "Warn%", "VVs", "TPVVs", "Usr", "Snp", "Usr_Total", "Usr_Used", "Snp_Total", "Snp_Used", "Adm_Total", "Adm_Used"},
			{"Id", "Name", "Warn%", "VVs", "TPVVs", "Usr", "Snp", "Total", "Used"},
		},
		sectionPorts:   {{"N:S:P", "Mode", "State", "Node_WWN", "Port_WWN", "Type", "Protocol", "Label", "Partner", "FailoverState"}},
		sectionVolumes: {slices.Concat(volumeColumns(), rcopyColumns()), volumeColumns()},
	}[section]
}

func volumeColumns() []string {
	return []string{"Name", "VV_WWN", "Prov", "CopyOf", "Tot_Rsvd_MB", "VSize_MB", "UsrCPG", "CreationTime"}
}

// rcopyColumns are asked for where Remote Copy is licensed: elsewhere the array refuses
// the whole command for them.
func rcopyColumns() []string { return []string{"RcopyGroup", "RcopyStatus"} }

// InventoryCommands are the command lines that an inventory sends, for allow-lists.
func InventoryCommands() []string {
	return []string{
		showLicences, "showversion -s", inventoryCommand(sectionSystem, true), inventoryCommand(sectionNodes, true), inventoryCommand(sectionCPGs, true),
		inventoryCommand(sectionPorts, true), inventoryCommand(sectionVolumes, true), inventoryCommand(sectionVolumes, false),
	}
}

func inventoryCommand(section string, remoteCopy bool) string {
	switch section {
	case sectionSystem:
		return "showsys"
	case sectionNodes:
		return "shownode -showcols " + strings.Join(columnsOf(section)[0], ",")
	case sectionCPGs:
		return "showcpg"
	case sectionPorts:
		return "showport"
	}
	columns := volumeColumns()
	if remoteCopy {
		columns = slices.Concat(columns, rcopyColumns())
	}
	return "showvv -showcols " + strings.Join(columns, ",")
}

// inventoryTransport is a transport that can list everything.
type inventoryTransport interface {
	inventory(ctx context.Context, into *Inventory) error
}

var _, _ inventoryTransport = (*commandLine)(nil), (*webServices)(nil)

// Inventory asks for everything that the array holds. What it refuses is told in Errors; the
// error is for an array that does not answer, or that refuses everything.
func (a *Array) Inventory(ctx context.Context) (*Inventory, error) {
	i := &Inventory{SchemaVersion: 1, Array: a.Name, Licences: []string{}, Sections: map[string]Table{}, Errors: map[string]string{}}
	if err := a.t.(inventoryTransport).inventory(ctx, i); err != nil {
		return nil, typed(a.Name, err)
	}
	if len(i.Sections) == 0 {
		first := slices.Sorted(maps.Keys(i.Errors))[0]
		return nil, array.ArrayError(a.Name, 1, "the array refused every question", errors.New(i.Errors[first]))
	}
	return i, nil
}

// refused keeps a refusal with its section; any other error ends the inventory.
func (i *Inventory) refused(section string, err error) error {
	var no *rejection
	if errors.As(err, &no) || errors.Is(err, ErrOutput) {
		i.Errors[section] = err.Error()
		return nil
	}
	return err
}

// inventory implements inventoryTransport.
func (c *commandLine) inventory(ctx context.Context, into *Inventory) error {
	out, err := c.ask(ctx, showLicences, true)
	if err == nil {
		into.Licences = parseLicences(out)
	} else if err = into.refused(sectionLicences, err); err != nil {
		return err
	}
	if out, err = c.ask(ctx, "showversion -s", true); err == nil {
		into.Version = strings.TrimSpace(out)
	} else if err = into.refused(sectionVersion, err); err != nil {
		return err
	}
	remoteCopy := volumeListing{licences: into.Licences}.licensed(licenceRemote)
	for _, section := range SectionNames() {
		out, err := c.ask(ctx, inventoryCommand(section, remoteCopy), true)
		var t Table
		if err == nil {
			t, err = parseTable(out, columnsOf(section))
		}
		if err == nil {
			into.Sections[section] = t
		} else if err := into.refused(section, err); err != nil {
			return err
		}
	}
	return nil
}

// parseTable reads a list in CSV. known are the sets of columns that it may have; a header
// row goes before them, and columns of an unknown number are called column1, column2.
func parseTable(out string, known [][]string) (Table, error) {
	if text := complaint(out); text != "" {
		return Table{}, &rejection{rc: 1, text: text}
	}
	list, err := rows(out)
	if err != nil {
		return Table{}, err
	}
	t := newTable(nil)
	for _, f := range list {
		for i := range f {
			f[i] = strings.TrimSpace(f[i])
		}
		switch {
		case len(f) == 1, strings.Join(f, "") == "", len(f) == 2 && f[1] == "total":
			continue // a remark, a banner, a total
		case t.Columns == nil && f[0] == known[0][0] && f[1] == known[0][1]:
			t.Columns = columnsFor(known, f, f)
			continue
		case t.Columns == nil:
			t.Columns = columnsFor(known, f, nil)
		}
		if len(f) != len(t.Columns) {
			return Table{}, fmt.Errorf("%w: a row has %d fields, %d were expected: %q", ErrOutput, len(f), len(t.Columns), f)
		}
		row := make(map[string]string, len(f))
		for i, name := range t.Columns {
			row[name] = f[i]
		}
		t.Rows = append(t.Rows, row)
	}
	if t.Columns == nil {
		t.Columns = known[0]
	}
	return t, nil
}

// columnsFor are the known columns of a row's length, else those of its header, else
// numbered ones.
func columnsFor(known [][]string, row, header []string) []string {
	for _, k := range known {
		if len(k) == len(row) {
			return k
		}
	}
	columns := make([]string, len(row))
	for i := range row {
		columns[i] = fmt.Sprintf("column%d", i+1)
		if header != nil && header[i] != "" && !slices.Contains(columns[:i], header[i]) {
			columns[i] = header[i]
		}
	}
	return columns
}

// Print writes the inventory for people.
func (i *Inventory) Print(w io.Writer) error {
	fmt.Fprintf(w, "%s, release %s\nlicences: %s\n", i.Array, cmp.Or(i.Version, "unknown"), cmp.Or(strings.Join(i.Licences, ", "), "none"))
	for _, section := range SectionNames() {
		t, ok := i.Sections[section]
		if !ok {
			continue
		}
		fmt.Fprintf(w, "\n%s (%d)\n", section, len(t.Rows))
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(tw, "  "+strings.Join(t.Columns, "\t"))
		for _, row := range t.Rows {
			values := make([]string, len(t.Columns))
			for n, name := range t.Columns {
				values[n] = row[name]
			}
			fmt.Fprintln(tw, "  "+strings.Join(values, "\t"))
		}
		if err := tw.Flush(); err != nil {
			return fmt.Errorf("inventory: %w", err)
		}
	}
	for _, section := range slices.Sorted(maps.Keys(i.Errors)) {
		fmt.Fprintf(w, "\n%s: not read: %s\n", section, i.Errors[section])
	}
	return nil
}

// Complete says that nothing was refused.
func (i *Inventory) Complete() bool { return len(i.Errors) == 0 }
