package hp3par

import "time"

// listing is what one array tells about all of its groups at one moment.
type listing struct {
	groups map[string]group
	links  []link
	at     time.Time // when it was asked
}

// role is a role in the array's own word.
type role string

const (
	primary      role = "Primary"
	secondary    role = "Secondary"
	primaryRev   role = "Primary-Rev"
	secondaryRev role = "Secondary-Rev"
)

func (r role) primary() bool   { return r == primary || r == primaryRev }
func (r role) secondary() bool { return r == secondary || r == secondaryRev }
func (r role) reversed() bool  { return r == primaryRev || r == secondaryRev }

// Words of the Status column that decide something. The others (Restart, Backup,
// Logging, Stopping) are shown and waited for.
const (
	statusNew      = "New"
	statusStarting = "Starting"
	statusStarted  = "Started"
	statusStopping = "Stopping"
	statusStopped  = "Stopped"
	statusFailsafe = "Failsafe"
)

// Words of the Mode column.
const (
	modeSync     = "Sync"
	modePeriodic = "Periodic"
	modeAsync    = "Async"
)

// group is one row of `showrcopy groups` with its volumes.
type group struct {
	name, target, status string
	role                 role
	mode                 string
	lastSync             stamp
	period               time.Duration // 0: none shown
	policies             []string
	members              []member
	peerName             string // the peer's name of the group, where the method tells it
}

// member is one volume of a group.
type member struct {
	local, remote string
	sync          string // the word, without a percentage
	percent       int    // of a transfer; -1: not shown
	last          stamp
}

// stamp is a time as an array shows it.
type stamp struct {
	text string    // as shown; empty or NA: none
	wall int64     // seconds of its own calendar, for comparisons with each other
	at   time.Time // zero: the zone is not known
	err  error
}

// none says that the array shows no time here.
func (s stamp) none() bool { return s.text == "" || s.text == "NA" }

// link is one row of `showrcopy links`.
type link struct{ target, status string }

// linkUp says whether an outbound link to target is up: one is enough. Rows of inbound links carry
// the name "receive". A word that is not known is neither up nor down.
func (l listing) linkUp(target string) (up, known bool) {
	odd := false
	for _, x := range l.links {
		switch {
		case x.target != target:
		case x.status == "Up":
			return true, true
		case x.status == "Down":
			known = true
		default:
			odd = true
		}
	}
	return false, known && !odd
}
