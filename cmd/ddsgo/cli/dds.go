package cli

import "slices"

// rewriteDDS turns the original tool's `--extract ...` and `--merge ...` into
// the hidden dds verb, so that `ddsgo --extract --cow C --source S` works too.
func rewriteDDS(args []string) []string {
	for _, a := range args {
		if len(a) == 0 || a[0] != '-' {
			break // a verb comes first: not the original's command line
		}
		if a == "--extract" || a == "--merge" {
			return slices.Concat([]string{"dds"}, args)
		}
	}
	return args
}
