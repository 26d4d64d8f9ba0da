package control

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// ValueType is what the value of a fault kind may be.
type ValueType string

const (
	Bool   ValueType = "bool"   // true when absent; false is the same as no fault
	Number ValueType = "number" // required
	Text   ValueType = "text"   // required
	Any    ValueType = "any"    // checked by the simulator
)

// Fault is one injected fault; see the package comment for the meaning.
type Fault struct {
	ID    int             `json:"id"`
	Array string          `json:"array"`
	Kind  string          `json:"kind"`
	Value json.RawMessage `json:"value,omitempty"`
	Match string          `json:"match,omitempty"`
	Count int             `json:"count,omitempty"`
}

// NewFault returns a fault of the kind for array ("": all) with the given value
// (nil: none).
func NewFault(array, kind string, value any) (Fault, error) {
	f := Fault{Array: array, Kind: kind}
	if value == nil {
		return f, nil
	}
	raw, err := json.Marshal(value)
	f.Value = raw
	return f, err
}

// On reports whether a fault of type Bool is switched on.
func (f Fault) On() bool { return string(f.Value) != "false" }

// Number returns the value as a number, 0 when there is none.
func (f Fault) Number() float64 {
	var n float64
	_ = json.Unmarshal(f.Value, &n) // the type was checked by Add
	return n
}

// Text returns the value as text, "" when there is none.
func (f Fault) Text() string {
	var s string
	_ = json.Unmarshal(f.Value, &s) // the type was checked by Add
	return s
}

// Seconds returns the value as a duration in seconds.
func (f Fault) Seconds() time.Duration { return time.Duration(f.Number() * float64(time.Second)) }

// Milliseconds returns the value as a duration in milliseconds.
func (f Fault) Milliseconds() time.Duration {
	return time.Duration(f.Number() * float64(time.Millisecond))
}

// Faults is the set of faults in force. It is safe for concurrent use.
type Faults struct {
	kinds    map[string]ValueType
	arrays   []string
	onChange func()
	check    func(Fault) error // nil: no further check

	mu     sync.Mutex
	nextID int
	faults []Fault
}

// NewFaults returns an empty set that accepts the given kinds for the given
// arrays. onChange (may be nil) is called after every change made by Add, Clear
// and Take, without any lock held.
func NewFaults(kinds map[string]ValueType, arrays []string, onChange func()) *Faults {
	if onChange == nil {
		onChange = func() {}
	}
	return &Faults{kinds: kinds, arrays: arrays, onChange: onChange}
}

// SetCheck lets a simulator refuse values that only it can judge. It must be
// called before the set is used.
func (s *Faults) SetCheck(check func(Fault) error) { s.check = check }

// Add puts a fault in force and returns its number.
func (s *Faults) Add(f Fault) (int, error) {
	want, ok := s.kinds[f.Kind]
	if !ok {
		return 0, fmt.Errorf("%w: unknown fault kind %q (known: %s)", ErrBadRequest, f.Kind, strings.Join(s.kindNames(), ", "))
	}
	if f.Array != "" && !slices.Contains(s.arrays, f.Array) {
		return 0, fmt.Errorf("%w: array %q (have: %s)", ErrNotFound, f.Array, strings.Join(s.arrays, ", "))
	}
	if f.Count < 0 {
		return 0, fmt.Errorf("%w: count %d is negative", ErrBadRequest, f.Count)
	}
	if err := checkValue(f.Value, want); err != nil {
		return 0, fmt.Errorf("%w: fault %s: %w", ErrBadRequest, f.Kind, err)
	}
	if s.check != nil {
		if err := s.check(f); err != nil {
			return 0, err
		}
	}
	s.mu.Lock()
	s.nextID++
	f.ID = s.nextID
	s.faults = append(s.faults, f)
	s.mu.Unlock()
	s.onChange()
	return f.ID, nil
}

func (s *Faults) kindNames() []string {
	names := make([]string, 0, len(s.kinds))
	for k := range s.kinds {
		names = append(names, k)
	}
	slices.Sort(names)
	return names
}

func checkValue(raw json.RawMessage, want ValueType) error {
	var v any
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &v); err != nil {
			return fmt.Errorf("value: %w", err)
		}
	}
	ok := false
	switch want {
	case Bool:
		_, isBool := v.(bool)
		ok = v == nil || isBool
	case Number:
		_, ok = v.(float64)
	case Text:
		_, ok = v.(string)
	case Any:
		ok = true
	}
	if !ok {
		return fmt.Errorf("value %s: expected %s", raw, want)
	}
	return nil
}

// Active returns the newest fault of the kind for array, whatever its match and
// without using up its count: for conditions such as link_down.
func (s *Faults) Active(array, kind string) (Fault, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range slices.Backward(s.faults) {
		if f.Kind == kind && (f.Array == "" || f.Array == array) {
			return f, f.On()
		}
	}
	return Fault{}, false
}

// Take returns the newest fault of the kind for array whose match is contained
// in subject, and uses up one of its count: for faults that strike a request.
func (s *Faults) Take(array, kind, subject string) (Fault, bool) {
	f, ok := s.take(array, kind, subject)
	if ok && f.Count == 1 {
		s.onChange() // it is gone now
	}
	return f, ok && f.On()
}

func (s *Faults) take(array, kind, subject string) (Fault, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range slices.Backward(s.faults) {
		if f.Kind != kind || (f.Array != "" && f.Array != array) || !strings.Contains(subject, f.Match) {
			continue
		}
		switch {
		case f.Count == 1:
			s.faults = slices.Delete(s.faults, i, i+1)
		case f.Count > 1:
			s.faults[i].Count--
		}
		return f, true
	}
	return Fault{}, false
}

// List returns the faults in force, oldest first.
func (s *Faults) List() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Fault{}, s.faults...)
}

// Clear removes every fault that fits: id 0, array "" and kind "" fit all. It
// returns how many were removed.
func (s *Faults) Clear(id int, array, kind string) int {
	s.mu.Lock()
	before := len(s.faults)
	s.faults = slices.DeleteFunc(s.faults, func(f Fault) bool {
		return (id == 0 || f.ID == id) && (array == "" || f.Array == array) && (kind == "" || f.Kind == kind)
	})
	removed := before - len(s.faults)
	s.mu.Unlock()
	if removed > 0 {
		s.onChange()
	}
	return removed
}
