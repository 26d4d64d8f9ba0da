package config

import (
	"fmt"
	"maps"
	"slices"

	"github.com/goccy/go-yaml"
)

// Show is the effective configuration: all files merged, defaults filled in. Load reads
// it back to the same configuration.
func (c *Config) Show() ([]byte, error) {
	doc := yaml.MapSlice{}
	if c.LocalSite != "" {
		doc = append(doc, yaml.MapItem{Key: "local_site", Value: c.LocalSite})
	}
	if len(c.Arrays) > 0 {
		arrays := yaml.MapSlice{}
		for _, n := range slices.Sorted(maps.Keys(c.Arrays)) {
			arrays = append(arrays, yaml.MapItem{Key: n, Value: c.Arrays[n]})
		}
		doc = append(doc, yaml.MapItem{Key: "arrays", Value: arrays})
	}
	resources := yaml.MapSlice{}
	for _, n := range c.Names() {
		item, err := c.Resources[n].asMap()
		if err != nil {
			return nil, err
		}
		resources = append(resources, yaml.MapItem{Key: n, Value: item})
	}
	doc = append(doc, yaml.MapItem{Key: "resources", Value: resources}, yaml.MapItem{Key: "plugins", Value: c.Plugins})
	out, err := yaml.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return out, nil
}

// asMap is the resource with its driver as the first key.
func (r Resource) asMap() (yaml.MapSlice, error) {
	var settings any
	switch {
	case r.LVM != nil:
		settings = r.LVM
	case r.HP3PAR != nil:
		settings = r.HP3PAR
	case r.RBD != nil:
		settings = r.RBD
	case r.InfiniBox != nil:
		settings = r.InfiniBox
	case r.HP3PARSnap != nil:
		settings = r.HP3PARSnap
	default:
		settings = r.Plugin
	}
	text, err := yaml.Marshal(settings)
	if err != nil {
		return nil, fmt.Errorf("resource %s: %w", r.Name, err)
	}
	var keys yaml.MapSlice
	if err := yaml.UnmarshalWithOptions(text, &keys, yaml.UseOrderedMap()); err != nil {
		return nil, fmt.Errorf("resource %s: %w", r.Name, err)
	}
	return append(yaml.MapSlice{{Key: "driver", Value: r.Driver}}, keys...), nil
}

// JSON turns what Show printed into JSON.
func JSON(text []byte) ([]byte, error) {
	out, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return out, nil
}
