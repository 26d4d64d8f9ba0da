package delta

import (
	"context"

	"github.com/stretchr/testify/require"
)

// contextOf is the context of a test, where it has one.
func contextOf(t require.TestingT) context.Context {
	if c, ok := t.(interface{ Context() context.Context }); ok {
		return c.Context()
	}
	return context.Background()
}
