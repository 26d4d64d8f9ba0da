package hp3par

import "strings"

// table is what a show command prints, in either form.
type table struct {
	header []string
	rows   [][]string
	total  []string // nil: none
}

// print writes t as the session's environment asks: CSV or columns, with or
// without header and total lines.
func (c *cli) print(t table) {
	bare := c.bare && !c.m.faultOn(c.a, "header_rows")
	var lines [][]string
	if !bare {
		lines = append(lines, t.header)
	}
	lines = append(lines, t.rows...)
	if c.csv {
		for _, l := range lines {
			c.printf("%s\n", csvLine(l))
		}
	} else {
		c.columns(lines, t.total)
	}
	if t.total == nil || c.bare {
		return
	}
	c.printf("%s\n", strings.Repeat("-", 60))
	if c.csv {
		c.printf("%s\n", csvLine(t.total))
		return
	}
	c.columns([][]string{t.total}, nil)
}

// columns prints lines padded to equal width.
func (c *cli) columns(lines [][]string, extra []string) {
	var width []int
	for _, l := range append(lines[:len(lines):len(lines)], extra) {
		for i, f := range l {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], len(f))
		}
	}
	for _, l := range lines {
		var b strings.Builder
		for i, f := range l {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(f)
			if i+1 < len(l) {
				b.WriteString(strings.Repeat(" ", width[i]-len(f)))
			}
		}
		c.printf("%s\n", b.String())
	}
}

// csvLine joins fields the way the array does: quotes only around a field that
// contains a comma.
func csvLine(fields []string) string {
	out := make([]string, len(fields))
	for i, f := range fields {
		if strings.Contains(f, ",") {
			f = `"` + f + `"`
		}
		out[i] = f
	}
	return strings.Join(out, ",")
}
