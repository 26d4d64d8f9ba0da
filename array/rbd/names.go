package rbd

import (
	"fmt"
	"strings"
)

// Image names an image by pool. Always both: `rbd du dst` would mean image dst in pool "rbd".
type Image struct {
	Pool string
	Name string
}

// String is the image spec POOL/IMAGE.
func (i Image) String() string { return i.Pool + "/" + i.Name }

// At is the snapshot spec POOL/IMAGE@SNAP.
func (i Image) At(snap string) string { return i.String() + "@" + snap }

// ParseImage reads POOL/IMAGE.
func ParseImage(s string) (Image, error) {
	pool, name, ok := strings.Cut(s, "/")
	if !ok {
		return Image{}, fmt.Errorf("image %q: write POOL/IMAGE", s)
	}
	i := Image{Pool: pool, Name: name}
	return i, i.check()
}

// ParseSnapshot reads POOL/IMAGE@SNAP.
func ParseSnapshot(s string) (Image, string, error) {
	spec, snap, ok := strings.Cut(s, "@")
	if !ok || snap == "" {
		return Image{}, "", fmt.Errorf("snapshot %q: write POOL/IMAGE@SNAP", s)
	}
	i, err := ParseImage(spec)
	if err == nil {
		err = checkName("snapshot", snap)
	}
	return i, snap, err
}

func (i Image) check() error {
	if err := checkName("pool", i.Pool); err != nil {
		return err
	}
	return checkName("image", i.Name)
}

// checkName refuses what rbd would take for an option, another image or a snapshot.
func checkName(what, s string) error {
	if s == "" {
		return fmt.Errorf("%s name is empty", what)
	}
	if s[0] == '-' || strings.ContainsAny(s, "/@ \t\n\x00") {
		return fmt.Errorf("%s name %q: must not start with '-' nor hold '/', '@' or white space", what, s)
	}
	return nil
}
