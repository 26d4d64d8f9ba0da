package hp3par

import (
	"encoding/json"
	"net/http"
	"time"
)

// putGroup is every change of a group that has an action 1 to 5, or none.
func putGroup(c *call) (reply, *opError) {
	g, err := c.group()
	if err != nil {
		return reply{}, err
	}
	var probe struct {
		Action *int `json:"action"`
	}
	if json.Unmarshal(c.body, &probe) != nil {
		return reply{}, errInput("action", "invalid input: action must be a number in a JSON object")
	}
	if probe.Action == nil {
		return done(http.StatusOK, c.modifyGroup(g))
	}
	switch *probe.Action {
	case 1:
		return done(http.StatusOK, c.admitVolume(g))
	case 2:
		var in struct {
			Action     int    `json:"action"`
			VolumeName string `json:"volumeName"`
			KeepSnap   bool   `json:"keepSnap"`
		}
		if err := decode(c.body, &in); err != nil {
			return reply{}, err
		}
		return done(http.StatusOK, c.m.dismiss(g, in.VolumeName, in.KeepSnap, false))
	case 3:
		return done(http.StatusOK, c.startGroup(g))
	case 4:
		var in struct {
			Action     int    `json:"action"`
			NoSnapshot bool   `json:"noSnapshot"`
			TargetName string `json:"targetName"`
		}
		if err := decode(c.body, &in); err != nil {
			return reply{}, err
		}
		return done(http.StatusOK, c.m.stop(g, in.TargetName, false))
	case 5:
		var in struct {
			Action           int    `json:"action"`
			NoResyncSnapshot bool   `json:"noResyncSnapshot"`
			TargetName       string `json:"targetName"`
			FullSync         bool   `json:"fullSync"`
		}
		if err := decode(c.body, &in); err != nil {
			return reply{}, err
		}
		_, err := c.m.sync(g, syncOptions{target: in.TargetName, full: in.FullSync}, c.user)
		return done(http.StatusOK, err)
	}
	return reply{}, errEnum("action", *probe.Action)
}

func (c *call) startGroup(g *group) *opError {
	var in struct {
		Action            int    `json:"action"`
		SkipInitialSync   bool   `json:"skipInitialSync"`
		TargetName        string `json:"targetName"`
		StartingSnapshots []struct {
			VolumeName   string `json:"volumeName"`
			SnapshotName string `json:"snapshotName"`
		} `json:"startingSnapshots"`
	}
	if err := decode(c.body, &in); err != nil {
		return err
	}
	o := startOptions{target: in.TargetName, noSync: in.SkipInitialSync}
	for _, s := range in.StartingSnapshots {
		if o.snapshot == nil {
			o.snapshot = map[string]string{}
		}
		o.snapshot[s.VolumeName] = s.SnapshotName
	}
	_, err := c.m.start(g, o, c.user)
	return err
}

// admitInput is the body of both ways to add a volume.
type admitInput struct {
	Action     int    `json:"action"`
	VolumeName string `json:"volumeName"`
	Targets    []struct {
		TargetName    string `json:"targetName"`
		SecVolumeName string `json:"secVolumeName"`
	} `json:"targets"`
	SnapshotName          string `json:"snapshotName"`
	VolumeAutoCreation    bool   `json:"volumeAutoCreation"`
	SkipInitialSync       bool   `json:"skipInitialSync"`
	DifferentSecondaryWWN bool   `json:"differentSecondaryWWN"`
}

func (c *call) admitVolume(g *group) *opError {
	var in admitInput
	if err := decode(c.body, &in); err != nil {
		return err
	}
	switch {
	case in.VolumeName == "":
		return errMissing("volumeName")
	case len(in.Targets) != 1:
		return errMissing("targets")
	}
	// The array answers a started group with 215 before it looks at anything else.
	return c.m.admit(g, admission{
		volume: in.VolumeName, target: in.Targets[0].TargetName, secondary: in.Targets[0].SecVolumeName,
		create: in.VolumeAutoCreation, noSync: in.SkipInitialSync, snapshot: in.SnapshotName,
	})
}

func postMember(c *call) (reply, *opError) {
	g, err := c.group()
	if err != nil {
		return reply{}, err
	}
	return done(http.StatusOK, c.admitVolume(g))
}

func deleteMember(c *call) (reply, *opError) {
	g, err := c.group()
	if err != nil {
		return reply{}, err
	}
	return done(http.StatusOK, c.m.dismiss(g, c.args[1], c.query.Get("keepSnap") == "true", c.query.Get("removeSecondaryVolume") == "true"))
}

type targetChange struct {
	TargetName     string  `json:"targetName"`
	RemoteUserCPG  *string `json:"remoteUserCPG"`
	RemoteSnapCPG  *string `json:"remoteSnapCPG"`
	SyncPeriod     *int    `json:"syncPeriod"`
	RmSyncPeriod   bool    `json:"rmSyncPeriod"`
	Mode           *int    `json:"mode"`
	SnapFrequency  *int    `json:"snapFrequency"`
	RmSnapFrequncy *bool   `json:"rmSnapFrequency"`
	Policies       *struct {
		AutoRecover     *bool `json:"autoRecover"`
		OverPeriodAlert *bool `json:"overPeriodAlert"`
		AutoFailover    *bool `json:"autoFailover"`
		PathManagement  *bool `json:"pathManagement"`
	} `json:"policies"`
}

