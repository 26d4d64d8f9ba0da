package bench

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
)

// BlockSize is the unit of content and of change.
const BlockSize = 4096

// ClassExtent is how much of a volume is of one class at a stretch.
const ClassExtent = 256 << 10

// Class is a kind of content.
type Class int

// The classes.
const (
	Zero Class = iota
	HardText
	EasyText
	Random
)

// Profile is the share of each class, in percent. What is missing to 100 is random.
type Profile struct {
	Zero, HardText, EasyText int
}

// Profiles by name.
func Profiles() map[string]Profile {
	return map[string]Profile{
		"mixed": {Zero: 40, HardText: 30},
		"easy":  {Zero: 40, EasyText: 45},
		"full":  {HardText: 50},
		"zero":  {Zero: 100},
	}
}

// Volume is the content of a volume as a function of the offset.
type Volume struct {
	Bytes   int64
	Seed    uint64
	Profile Profile
}

var _ io.ReaderAt = Volume{}

// splitmix64 is the generator that spreads seeds: neighbouring inputs give unrelated outputs.
func splitmix64(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// ClassOf is the class of the extent that holds a block.
func (v Volume) ClassOf(block int64) Class {
	n := int(splitmix64(v.Seed^uint64(block*BlockSize/ClassExtent)*0x9e37) % 100)
	switch p := v.Profile; {
	case n < p.Zero:
		return Zero
	case n < p.Zero+p.HardText:
		return HardText
	case n < p.Zero+p.HardText+p.EasyText:
		return EasyText
	}
	return Random
}

// ReadAt makes the content of a range of whole blocks; the last may be cut.
func (v Volume) ReadAt(p []byte, off int64) (int, error) {
	if off%BlockSize != 0 {
		return 0, fmt.Errorf("offset %d is not a multiple of %d", off, BlockSize)
	}
	if off >= v.Bytes {
		return 0, io.EOF
	}
	var err error
	if int64(len(p)) > v.Bytes-off {
		p, err = p[:v.Bytes-off], io.EOF
	}
	for at := 0; at < len(p); at += BlockSize {
		block := (off + int64(at)) / BlockSize
		Fill(p[at:min(at+BlockSize, len(p))], v.ClassOf(block), splitmix64(v.Seed+uint64(block)))
	}
	return len(p), err
}

// Fill makes a block of a class.
func Fill(p []byte, c Class, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0x5eed))
	switch c {
	case Zero:
		clear(p)
	case HardText:
		fillHard(p, rng)
	case EasyText:
		fillEasy(p, rng)
	case Random:
		for len(p) >= 8 {
			binary.LittleEndian.PutUint64(p, rng.Uint64())
			p = p[8:]
		}
		for i := range p {
			p[i] = byte(rng.Uint32())
		}
	}
}

// vocabulary is 2048 words of 3 to 10 letters.
var vocabulary = makeVocabulary() //nolint:gochecknoglobals // a constant that Go cannot write down

func makeVocabulary() (words [2048]string) {
	rng := rand.New(rand.NewPCG(2048, 1))
	for i := range words {
		w := make([]byte, 3+rng.IntN(8))
		for j := range w {
			w[j] = "etaoinshrdlucmfwypvbgkjqxz"[min(rng.IntN(26), rng.IntN(26))]
		}
		words[i] = string(w)
	}
	return words
}

// fillHard is words, numbers and line ends, each as likely as any other.
func fillHard(p []byte, rng *rand.Rand) {
	var number [20]byte
	for len(p) > 0 {
		r := rng.Uint64()
		var n int
		switch r % 16 {
		case 0:
			n = copy(p, "\n")
		case 1, 2:
			n = copy(p, strconv.AppendUint(number[:0], r>>40, 10))
		default:
			n = copy(p, vocabulary[r>>8%2048])
		}
		p = p[n:]
		if len(p) > 0 {
			p[0] = ' '
			p = p[1:]
		}
	}
}

// fillEasy is lines of a log.
func fillEasy(p []byte, rng *rand.Rand) {
	at := 1767323045000 + rng.Int64N(1e9)
	request := rng.Uint32()
	for len(p) > 0 {
		at += rng.Int64N(50)
		request++
		line := fmt.Sprintf("%d host%02d app[4711]: INFO request id=%08x path=/api/v1/items/%d status=%d time=%dms\n",
			at, rng.IntN(4), request, rng.IntN(200), []int{200, 200, 200, 304, 404}[rng.IntN(5)], rng.IntN(90))
		p = p[copy(p, line):]
	}
}
