package hp3par_test

import (
	"slices"
	"strconv"
	"strings"
)

// A combination is written as "factor=level,factor=level" with numbers, in the order of factors.

// combinations are all of so many factors.
func combinations(strength int) map[string]bool {
	out := map[string]bool{}
	var extend func(from int, left int, so string)
	extend = func(from, left int, so string) {
		if left == 0 {
			out[strings.TrimPrefix(so, ",")] = true
			return
		}
		for f := from; f < len(factors); f++ {
			for l := range factors[f].levels {
				extend(f+1, left-1, so+","+strconv.Itoa(f)+"="+strconv.Itoa(l))
			}
		}
	}
	extend(0, strength, "")
	return out
}

func parseCombination(c string) settings {
	s := settings{}
	for _, part := range strings.Split(c, ",") {
		f, l, _ := strings.Cut(part, "=")
		factor, _ := strconv.Atoi(f) // written by combinations
		level, _ := strconv.Atoi(l)
		s[factors[factor].name] = factors[factor].levels[level]
	}
	return s
}

// covered counts the open combinations of a row in which a factor takes part ("" for any), and closes
// them if asked to.
func covered(row settings, with string, strength int, open map[string]bool, closeThem bool) int {
	var set []int // factors with a level
	for n, f := range factors {
		if row[f.name] != "" {
			set = append(set, n)
		}
	}
	count := 0
	var extend func(from, left int, so string, has bool)
	extend = func(from, left int, so string, has bool) {
		if left == 0 {
			key := strings.TrimPrefix(so, ",")
			if has && open[key] {
				count++
				if closeThem {
					open[key] = false
				}
			}
			return
		}
		for n := from; n < len(set); n++ {
			f := factors[set[n]]
			level := slices.Index(f.levels, row[f.name])
			extend(n+1, left-1, so+","+strconv.Itoa(set[n])+"="+strconv.Itoa(level), has || with == "" || f.name == with)
		}
	}
	extend(0, strength, "", false)
	return count
}
