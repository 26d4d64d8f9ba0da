package bench

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Case is one pipeline of a comparison.
type Case struct {
	Name   string
	Script string
	// Before puts the files into the state that the run starts from; it is not measured.
	Before func() error
	// After checks the result; it is not measured.
	After func() error
}

// Result is what a case cost over all rounds.
type Result struct {
	Name string
	Wall []time.Duration
	CPU  []time.Duration
}

// MedianWall is the median of the wall times.
func (r Result) MedianWall() time.Duration { return median(r.Wall) }

// MedianCPU is the median of the CPU times.
func (r Result) MedianCPU() time.Duration { return median(r.CPU) }

func median(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(d))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// Ratio is the median over the rounds of a's CPU divided by b's in the same round: what disturbs a
// machine for seconds disturbs both.
func Ratio(a, b Result) float64 { return medianRatio(a.CPU, b.CPU) }

// RatioWall is Ratio for the time on the clock.
func RatioWall(a, b Result) float64 { return medianRatio(a.Wall, b.Wall) }

func medianRatio(a, b []time.Duration) float64 {
	ratios := make([]float64, 0, len(a))
	for i := range min(len(a), len(b)) {
		if b[i] > 0 {
			ratios = append(ratios, float64(a[i])/float64(b[i]))
		}
	}
	if len(ratios) == 0 {
		return 0
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/2]
}

// Interleave runs every case once in each round, in order, after one round that is not
// counted: it warms caches and shows errors before minutes have gone.
func Interleave(ctx context.Context, m *Meter, rounds int, cases []Case, progress func(string)) (map[string]Result, error) {
	results := map[string]Result{}
	for round := range rounds + 1 {
		for _, c := range cases {
			progress(fmt.Sprintf("round %d of %d: %s", round, rounds, c.Name))
			if c.Before != nil {
				if err := c.Before(); err != nil {
					return nil, fmt.Errorf("%s: preparing: %w", c.Name, err)
				}
			}
			s, err := m.Run(ctx, c.Script)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.Name, err)
			}
			if c.After != nil {
				if err := c.After(); err != nil {
					return nil, fmt.Errorf("%s: wrong result: %w", c.Name, err)
				}
			}
			if round == 0 {
				continue
			}
			r := results[c.Name]
			r.Name = c.Name
			r.Wall, r.CPU = append(r.Wall, s.Wall), append(r.CPU, s.CPU)
			results[c.Name] = r
		}
	}
	return results, nil
}
