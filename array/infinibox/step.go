package infinibox

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/ddsgo/ddsgo/array"
)

// Keys of Step.Args.
const (
	argMethod  = "method"
	argPath    = "path"
	argBody    = "body"
	argApprove = "approve" // "yes": the verb is the consent that the box may ask for
	argSpecial = "special" // a step that looks names up first, see special in do.go
	argPoint   = "point"   // restore point that sync has to pass
)

// Names of the steps that a later plan asks for.
const (
	stepSync    = "sync"
	stepSuspend = "suspend"
	stepResume  = "resume"
	stepDemote  = "demote"
	stepPromote = "promote"
	stepSwitch  = "switch_role"
	stepCreate  = "create"
	stepSource  = "create-source"
	stepUndo    = "undo-source"
	stepDelete  = "delete"
	stepDrop    = "drop-target"
)

func stepID(name, site string) string { return name + "@" + site }

// request is a step that is exactly one request.
func request(name, site, action, method, path, body string) array.Step {
	q := call{method: method, path: path, body: json.RawMessage(body)}
	return array.Step{
		ID: stepID(name, site), Site: site, Action: action, Command: q.String(),
		Args: map[string]string{argMethod: method, argPath: path, argBody: body},
	}
}

// approved is a step whose verb is the consent that the box may ask for.
func approved(s array.Step) array.Step {
	s.Args[argApprove] = "yes"
	return s
}

// act is an action of a replica that takes no body.
func act(name, site, action string, r *replica) array.Step {
	return request(name, site, action, "POST", fmt.Sprintf("replicas/%d/%s", r.ID, name), "")
}

func syncStep(site string, r *replica) array.Step {
	s := act(stepSync, site, "copy now", r)
	s.Args[argPoint] = strconv.FormatInt(number(r.point()), 10)
	return s
}

func suspendStep(site string, r *replica) array.Step {
	return act(stepSuspend, site, "suspend replication", r)
}

func resumeStep(site string, r *replica) array.Step {
	return act(stepResume, site, "resume replication", r)
}

// demoteStep makes a SOURCE a TARGET. The body is literally null.
func demoteStep(site string, r *replica) array.Step {
	s := approved(request(stepDemote, site, "take write access: make it TARGET", "POST", fmt.Sprintf("replicas/%d/change_role", r.ID), "null"))
	s.TakesWrite = site
	return s
}

// promoteStep makes a TARGET a SOURCE.
func promoteStep(site string, r *replica) array.Step {
	s := approved(request(stepPromote, site, "make it SOURCE, writable", "POST", fmt.Sprintf("replicas/%d/change_role", r.ID), "null"))
	s.GrantsWrite = site
	return s
}

// switchStep exchanges the roles of a SYNC replica in one act of the boxes.
func switchStep(from, to string, r *replica) array.Step {
	s := approved(act(stepSwitch, from, "exchange the roles", r))
	s.TakesWrite, s.GrantsWrite = from, to
	return s
}

// Do implements array.Driver: one request.
func (d *Driver) Do(ctx context.Context, s array.Step) error {
	site, ok := d.site(s.Site)
	if !ok {
		return &array.Error{Kind: array.KindInternal, Reason: "step for an unknown site " + s.Site}
	}
	if special := s.Args[argSpecial]; special != "" {
		return typed(s.Site, d.special(ctx, site, special, s))
	}
	if s.Args[argMethod] == "" || s.Args[argPath] == "" {
		return &array.Error{Kind: array.KindInternal, Site: s.Site, Reason: "step without a request: " + s.ID}
	}
	_, err := site.Client.do(ctx, call{
		method: s.Args[argMethod], path: s.Args[argPath], body: json.RawMessage(s.Args[argBody]),
		approved: s.Args[argApprove] == "yes", raw: s.ID == stepID(stepSync, s.Site),
	}, nil)
	return typed(s.Site, err)
}
