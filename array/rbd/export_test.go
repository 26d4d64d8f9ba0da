package rbd

import "context"

// CallForTest sends any command, for tests that need one which the driver never sends.
func CallForTest(ctx context.Context, c *CLI, args ...string) error {
	_, err := c.call(ctx, args...)
	return err
}
