package cli

import (
	_ "embed"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/array/plugin"
	"github.com/ddsgo/ddsgo/config"
	"github.com/ddsgo/ddsgo/internal/failure"
)

func newConfigCommand(g *globals, s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check, show and generate the configuration",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigCheckCommand(g, s), newConfigShowCommand(g, s), newConfigGenerateCommand(s))
	if importers := newConfigImportCommands(g, s); len(importers) > 0 {
		imp := &cobra.Command{
			Use:   "import",
			Short: "Translate another program's configuration; what cannot be translated is told on stderr",
			Args:  cobra.NoArgs,
			RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		}
		imp.AddCommand(importers...)
		cmd.AddCommand(imp)
	}
	return cmd
}

// newConfigImportCommands are the foreign configurations that can be read.
func newConfigImportCommands(_ *globals, s streams) []*cobra.Command {
	return []*cobra.Command{newConfigImportCinderCommand(s), newConfigImportOpenSVCCommand(s), newConfigImportDockerCommand(s)}
}

func newConfigCheckCommand(g *globals, s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Read the configuration and name every defect with file and line",
		Long: `Read the configuration and name every defect with file and line.

Also looked at: whether the files that hold secrets can be read by others, and whether the
programs of plug-ins can be started. No storage is asked.

EXIT STATUS
  0  no defect (there may be warnings)
  4  the configuration has defects`,
		Example: `  ddsgo config check
  ddsgo config check --config ./ddsgo.yaml`,
		Args: cobra.NoArgs,
		RunE: func(_ *cobra.Command, _ []string) error {
			cfg, err := config.Load(config.Path(g.configPath, os.Getenv))
			if err != nil {
				return config.Failure(err)
			}
			if err := checkPlaces(s, cfg); err != nil {
				return err
			}
			if !g.quiet {
				fmt.Fprintf(s.out, "%d resource(s), %d array(s): no defect\n", len(cfg.Resources), len(cfg.Arrays))
			}
			return nil
		},
	}
}

// checkPlaces looks at the files that the configuration names.
func checkPlaces(s streams, cfg *config.Config) error {
	for _, a := range cfg.Arrays {
		for _, f := range []string{a.PasswordFile, a.Key, a.PWF} {
			if f == "" {
				continue
			}
			st, err := os.Stat(f)
			switch {
			case err != nil:
				fmt.Fprintf(s.err, "warning: array %s: %v\n", a.Name, err)
			case st.Mode()&0o077 != 0:
				fmt.Fprintf(s.err, "warning: array %s: %s can be read by others (chmod 600 %s)\n", a.Name, f, f)
			}
		}
	}
	for _, n := range cfg.Names() {
		if r := cfg.Resources[n]; r.Plugin != nil {
			if _, err := plugin.Find(r.Driver, cfg.Plugins.Dirs, cfg.Plugins.AllowPath); err != nil {
				return failure.With(failure.CodeUsage, r.At.String(), "resource "+n, "", err)
			}
		}
	}
	return nil
}

func newConfigShowCommand(g *globals, s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Print the effective configuration: all files merged, defaults filled in",
		Long: `Print the effective configuration: all files merged, defaults filled in. It holds no secrets:
these stand in files that it names.

EXIT STATUS
  0  printed
  4  the configuration has defects`,
		Example: `  ddsgo config show
  ddsgo config show --json`,
		Args: cobra.NoArgs,
		RunE: func(_ *cobra.Command, _ []string) error {
			cfg, err := config.Load(config.Path(g.configPath, os.Getenv))
			if err != nil {
				return config.Failure(err)
			}
			text, err := cfg.Show()
			if err != nil {
				return err
			}
			if g.json {
				if text, err = config.JSON(text); err != nil {
					return err
				}
			}
			_, err = s.out.Write(text)
			return err
		},
	}
}

//go:embed config_sample.yaml
var configSample string

func newConfigGenerateCommand(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "generate",
		Short: "Print a commented sample configuration to start from",
		Long: `Print a commented sample configuration to start from. It is a valid configuration.

EXIT STATUS
  0  printed`,
		Example: `  ddsgo config generate > /etc/ddsgo/ddsgo.yaml`,
		Args:    cobra.NoArgs,
		RunE: func(_ *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(s.out, configSample)
			return err
		},
	}
}
