package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/ddsgo/ddsgo/array/rbd"
	"github.com/ddsgo/ddsgo/array/rbd/delta"
)

// Prefix begins the name of a device that is an RBD image.
const Prefix = "rbd:"

// DefaultCluster is Ceph's own name for a cluster that has none.
const DefaultCluster = "ceph"

// End is one image of one cluster.
type End struct {
	CLI   *rbd.CLI
	Image rbd.Image
}

// String is rbd:POOL/IMAGE, with the cluster where that is not the usual one.
func (e End) String() string {
	if c := e.CLI.Cluster().Name; c != DefaultCluster {
		return Prefix + c + ":" + e.Image.String()
	}
	return Prefix + e.Image.String()
}

// Dir is where a host keeps lock and journal of an image: the same for every way to write it.
func (e End) Dir(stateDir string) string {
	c := e.CLI.Cluster()
	return filepath.Join(stateDir, "rbd", hash(c.Name+"\x00"+c.Conf+"\x00"+e.Image.String(), 16))
}

func hash(s string, n int) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])[:n]
}

// look is what an image says of itself.
type look struct {
	exists bool
	info   rbd.Info
	id     string // delta.ImageID
	meta   map[string]string
	snaps  []rbd.Snapshot
}

// look reads the image; one that is not there is no error.
func (e End) look(ctx context.Context) (look, error) {
	var l look
	info, err := e.CLI.Info(ctx, e.Image)
	if errors.Is(err, rbd.ErrNoImage) {
		return l, nil
	}
	if err != nil {
		return l, err
	}
	l.exists, l.info = true, info
	l.id = delta.ImageID(info)
	if l.meta, err = e.CLI.Meta(ctx, e.Image); err != nil {
		return l, err
	}
	l.snaps, err = e.CLI.Snapshots(ctx, e.Image)
	return l, err
}

func (l look) snapshot(name string) (rbd.Snapshot, bool) {
	for _, s := range l.snaps {
		if s.Name == name && name != "" {
			return s, true
		}
	}
	return rbd.Snapshot{}, false
}

// nonPrimary says that mirroring owns the image.
func (l look) nonPrimary() bool { return l.info.Mirrored() && !l.info.Mirroring.Primary }

// schema of both kinds of metadata.
const schema = 1

// maxLine bounds a line of metadata that is read.
const maxLine = 1 << 20

// header is what every line of metadata begins with.
type header struct {
	Schema int    `json:"schema"`
	Image  string `json:"image"` // that the line was written for
}

// readLine decodes a line of metadata and refuses one that was written for another image.
func readLine(l look, key string, into any) error {
	line, ok := l.meta[key]
	if !ok {
		return ErrNoMetadata
	}
	var h header
	switch err := json.Unmarshal([]byte(line[:min(len(line), maxLine)]), &h); {
	case err != nil:
		return fmt.Errorf("%w: %s: %w", ErrMetadata, key, err)
	case h.Schema != schema:
		return fmt.Errorf("%w: %s has schema %d, this ddsgo knows %d", ErrMetadata, key, h.Schema, schema)
	case h.Image != l.id:
		return fmt.Errorf("%w: %s was written for image %s, this is %s: a copy of that one, or a restored one", ErrMetadata, key, h.Image, l.id)
	}
	d := json.NewDecoder(strings.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrMetadata, key, err)
	}
	return nil
}

// writeLine commits a line of metadata.
func (e End) writeLine(ctx context.Context, key string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return e.CLI.MetaSet(ctx, e.Image, key, string(b))
}

// clip bounds what goes into free text of the metadata.
func clip(s string) string {
	const most = 500
	if len(s) > most {
		return s[:most]
	}
	return s
}
