package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/array/hp3par"
	"github.com/ddsgo/ddsgo/config"
	"github.com/ddsgo/ddsgo/internal/failure"
)

// dockerOptions are the flags of config import docker.
type dockerOptions struct {
	groups      []string
	systemIDs   []string
	method      string
	secrets     string
	noPasswords bool
}

func newConfigImportDockerCommand(s streams) *cobra.Command {
	var o dockerOptions
	cmd := &cobra.Command{
		Use:   "docker FILE",
		Short: "Translate the replicated 3PAR back-ends of the HPE Docker plug-in (hpe.conf)",
		Long: `Translate the replicated 3PAR back-ends of the HPE Docker plug-in's hpe.conf to a configuration
on standard output; what was mended or has no counterpart is told on standard error.

Groups are not in that file, for the plug-in learns of them when a volume is created: name them
with --group, or append the "docker volume create ... -o replicationGroup=GROUP" lines to FILE. The
target's name of a group ends in the source array's decimal system id (showsys): --system-id.

Passwords are not printed: with --secrets they are written into files there, which the
configuration names; else it names files that you make. Passwords that the plug-in has encrypted
are refused, because only it knows the pass-phrase: leave them out with --no-passwords.

EXIT STATUS
  0  translated, perhaps with notes
  4  a mistake, told with file, line and key, or nothing to translate`,
		Example: `  ddsgo config import docker /etc/hpedockerplugin/hpe.conf --group Test_RCG --system-id 12345 > /etc/ddsgo/conf.d/docker.yaml
  ddsgo config import docker hpe.conf --group gold/RCG1 --group silver/RCG2 --system-id gold/12345 --secrets /etc/ddsgo/secrets`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return importDocker(s, args[0], o) },
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.groups, "group", nil, "a replication group, `[BACKEND/]GROUP`; may be repeated")
	f.StringArrayVar(&o.systemIDs, "system-id", nil, "the source array's decimal system id, `[BACKEND/]NUMBER`")
	f.StringVar(&o.method, "method", "ssh", "how ddsgo shall reach the arrays: ssh or wsapi (`METHOD`)")
	f.StringVar(&o.secrets, "secrets", "", "write passwords into files of mode 0600 in this `DIR`")
	f.BoolVar(&o.noPasswords, "no-passwords", false, "leave passwords out, encrypted or not")
	return cmd
}

func importDocker(s streams, path string, o dockerOptions) error {
	if o.method != "ssh" && o.method != "wsapi" {
		return failure.Usage("--method %q: write ssh or wsapi", o.method)
	}
	text, err := readForeign(s, path)
	if err != nil {
		return failure.With(failure.CodeUsage, path, "cannot be read", "", err)
	}
	found, err := hp3par.ImportDocker(path, text, hp3par.DockerOptions{NoPasswords: o.noPasswords})
	for _, n := range found.Notes {
		fmt.Fprintf(s.err, "note: %s\n", n)
	}
	var mistakes hp3par.DockerMistakes
	if errors.As(err, &mistakes) {
		return failure.With(failure.CodeUsage, "docker", mistakes.Error(), "", nil)
	}
	if err != nil {
		return err
	}
	w := &dockerWriter{s: s, o: o}
	for _, b := range found.Backends {
		if err := w.backend(b); err != nil {
			return err
		}
	}
	out, err := yaml.Marshal(yaml.MapSlice{{Key: "arrays", Value: w.arrays}, {Key: "resources", Value: w.resources}})
	if err != nil {
		return fmt.Errorf("docker: %w", err)
	}
	if _, err := config.Parse(path, out); err != nil {
		return failure.With(failure.CodeUsage, path, "what it translates to is no configuration: "+err.Error(), "", nil)
	}
	_, err = s.out.Write(out)
	return err
}

// dockerWriter makes the configuration.
type dockerWriter struct {
	s                 streams
	o                 dockerOptions
	arrays, resources yaml.MapSlice
}

func (w *dockerWriter) note(format string, args ...any) {
	fmt.Fprintf(w.s.err, "note: "+format+"\n", args...)
}

