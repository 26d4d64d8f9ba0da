package infinibox

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
)

// object is a JSON object whose keys must all be asked for: finish refuses the
// rest. The first problem found is kept in err, later reads return zero values.
type object struct {
	where string
	keys  map[string]json.RawMessage
	known []string
	err   *apiError
}

// parseObject decodes one JSON object; an absent body is an empty object.
func parseObject(where string, raw []byte) *object {
	o := &object{where: where, keys: map[string]json.RawMessage{}}
	if len(bytes.TrimSpace(raw)) == 0 {
		return o
	}
	if err := parseValue(raw, &o.keys); err != nil {
		o.err = invalid("%s: expected a JSON object: %v", where, err)
	} else if o.keys == nil {
		o.err = invalid("%s: expected a JSON object, got null", where)
	}
	return o
}

// parseValue decodes exactly one JSON value.
func parseValue(raw []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errTrailing
	}
	return nil
}

type textError string

func (e textError) Error() string { return string(e) }

const errTrailing = textError("more than one JSON value")

func (o *object) fail(e *apiError) {
	if o.err == nil {
		o.err = e
	}
}

// raw returns the value of key, nil when it is absent or null.
func (o *object) raw(key string) json.RawMessage {
	if !slices.Contains(o.known, key) {
		o.known = append(o.known, key)
	}
	v := o.keys[key]
	if string(v) == "null" {
		return nil
	}
	return v
}

// has reports whether key is present, even as null.
func (o *object) has(key string) bool {
	_, ok := o.keys[key]
	return ok
}

func (o *object) need(keys ...string) {
	for _, key := range keys {
		if o.raw(key) == nil {
			o.fail(invalid("%s: %q is required", o.where, key))
		}
	}
}

func decode[T any](o *object, key, kind string) (T, bool) {
	var v T
	raw := o.raw(key)
	if raw == nil {
		return v, false
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		o.fail(invalid("%s: %q must be %s, got %s", o.where, key, kind, raw))
		return v, false
	}
	return v, true
}

func (o *object) text(key string) string {
	v, _ := decode[string](o, key, "a string")
	return v
}

func (o *object) flag(key string, absent bool) bool {
	if v, ok := decode[bool](o, key, "true or false"); ok {
		return v
	}
	return absent
}

func (o *object) number(key string, absent int64) int64 {
	if v, ok := decode[int64](o, key, "a whole number"); ok {
		return v
	}
	return absent
}

func (o *object) optional(key string) *int64 {
	if v, ok := decode[int64](o, key, "a whole number"); ok {
		return &v
	}
	return nil
}

func (o *object) oneOf(key, absent string, allowed ...string) string {
	v, ok := decode[string](o, key, "a string")
	if !ok {
		return absent
	}
	if !slices.Contains(allowed, v) {
		o.fail(invalid("%s: %q is %q, expected one of %s", o.where, key, v, strings.Join(allowed, ", ")))
	}
	return v
}

// objects returns the array of objects at key.
func (o *object) objects(key string) []*object {
	list, _ := decode[[]json.RawMessage](o, key, "an array")
	out := make([]*object, 0, len(list))
	for _, raw := range list {
		out = append(out, parseObject(key, raw))
	}
	return out
}

// finish returns the first problem, or the complaint about a key nobody asked for.
func (o *object) finish() *apiError {
	if o.err != nil {
		return o.err
	}
	for key := range o.keys {
		if !slices.Contains(o.known, key) {
			return fail(400, "SIM_UNKNOWN_FIELD", "%s: unknown key %q (known: %s)", o.where, key, strings.Join(o.known, ", "))
		}
	}
	return nil
}
