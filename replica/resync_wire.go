package replica

import (
	"errors"
	"fmt"

	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/resync"
	"github.com/ddsgo/ddsgo/state"
)

// Operations of verify and resync.
const (
	opDigest   = "digest"   // serve one slice of a hash exchange
	opVerified = "verified" // record what a slice of verify found
	opReclaim  = "reclaim"  // become a target of this source, with content that nobody vouches for
)

// Modes of deltas that a hash exchange made. Both are journalled.
const (
	modeRepair mode = "repair" // blocks of the very generation that the target holds
	modeResync mode = "resync" // all that differs from a new generation, whatever the target held
)

// hashBlock is the unit in which two volumes are compared.
const hashBlock = 4 << 10

// digestRequest asks for the digests of a range. At is the generation that the target must
// hold; zero compares whatever is there.
type digestRequest struct {
	VolumeRef
	At     generation.Generation `json:"at"`
	Size   int64                 `json:"size"` // of the source's volume
	Offset int64                 `json:"offset"`
	End    int64                 `json:"end"`
	Salt   []byte                `json:"salt"`
	Limit  int64                 `json:"limit"` // bytes per second; 0: none
}

// options turns a request into checked options of the exchange.
func (in digestRequest) options() (resync.Options, error) {
	o := resync.Options{Range: extent.Between(in.Offset, in.End), Block: hashBlock, Limiter: resync.Limit(in.Limit), Readers: deviceReaders}
	switch {
	case in.Device == "" || in.Source == "":
		return o, errors.New("no device or no source")
	case len(in.Salt) != resync.SaltSize:
		return o, fmt.Errorf("salt of %d bytes", len(in.Salt))
	case in.Offset < 0 || in.End > in.Size || in.Limit < 0:
		return o, fmt.Errorf("range [%d,%d) of %d bytes", in.Offset, in.End, in.Size)
	}
	o.Salt = resync.Salt(in.Salt)
	return o, o.Validate()
}

type digestReady struct {
	Counters *state.Counters `json:"counters"` // of the device, before the first read
}

type digestReply struct {
	Reached int64 `json:"reached"`
}

// verifiedRequest tells the target what a slice found.
type verifiedRequest struct {
	VolumeRef
	At       generation.Generation `json:"at"`
	From     int64                 `json:"from"`     // where what is new in this record begins
	Until    int64                 `json:"until"`    // everything before was compared in this pass
	Complete bool                  `json:"complete"` // Until is the volume's end
	Differs  int64                 `json:"differs"`  // blocks that are wrong now
	First    int64                 `json:"first"`    // offset of the first of them
	Counters *state.Counters       `json:"counters"` // at the start of the pass
}

type reclaimRequest struct {
	VolumeRef
	Overwrite  bool   `json:"overwrite"` // a copy of another volume may go
	Fence      uint64 `json:"fence"`
	SourceHost string `json:"source_host"`
	SourceName string `json:"source_name"`
}

// rejoinBase stands for whatever a target held before a resync. No snapshot has such a
// UUID, so nothing is ever taken for a delta's base because of it.
func rejoinBase(to generation.Generation) generation.Generation {
	return generation.Generation{UUID: "rejoin-" + to.UUID, Seq: to.Seq - 1, Time: to.Time, Size: to.Size}
}
