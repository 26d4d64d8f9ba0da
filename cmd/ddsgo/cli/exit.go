package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/ddsgo/ddsgo/internal/failure"
)

// finish prints an error as a person or a script expects it and returns the
// process's exit code.
func finish(ctx context.Context, g *globals, s streams, err error) int {
	if err == nil {
		return failure.CodeOK
	}
	code := exitCode(ctx, err)
	if g.json {
		printJSONError(s, code, err)
		return code
	}
	fmt.Fprintf(s.err, "ddsgo: %v\n", err)
	var f *failure.Error
	if errors.As(err, &f) && f.Next != "" {
		fmt.Fprintf(s.err, "next: %s\n", f.Next)
	}
	return code
}

// printJSONError writes the error object of the machine-readable output.
func printJSONError(s streams, code int, err error) {
	obj := map[string]any{"message_type": "error", "exit_code": code, "reason": err.Error(), "next": ""}
	var f *failure.Error
	if errors.As(err, &f) {
		obj["next"] = f.Next
	}
	b, mErr := json.Marshal(obj)
	if mErr != nil {
		fmt.Fprintf(s.err, "ddsgo: %v\n", err)
		return
	}
	fmt.Fprintf(s.err, "%s\n", b)
}

// exitCode is the one place where errors become exit codes.
func exitCode(ctx context.Context, err error) int {
	if code, ok := failure.CodeOf(err); ok {
		return code
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return failure.CodeInterrupted
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return failure.CodeUnreachable
	}
	if isUsageError(err) {
		return failure.CodeUsage
	}
	return failure.CodeFailure
}

// isUsageError recognises cobra's own complaints, which carry no type.
func isUsageError(err error) bool {
	for _, p := range []string{"unknown command", "unknown flag", "unknown shorthand", "invalid argument", "flag needs an argument", "accepts ", "requires ", "required flag", "if any flags in the group", "at least one of the flags"} {
		if strings.HasPrefix(err.Error(), p) {
			return true
		}
	}
	return false
}
