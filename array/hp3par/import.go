package hp3par

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Docker is what an import of the HPE Docker plug-in's configuration found.
type Docker struct {
	Backends []DockerBackend
	Notes    []string // what was mended, and what has no counterpart
}

// DockerBackend is one section with a replication device.
type DockerBackend struct {
	Name      string // of the section; DEFAULT where there is none
	Source    DockerArray
	Target    DockerArray
	Mode      string        // async or sync
	Streaming bool          // asynchronous, and the array sends each write
	Period    time.Duration // async: sync_period
	Groups    []string      // named by `docker volume create` lines
}

// DockerArray is one array as the plug-in reaches it.
type DockerArray struct {
	Name                         string
	URL, User, Password          string // WSAPI
	SANIP, SANLogin, SANPassword string // ssh
	CPG, SnapCPG                 string
	ISCSI                        []string
}

// DockerMistake is something in the file that cannot be used.
type DockerMistake struct {
	File string
	Line int
	Key  string
	Msg  string
}

// Error is file:line: key: message.
func (m DockerMistake) Error() string {
	return fmt.Sprintf("%s:%d: %s: %s", m.File, m.Line, m.Key, m.Msg)
}

// DockerMistakes are all of them.
type DockerMistakes []DockerMistake

// Error has a line for each.
func (l DockerMistakes) Error() string {
	lines := make([]string, len(l))
	for i, m := range l {
		lines[i] = m.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap says that all of them are mistakes in a configuration.
func (l DockerMistakes) Unwrap() error { return ErrConfig }

// DockerOptions of ImportDocker.
type DockerOptions struct {
	// NoPasswords leaves passwords out: they are not looked at, encrypted or not.
	NoPasswords bool
}

// piece is text with the line that it stands in.
type piece struct {
	text string
	line int
}

// entry is one option of a section.
type entry struct {
	key    string
	value  string // of the first line
	pieces []piece
	line   int
}

// section is one back-end.
type section struct {
	name    string
	line    int
	entries []entry
}

func (s *section) find(key string) (entry, bool) {
	for _, e := range s.entries {
		if e.key == key {
			return e, true
		}
	}
	return entry{line: s.line}, false
}

// dockerImport is an import under way.
type dockerImport struct {
	file     string
	options  DockerOptions
	sections []*section
	groups   map[string][]string // of back-ends
	out      Docker
	mistakes DockerMistakes
}

var (
	dockerSection = regexp.MustCompile(`^\[([^\]]+)\]$`)
	dockerOption  = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)$`)
	dockerVolume  = regexp.MustCompile(`^\$?\s*docker\s+volume\s+create\s+(.*)$`)
)

// DefaultBackend is the back-end that is meant where none is named.
const DefaultBackend = "DEFAULT"

// ImportDocker reads an hpe.conf of the Docker plug-in, or a part of one, and `docker volume create`
// lines, which name groups. It accepts what the plug-in's own documentation prints and says what it
// mended. The error is DockerMistakes with all of them.
func ImportDocker(file string, text []byte, o DockerOptions) (Docker, error) {
	d := &dockerImport{file: file, options: o, groups: map[string][]string{}}
	d.scan(string(text))
	for _, s := range d.sections {
		d.backend(s)
	}
	for i := range d.out.Backends {
		d.out.Backends[i].Groups = d.groups[d.out.Backends[i].Name]
		delete(d.groups, d.out.Backends[i].Name)
	}
	for name, groups := range d.groups {
		d.note(0, "back-end %s, which docker volume create names for %s, is not among the replicated ones", name, strings.Join(groups, ", "))
	}
	if len(d.mistakes) > 0 {
		return d.out, d.mistakes
	}
	if len(d.out.Backends) == 0 {
		return d.out, DockerMistakes{{file, 1, keyDevice, "no back-end has one: nothing is replicated"}}
	}
	return d.out, nil
}

func (d *dockerImport) note(line int, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if line > 0 {
		text = fmt.Sprintf("%s:%d: %s", d.file, line, text)
	}
	d.out.Notes = append(d.out.Notes, text)
}

func (d *dockerImport) fail(line int, key, format string, args ...any) {
	d.mistakes = append(d.mistakes, DockerMistake{d.file, line, key, fmt.Sprintf(format, args...)})
}

// scan cuts the text into sections and options. A line that is indented goes on with the option
// above it; so does one that begins with a key which only a replication device has.
func (d *dockerImport) scan(text string) {
	var now *section
	open := func(name string, line int) {
		now = &section{name: name, line: line}
		d.sections = append(d.sections, now)
	}
	for i, raw := range strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n") {
		line, word := i+1, strings.TrimSpace(raw)
		indented := word != "" && raw[0] != word[0]
		switch {
		case word == "" || word[0] == '#' || word[0] == ';' || strings.HasPrefix(word, "```"):
		case dockerVolume.MatchString(word):
			d.volume(line, dockerVolume.FindStringSubmatch(word)[1])
		case dockerSection.MatchString(word):
			open(dockerSection.FindStringSubmatch(word)[1], line)
		case now != nil && len(now.entries) > 0 && d.goesOn(&now.entries[len(now.entries)-1], word, indented):
			last := &now.entries[len(now.entries)-1]
			last.pieces = append(last.pieces, piece{word, line})
		case dockerOption.MatchString(word):
			if now == nil {
				open(DefaultBackend, line)
			}
			d.option(now, line, dockerOption.FindStringSubmatch(word))
		default:
			d.fail(line, word, "is neither [SECTION] nor key=value")
		}
	}
}

func (d *dockerImport) goesOn(last *entry, word string, indented bool) bool {
	if last.key != keyDevice {
		return false
	}
	key, _, _ := cutPair(word)
	ends := strings.HasSuffix(strings.TrimSpace(last.pieces[len(last.pieces)-1].text), ",")
	return key != keyDevice && (indented || slices.Contains(deviceOnlyKeys(), key) || ends && slices.Contains(deviceKeys(), key))
}

func (d *dockerImport) option(s *section, line int, m []string) {
	if was, twice := s.find(m[1]); twice && m[1] != keyDevice {
		d.fail(line, m[1], "stands in line %d already", was.line)
		return
	}
	s.entries = append(s.entries, entry{key: m[1], value: strings.TrimSpace(m[2]), line: line, pieces: []piece{{m[2], line}}})
}

// volume reads -o options of docker volume create: they name groups and back-ends.
func (d *dockerImport) volume(line int, text string) {
	backend, group := DefaultBackend, ""
	for _, w := range strings.Fields(text) {
		switch k, v, _ := strings.Cut(strings.TrimPrefix(w, "-o"), "="); k {
		case "replicationGroup":
			group = v
		case "backend":
			backend = v
		case "mountConflictDelay":
			d.note(line, "mountConflictDelay=%s: ddsgo array volume attach --conflict-delay %s", v, v)
		case "size", "provisioning", "compression":
			d.note(line, "%s=%s: of ddsgo array create NAME VOLUME (--size 1G, --param provisioning=..., --param compression=...)", k, v)
		}
	}
	switch {
	case group == "":
		d.note(line, "a volume without replicationGroup is not replicated")
	case !plainWord.MatchString(group):
		d.fail(line, "replicationGroup", "%q is no name of a group", group)
	case !slices.Contains(d.groups[backend], group):
		d.groups[backend] = append(d.groups[backend], group)
	}
}
