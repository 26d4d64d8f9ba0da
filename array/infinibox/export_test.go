package infinibox

import "github.com/ddsgo/ddsgo/array"

// AddOther puts a second replica beside the one that was observed.
func AddOther(o array.Observation, site string) {
	f := factsOf(o, site)
	f.Others = append(f.Others, replica{ID: 1, Role: wordSource, Type: wordAsync})
}
