package hp3par

import (
	"fmt"
	"strings"
	"time"
)

// Profile names a generation of the array.
type Profile string

const (
	Profile3PAR    Profile = "3par-3.x"
	ProfileAlletra Profile = "alletra-10.5"
)

// profile is what differs between generations.
type profile struct {
	name        Profile
	release     string
	model       string
	wsapiMinor  int
	wsapiBuild  int
	autonomous  bool   // restart by itself after failover
	returning   string // old primary after failover: primary or secondary-rev
	snapCPG     bool   // volumes and groups have snapshot CPGs
	tightCommas bool   // spacing inside the Options column
	zone        string
}

func profileByName(name Profile) (profile, error) {
	switch name {
	case Profile3PAR, "":
		return profile{
			name: Profile3PAR, release: "3.3.1.648", model: "HPE_3PAR 8200", wsapiMinor: 6, wsapiBuild: 30301215,
			returning: "primary", snapCPG: true, zone: "UTC",
		}, nil
	case ProfileAlletra:
		return profile{
			name: ProfileAlletra, release: "10.5.0.50", model: "HPE Alletra Storage MP B10000", wsapiMinor: 15, wsapiBuild: 100500050,
			autonomous: true, returning: "secondary-rev", tightCommas: true, zone: "UTC",
		}, nil
	default:
		return profile{}, fmt.Errorf("%w: profile %q (known: %s, %s)", ErrOptions, name, Profile3PAR, ProfileAlletra)
	}
}

// zones are the time zone names that need no offset; the array prints a name
// only, which is exactly the trap that its readers must handle.
func zoneByName(text string) (*time.Location, error) {
	name, offset, explicit := strings.Cut(text, "=")
	if explicit {
		at, err := time.Parse("-07:00", offset)
		if err != nil {
			return nil, fmt.Errorf("timezone %q: expected NAME=+HH:MM", text)
		}
		_, seconds := at.Zone()
		return time.FixedZone(name, seconds), nil
	}
	known := map[string]int{
		"UTC": 0, "GMT": 0, "WET": 0, "CET": 3600, "CEST": 7200, "EET": 7200, "MSK": 10800,
		"IST": 19800, "JST": 32400, "EST": -18000, "EDT": -14400, "CST": -21600, "MST": -25200, "PST": -28800, "PDT": -25200,
	}
	seconds, ok := known[name]
	if !ok {
		return nil, fmt.Errorf("timezone %q is not known: write NAME=+HH:MM", text)
	}
	return time.FixedZone(name, seconds), nil
}
