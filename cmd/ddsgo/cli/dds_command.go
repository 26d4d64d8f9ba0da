package cli

import (
	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/stream"
)

// ddsOptions are the original tool's options.
type ddsOptions struct {
	extract bool
	merge   bool
	cow     string
	source  string
	dest    string
}

// newDDSCommand is the original tool's command line, so that an OpenSVC agent's pipeline
// works as it is. Both ends must be ddsgo: the wire format is our own.
func newDDSCommand(g *globals, s streams) *cobra.Command {
	var o ddsOptions
	cmd := &cobra.Command{
		Use:   "dds {--extract --cow DEV --source DEV [--dest FILE] | --merge --dest DEV [--cow FILE]} [-v]",
		Short: "The command line of the original dds",
		Long: `Extract and merge with the options of the original dds, as the OpenSVC agent calls
it. The agent's own check of the base governs: a stamp that does not match is
replaced with a warning.

EXAMPLES
  dds --extract --cow /dev/mapper/vg-data_osvc_snap1-cow --source /dev/vg/data_osvc_snap2 | ssh dr1 dds --merge --dest /dev/vg/data -v
  dds --extract -v --cow /dev/mapper/vg-data_osvc_snap1-cow --source /dev/vg/data_osvc_snap2 --dest data.delta
  dds -v --merge --cow data.delta --dest /dev/vg/data

EXIT STATUS
  as ddsgo extract and ddsgo merge`,
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case o.extract == o.merge:
				return failure.Usage("dds: give either --extract or --merge")
			case o.extract:
				return runExtract(cmd.Context(), g, s, extractOptions{cow: o.cow, source: o.source, output: o.dest,
					codec: "auto", frameSize: stream.DefaultFrameSize, dds: true})
			case o.source != "":
				return failure.Usage("dds: --source belongs to --extract")
			}
			return runMerge(cmd.Context(), g, s, mergeOptions{dest: o.dest, input: o.cow, dds: true})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.extract, "extract", false, "write the changed chunks")
	f.BoolVar(&o.merge, "merge", false, "write a delta to --dest")
	f.StringVar(&o.cow, "cow", "", "extract: the exception store; merge: the delta (default standard input)")
	f.StringVar(&o.source, "source", "", "extract: the newer snapshot")
	f.StringVar(&o.dest, "dest", "", "merge: the device or file to write to; extract: the delta (default standard output)")
	return cmd
}
