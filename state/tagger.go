package state

import "context"

// Tagger reads and changes the tags of one logical volume; package lvm implements
// it. SetTags changes all of them in one metadata commit: after a crash either all
// are changed or none.
type Tagger interface {
	Tags(ctx context.Context) ([]string, error)
	SetTags(ctx context.Context, add, del []string) error
}