func (c *call) modifyGroup(g *group) *opError {
	var in struct {
		LocalUserCPG *string        `json:"localUserCPG"`
		LocalSnapCPG *string        `json:"localSnapCPG"`
		Targets      []targetChange `json:"targets"`
		UnsetUserCPG bool           `json:"unsetUserCPG"`
		UnsetSnapCPG bool           `json:"unsetSnapCPG"`
	}
	if err := decode(c.body, &in); err != nil {
		return err
	}
	if in.UnsetUserCPG && in.LocalUserCPG != nil || in.UnsetSnapCPG && in.LocalSnapCPG != nil {
		return errConflict("unsetUserCPG")
	}
	for _, name := range []*string{in.LocalUserCPG, in.LocalSnapCPG} {
		if name != nil && c.a.cpg(*name) == nil {
			return errCPGMissing(*name)
		}
	}
	for _, t := range in.Targets {
		if err := c.checkTargetChange(g, t); err != nil {
			return err
		}
	}
	if in.LocalUserCPG != nil || in.UnsetUserCPG {
		g.userCPG = text(in.LocalUserCPG)
	}
	if in.LocalSnapCPG != nil || in.UnsetSnapCPG {
		g.snapCPG = text(in.LocalSnapCPG)
	}
	for _, t := range in.Targets {
		if err := c.applyTargetChange(g, t); err != nil {
			return err
		}
	}
	return nil
}

func (c *call) checkTargetChange(g *group, t targetChange) *opError {
	peer := g.peer()
	switch {
	case t.TargetName == "":
		return errMissing("targetName")
	case peer == nil || t.TargetName != peer.array.name:
		return errInvalidTarget(t.TargetName, g.name)
	case t.Policies != nil && (t.SyncPeriod != nil || t.RmSyncPeriod):
		return errConflict("syncPeriod")
	case t.SnapFrequency != nil || t.RmSnapFrequncy != nil:
		return errNotSimulated("snapFrequency")
	}
	for _, name := range []*string{t.RemoteUserCPG, t.RemoteSnapCPG} {
		if name != nil && peer.array.cpg(*name) == nil {
			return errCPGMissing(*name)
		}
	}
	return nil
}

func (c *call) applyTargetChange(g *group, t targetChange) *opError {
	peer := g.peer()
	if t.RemoteUserCPG != nil {
		peer.userCPG = *t.RemoteUserCPG
	}
	if t.RemoteSnapCPG != nil {
		peer.snapCPG = *t.RemoteSnapCPG
	}
	if t.Mode != nil {
		md, err := apiMode(*t.Mode)
		if err == nil {
			err = c.m.mayConfigure(g)
		}
		if err != nil {
			return err
		}
		g.pair.mode = md
	}
	if t.RmSyncPeriod {
		if err := c.m.setPeriod(g, t.TargetName, 0); err != nil {
			return err
		}
	}
	if t.SyncPeriod != nil && *t.SyncPeriod != 0 {
		if err := c.m.setPeriod(g, t.TargetName, time.Duration(*t.SyncPeriod)*time.Second); err != nil {
			return err
		}
	}
	if t.Policies == nil {
		return nil
	}
	for _, p := range []struct {
		name string
		on   *bool
	}{{"auto_recover", t.Policies.AutoRecover}, {"over_per_alert", t.Policies.OverPeriodAlert},
		{"auto_failover", t.Policies.AutoFailover}, {"path_management", t.Policies.PathManagement}} {
		if p.on == nil {
			continue
		}
		if err := c.m.setPolicy(g, p.name, *p.on); err != nil {
			return err
		}
	}
	return nil
}

var actionVerbs = map[int]verb{6: verbReverse, 7: verbFailover, 8: verbSwitchover, 9: verbRecover, 10: verbRestore, 11: verbOverride}

// postDirection changes a group's direction; completion must be polled.
func postDirection(c *call) (reply, *opError) {
	g, err := c.group()
	if err != nil {
		return reply{}, err
	}
	var in struct {
		Action               *int   `json:"action"`
		TargetName           string `json:"targetName"`
		SkipStart            bool   `json:"skipStart"`
		SkipSync             bool   `json:"skipSync"`
		DiscardNewData       bool   `json:"discardNewData"`
		SkipPromote          bool   `json:"skipPromote"`
		NoSnapshot           bool   `json:"noSnapshot"`
		StopGroups           bool   `json:"stopGroups"`
		LocalGroupsDirection bool   `json:"localGroupsDirection"`
	}
	if err := decode(c.body, &in); err != nil {
		return reply{}, err
	}
	if in.Action == nil {
		return reply{}, errMissing("action")
	}
	v, known := actionVerbs[*in.Action]
	if !known {
		return reply{}, errEnum("action", *in.Action)
	}
	o := drOptions{
		target: in.TargetName, noStart: in.SkipStart, noSync: in.SkipSync, discard: in.DiscardNewData, noPromote: in.SkipPromote,
		noSnap: in.NoSnapshot, stopGroups: in.StopGroups, local: in.LocalGroupsDirection,
	}
	if in.LocalGroupsDirection {
		o.current = true // the WSAPI has no key for the choice; -local needs one
	}
	_, err = c.m.direct(g, v, o, c.user)
	return done(http.StatusOK, err)
}
