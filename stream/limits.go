package stream

// Limits of format version 1. They are part of the format: a writer keeps them, a reader
// refuses what exceeds them before it allocates.
const (
	Version = 1

	MinFrameSize     = 4 << 10
	MaxFrameSize     = 4 << 20
	DefaultFrameSize = 256 << 10

	MaxHeader  = 2048    // bytes of header after its first 16
	MaxSource  = 255     // bytes of the source's name
	MaxExtents = 1 << 16 // entries of one frame's extent table
	MaxBases   = 4096    // entries of one frame's base table
	MaxSpan    = 1 << 16 // groups of one frame

	maxVarint = 10
	// MaxTable bounds the bytes of a frame's tables.
	MaxTable = MaxExtents*2*maxVarint + MaxBases*(2*maxVarint+32)
)

// rawThreshold: a payload is sent raw where encoding leaves more than this many percent.
const rawThreshold = 97

// Sizes and marks of format version 1; part of the format.
const (
	fixedHeader  = 16
	frameHead    = 56
	frameDigest  = 40 // bytes of the frame head that the digest covers
	trailerSize  = 96
	checksumSize = 8
)

const (
	magic       = "\x89DDSGO\r\n"
	frameMark   = "DDfr"
	trailerMark = "DDen"
	endMark     = "\r\nDDSend"
)
