// Package version names this build.
package version

import "runtime/debug"

// number is the release; the linker may replace it (-X).
var number = "0.1.0-dev"

// String returns the release and, where the build recorded it, the revision.
func String() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return number
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return number + "+" + s.Value[:12]
		}
	}
	return number
}
