package extent

import "fmt"

// Extent is the half-open byte range [Off, Off+Len) of a volume.
type Extent struct {
	Off int64
	Len int64
}

// End is the first byte after the extent.
func (e Extent) End() int64 { return e.Off + e.Len }

// String is "[off,end)".
func (e Extent) String() string { return fmt.Sprintf("[%d,%d)", e.Off, e.End()) }
