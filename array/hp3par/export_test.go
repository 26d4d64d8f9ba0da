package hp3par

import "context"

// Forget makes the next listing a new one.
func (a *Array) Forget() { a.forget() }

// Command sends a line as another operator would.
func (a *Array) Command(ctx context.Context, line string) error {
	_, err := a.t.(*commandLine).ask(ctx, line, false)
	return err
}

// Carry sends a line as a transport would.
func (a *Array) Carry(ctx context.Context, line string, bare bool) (string, int, error) {
	return a.t.(*commandLine).carrier.carry(ctx, line, bare)
}

// Raw sends a line and hands back what came.
func (a *Array) Raw(ctx context.Context, line string) (string, int, error) {
	return a.t.(*commandLine).carrier.carry(ctx, line, false)
}
