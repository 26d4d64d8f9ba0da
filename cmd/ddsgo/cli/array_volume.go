package cli

import (
	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/array"
)

func newArrayVolumeCommand(g *globals, s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "volume",
		Short: "Create, delete, attach and detach volumes of a resource",
		Long: `Create, delete, attach and detach volumes of a resource.

The resource tells which array and which pool; the volume need not be a member.`,
		Example: `  ddsgo array volume create svc1 vol7 --size 10G
  ddsgo array volume attach svc1 vol7 --host node1`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newLifeCycleCommand(g, s, array.VolumeCreate, "create NAME VOLUME", mustVolume, "Create a volume, and on failure nothing",
			`  ddsgo array volume create svc1 vol7 --size 10G`),
		newLifeCycleCommand(g, s, array.VolumeDelete, "delete NAME VOLUME", mustVolume, "Delete a volume; a member (hp3par) with --force only: its copy goes, too, and the last one's group",
			`  ddsgo array volume delete svc1 vol7
  ddsgo array volume delete svc1 vol8 --force`),
		newLifeCycleCommand(g, s, array.VolumeAttach, "attach NAME VOLUME", mustVolume, "Export a volume to a host",
			`  ddsgo array volume attach svc1 vol7 --host node1
  ddsgo array volume attach svc1 vol7 --host node2 --conflict-delay 30s   # wait for node1, then cut it off`),
		newLifeCycleCommand(g, s, array.VolumeDetach, "detach NAME VOLUME", mustVolume, "Take a volume's export away from a host",
			`  ddsgo array volume detach svc1 vol7 --host node1`),
	)
	return cmd
}
