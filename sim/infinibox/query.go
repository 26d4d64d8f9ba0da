package infinibox

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// view is an object as the box shows it. Numbers are int64.
type view map[string]any

const (
	defaultPageSize = 50
	maxPageSize     = 1000
)

// paging is the metadata of a collection.
type paging struct {
	objects, size, pages, page int
}

// collection filters, sorts and pages all, whose members have exactly the given
// fields (of the kind's zero object, so that an empty collection is strict too).
func collection(all []view, fields view, q url.Values) ([]view, paging, *apiError) {
	out := all
	for key, values := range q {
		switch key {
		case "page", "page_size", "sort", "fields":
			continue
		}
		if _, ok := fields[key]; !ok {
			return nil, paging{}, fail(400, "SIM_UNKNOWN_FIELD", "cannot filter by unknown field %q", key)
		}
		for _, value := range values {
			keep, err := parseFilter(key, value)
			if err != nil {
				return nil, paging{}, err
			}
			out = slices.DeleteFunc(slices.Clone(out), func(v view) bool { return !keep(v[key]) })
		}
	}
	if err := sortViews(out, fields, q.Get("sort")); err != nil {
		return nil, paging{}, err
	}
	page, err := positive(q, "page", 1, 1<<30)
	if err != nil {
		return nil, paging{}, err
	}
	size, err := positive(q, "page_size", defaultPageSize, maxPageSize)
	if err != nil {
		return nil, paging{}, err
	}
	p := paging{objects: len(out), size: size, page: page, pages: (len(out) + size - 1) / size}
	start := min((page-1)*size, len(out))
	out = out[start:min(start+size, len(out))]
	for i, v := range out {
		if out[i], err = selectFields(v, q); err != nil {
			return nil, paging{}, err
		}
	}
	return out, p, selectable(fields, q)
}

func positive(q url.Values, key string, absent, limit int) (int, *apiError) {
	if !q.Has(key) {
		return absent, nil
	}
	n, err := strconv.Atoi(q.Get(key))
	if err != nil || n < 1 || n > limit {
		return 0, invalid("%s=%q: expected 1..%d", key, q.Get(key), limit)
	}
	return n, nil
}

func selectable(fields view, q url.Values) *apiError {
	if !q.Has("fields") {
		return nil
	}
	_, err := selectFields(fields, q)
	return err
}

// selectFields returns the fields that ?fields= names, all without it.
func selectFields(v view, q url.Values) (view, *apiError) {
	if !q.Has("fields") {
		return v, nil
	}
	out := view{}
	for name := range strings.SplitSeq(q.Get("fields"), ",") {
		value, ok := v[name]
		if !ok {
			return nil, fail(400, "SIM_UNKNOWN_FIELD", "unknown field %q in fields", name)
		}
		out[name] = value
	}
	return out, nil
}

func sortViews(list []view, fields view, spec string) *apiError {
	if spec == "" {
		return nil
	}
	keys := strings.Split(spec, ",")
	for _, key := range keys {
		if _, ok := fields[strings.TrimPrefix(key, "-")]; !ok {
			return fail(400, "SIM_UNKNOWN_FIELD", "cannot sort by unknown field %q", key)
		}
	}
	slices.SortStableFunc(list, func(a, b view) int {
		for _, key := range keys {
			name, down := strings.CutPrefix(key, "-")
			c := compare(a[name], b[name])
			if down {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
	return nil
}

// compare orders two field values; null is before everything.
func compare(a, b any) int {
	switch {
	case a == nil || b == nil:
		return cmp.Compare(rank(a), rank(b))
	}
	if x, ok := a.(int64); ok {
		if y, ok := b.(int64); ok {
			return cmp.Compare(x, y)
		}
	}
	return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b))
}

func rank(v any) int {
	if v == nil {
		return 0
	}
	return 1
}

var operators = []string{"eq", "ne", "gt", "lt", "ge", "le", "like", "in", "notin", "between", "allof", "anyof", "noneof"}

// parseFilter parses op:value; a value without operator means equality.
func parseFilter(key, text string) (func(any) bool, *apiError) {
	op, operand, ok := strings.Cut(text, ":")
	if !ok || !slices.Contains(operators, op) {
		op, operand = "eq", text
	}
	list := strings.Split(strings.TrimSuffix(strings.TrimPrefix(operand, "("), ")"), ",")
	is := func(v any, s string) bool { return order(v, s) == 0 }
	isAny := func(v any) bool { return slices.ContainsFunc(list, func(s string) bool { return is(v, s) }) }
	switch op {
	case "eq":
		return func(v any) bool { return is(v, operand) }, nil
	case "ne":
		return func(v any) bool { return !is(v, operand) }, nil
	case "gt":
		return func(v any) bool { return v != nil && order(v, operand) > 0 }, nil
	case "lt":
		return func(v any) bool { return v != nil && order(v, operand) < 0 }, nil
	case "ge":
		return func(v any) bool { return v != nil && order(v, operand) >= 0 }, nil
	case "le":
		return func(v any) bool { return v != nil && order(v, operand) <= 0 }, nil
	case "like":
		return func(v any) bool { return v != nil && strings.Contains(fmt.Sprint(v), operand) }, nil
	case "in":
		return isAny, nil
	case "notin":
		return func(v any) bool { return !isAny(v) }, nil
	case "between":
		if len(list) != 2 {
			return nil, invalid("filter %s=%s: between takes two values", key, text)
		}
		return func(v any) bool { return v != nil && order(v, list[0]) >= 0 && order(v, list[1]) <= 0 }, nil
	}
	return listFilter(op, list), nil
}

// listFilter is for fields that are lists themselves.
func listFilter(op string, want []string) func(any) bool {
	return func(v any) bool {
		items, ok := v.([]any)
		if !ok {
			return false
		}
		found := 0
		for _, w := range want {
			if slices.ContainsFunc(items, func(item any) bool { return order(item, w) == 0 }) {
				found++
			}
		}
		switch op {
		case "allof":
			return found == len(want)
		case "anyof":
			return found > 0
		default:
			return found == 0
		}
	}
}

// order compares a field value with the text of a filter, by the field's type.
func order(v any, text string) int {
	if v == nil {
		if text == "null" {
			return 0
		}
		return -1
	}
	if n, ok := v.(int64); ok {
		if want, err := strconv.ParseInt(text, 10, 64); err == nil {
			return cmp.Compare(n, want)
		}
	}
	return cmp.Compare(fmt.Sprint(v), text)
}
