package ceph

import (
	_ "embed"
	"fmt"
	"strings"
	"text/template"
	"time"
)

//go:embed cluster.conf.tmpl
var confText string

// confData is what the template needs; paths are absolute.
type confData struct {
	Dir, FSID string
	Port      int
	OSDBytes  int64
	CommitAge time.Duration
}

func renderConf(d confData) (string, error) {
	t, err := template.New("conf").Option("missingkey=error").Parse(confText)
	if err != nil {
		return "", fmt.Errorf("ceph lab: configuration template: %w", err)
	}
	var b strings.Builder
	if err := t.Execute(&b, d); err != nil {
		return "", fmt.Errorf("ceph lab: configuration template: %w", err)
	}
	return b.String(), nil
}

func (d confData) V1Port() int  { return d.Port + 1 }
func (d confData) BindMin() int { return d.Port + 10 }
func (d confData) BindMax() int { return d.Port + 99 }
func (d confData) Addrs() string {
	return fmt.Sprintf("[v2:127.0.0.1:%d,v1:127.0.0.1:%d]", d.Port, d.V1Port())
}