func (w *dockerWriter) backend(b hp3par.DockerBackend) error {
	for _, a := range []hp3par.DockerArray{b.Source, b.Target} {
		if err := w.array(a); err != nil {
			return err
		}
	}
	groups := append(b.Groups, forBackend(w.o.groups, b.Name)...)
	if len(groups) == 0 {
		groups = []string{strings.Map(groupRune, b.Name)}
		w.note("[%s]: no group is named (--group): %s stands for it", b.Name, groups[0])
	}
	id := "0"
	if ids := forBackend(w.o.systemIDs, b.Name); len(ids) > 0 {
		id = ids[0]
	} else {
		w.note("[%s]: the target's name of a group ends in the source array's system id, which is not in the file (--system-id): 0 stands for it", b.Name)
	}
	if b.Streaming {
		w.note("[%s]: replication_mode streaming: create groups with --param mode=streaming", b.Name)
	}
	for _, g := range groups {
		if err := w.resource(b, g, id); err != nil {
			return err
		}
	}
	return nil
}

func groupRune(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
		return r
	}
	return '_'
}

// forBackend are the values of a flag that are for one back-end, or for every one.
func forBackend(list []string, name string) []string {
	var out []string
	for _, x := range list {
		backend, value, named := strings.Cut(x, "/")
		switch {
		case !named:
			out = append(out, x)
		case backend == name:
			out = append(out, value)
		}
	}
	return out
}

func (w *dockerWriter) resource(b hp3par.DockerBackend, group, id string) error {
	for _, r := range w.resources {
		if r.Key == group {
			return failure.Usage("--group %s belongs to two back-ends: write BACKEND/%s", group, group)
		}
	}
	settings := yaml.MapSlice{{Key: "driver", Value: config.DriverHP3PAR}, {Key: "mode", Value: b.Mode}}
	if b.Period > 0 {
		settings = append(settings, yaml.MapItem{Key: "period", Value: fmt.Sprintf("%ds", int(b.Period.Seconds()))})
	}
	site := func(a hp3par.DockerArray, group string) yaml.MapSlice {
		return yaml.MapSlice{{Key: "array", Value: a.Name}, {Key: "group", Value: group}, {Key: "cpg", Value: a.CPG}, {Key: "snap_cpg", Value: a.SnapCPG}}
	}
	settings = append(settings, yaml.MapItem{Key: "sites", Value: yaml.MapSlice{
		{Key: "source", Value: site(b.Source, group)}, {Key: "target", Value: site(b.Target, group+".r"+id)},
	}})
	w.resources = append(w.resources, yaml.MapItem{Key: group, Value: settings})
	return nil
}

// array adds an array that is not there yet.
func (w *dockerWriter) array(a hp3par.DockerArray) error {
	for _, have := range w.arrays {
		if have.Key == a.Name {
			return nil
		}
	}
	method, user, password := w.o.method, a.User, a.Password
	if method == "ssh" && a.SANIP == "" {
		method = "wsapi"
		w.note("array %s: no san_ip: method wsapi", a.Name)
	}
	settings := yaml.MapSlice{{Key: "type", Value: "hp3par"}, {Key: "method", Value: method}}
	if method == "ssh" {
		user, password = a.SANLogin, a.SANPassword
		settings = append(settings, yaml.MapItem{Key: "manager", Value: a.SANIP})
	} else {
		settings = append(settings, yaml.MapItem{Key: "url", Value: a.URL})
	}
	file, err := w.secret(a.Name, password)
	if err != nil {
		return err
	}
	w.arrays = append(w.arrays, yaml.MapItem{Key: a.Name, Value: append(settings, yaml.MapItem{Key: "username", Value: user}, yaml.MapItem{Key: "password_file", Value: file})})
	return nil
}

const defaultSecrets = "/etc/ddsgo/secrets"

// secret writes a password's file, or tells that it is to be made.
func (w *dockerWriter) secret(name, password string) (string, error) {
	base := strings.ReplaceAll(name, string(filepath.Separator), "_") + ".password"
	if w.o.secrets == "" || password == "" {
		dir := w.o.secrets
		if dir == "" {
			dir = defaultSecrets
		}
		file := filepath.Join(dir, base)
		w.note("array %s: put the password into %s (mode 0600)", name, file)
		return file, nil
	}
	file, err := filepath.Abs(filepath.Join(w.o.secrets, base))
	if err != nil {
		return "", fmt.Errorf("secrets: %w", err)
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", failure.With(failure.CodeUsage, file, "cannot be made", "remove it, or choose another --secrets", err)
	}
	_, err = f.WriteString(password + "\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return "", failure.With(failure.CodeUsage, file, "cannot be written", "", err)
	}
	return file, nil
}
