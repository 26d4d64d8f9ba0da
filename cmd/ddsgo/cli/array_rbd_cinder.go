package cli

import (
	"fmt"
	"os"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/array/rbd"
	"github.com/ddsgo/ddsgo/internal/failure"
)

func newConfigImportCinderCommand(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "cinder FILE",
		Short: "Translate the replicated RBD back-ends of a cinder.conf",
		Long: `Translate the replicated RBD back-ends of a cinder.conf to resources, on standard output.

Each back-end with a replication_device becomes a resource for all mirrored images of its pool
(images: "*"). Its sites are named as Cinder names them: default, and the backend_id. What was
mended or left out is told on standard error. FILE may be a part of a cinder.conf, and may hold
"cinder type-key" lines; - is standard input.

Cinder's failover-host is "ddsgo failover NAME --site BACKEND_ID"; back again, with the resync that
Cinder leaves to people, is "ddsgo failback NAME --discard default".

EXIT STATUS
  0  translated, perhaps with warnings
  4  nothing to translate, or not readable`,
		Example: `  ddsgo config import cinder /etc/cinder/cinder.conf > /etc/ddsgo/conf.d/cinder.yaml`,
		Args:    cobra.ExactArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return importCinder(s, args[0]) },
	}
}

func importCinder(s streams, path string) error {
	in := s.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return failure.With(failure.CodeUsage, path, "cannot be read", "", err)
		}
		defer f.Close()
		in = f
	}
	c, err := rbd.ImportCinder(in)
	for _, w := range c.Warnings {
		fmt.Fprintf(s.err, "warning: %s\n", w)
	}
	if err != nil {
		return failure.With(failure.CodeUsage, path, "nothing to translate", "", err)
	}
	for _, t := range c.Types {
		if !t.Replicated {
			fmt.Fprintf(s.err, "warning: volume type %s is not replicated: its volumes are not mirrored by Cinder\n", t.Name)
		}
	}
	resources := yaml.MapSlice{}
	for _, b := range c.Backends {
		resources = append(resources, yaml.MapItem{Key: strings.ToLower(b.Name), Value: cinderResource(b)})
	}
	out, err := yaml.Marshal(yaml.MapSlice{{Key: "resources", Value: resources}})
	if err != nil {
		return fmt.Errorf("cinder: %w", err)
	}
	_, err = s.out.Write(out)
	return err
}

func cinderResource(b rbd.CinderBackend) yaml.MapSlice {
	t := b.Targets[0]
	return yaml.MapSlice{
		{Key: "driver", Value: "rbd"}, {Key: "mode", Value: rbd.ModeJournal}, {Key: "pool", Value: b.Pool}, {Key: "images", Value: []string{allImages}},
		{Key: "sites", Value: yaml.MapSlice{
			{Key: "default", Value: yaml.MapSlice{{Key: "cluster", Value: b.Cluster}, {Key: "conf", Value: b.Conf}, {Key: "user", Value: b.User}}},
			{Key: t.BackendID, Value: yaml.MapSlice{{Key: "cluster", Value: rbd.ClusterOfConf(t.Conf)}, {Key: "conf", Value: t.Conf}, {Key: "user", Value: t.User}}},
		}},
	}
}
