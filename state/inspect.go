package state

import (
	"encoding/json"
	"fmt"
)

// Inspected is any file of this package, for `ddsgo inspect`: what it says, believed or not.
type Inspected struct {
	Format        string          `json:"format"`
	SchemaVersion int             `json:"schema_version"`
	Body          json.RawMessage `json:"body"`
}

// InspectFile decodes a state file or stamp of whatever version. Where the checksum is wrong
// it returns the content with ErrDamaged; what is no file of this package is ErrInvalid.
func InspectFile(data []byte) (Inspected, error) {
	var e envelope
	if err := strictJSON(data, &e); err != nil || (e.Format != formatState && e.Format != formatStamp) {
		return Inspected{}, fmt.Errorf("%w: neither a state file nor a stamp", ErrInvalid)
	}
	i := Inspected{Format: e.Format, SchemaVersion: e.SchemaVersion, Body: e.Body}
	sum, err := checksum(e.Format, e.SchemaVersion, e.Body)
	if err == nil && sum != e.Checksum {
		err = fmt.Errorf("%w: checksum is %s, the content's is %s", ErrDamaged, shorten(e.Checksum), shorten(sum))
	}
	return i, err
}
