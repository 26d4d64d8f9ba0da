package hp3par

import (
	"errors"
	"fmt"
	"net/http"
)

var (
	// ErrScenario: a scenario file cannot be used.
	ErrScenario = errors.New("scenario")
	// ErrOptions: the simulator cannot be started with these options.
	ErrOptions = errors.New("options")
	// ErrClosed: the simulator has been closed.
	ErrClosed = errors.New("simulator closed")
)

// opError is a refusal by the array: text for the CLI, number and status for the
// WSAPI.
type opError struct {
	code int    // WSAPI code; 9000 and up where the real number is not public
	http int    // WSAPI status
	desc string // one sentence
	ref  string // WSAPI: the offending key
}

func (e *opError) Error() string { return e.desc }

func refuse(code, status int, format string, args ...any) *opError {
	return &opError{code: code, http: status, desc: fmt.Sprintf(format, args...)}
}

func errGroupMissing(name string) *opError {
	return refuse(187, http.StatusNotFound, "group %s does not exist on the system", name)
}

func errGroupExists(name string) *opError {
	return refuse(237, http.StatusConflict, "Group %s already exists", name)
}

func errGroupStarted(name string) *opError {
	return refuse(215, http.StatusForbidden, "Group %s has already been started", name)
}

func errGroupNotStopped(name string) *opError {
	return refuse(284, http.StatusForbidden, "Group %s is not stopped", name)
}

func errNotSwitched(name string) *opError {
	return refuse(29, http.StatusBadRequest, "Operation not allowed: the role of group %s was not previously switched", name)
}

func errGroupEmpty(name string) *opError {
	return refuse(9001, http.StatusBadRequest, "Group %s must contain volumes before being started", name)
}

func errOnlyPrimary(name string) *opError {
	return refuse(9002, http.StatusForbidden, "Operation on group %s should be performed only on the primary side", name)
}

func errGroupBusy(name string) *opError {
	return refuse(9004, http.StatusForbidden, "Group %s is currently busy, the operation could be retried later", name)
}

func errTargetNotReady(target string) *opError {
	return refuse(9005, http.StatusForbidden, "Target %s is not ready", target)
}

func errVolumeInGroup(vol, group string) *opError {
	return refuse(9006, http.StatusConflict, "Volume %s is already in group %s", vol, group)
}

func errVolumeNotInGroup(vol, group string) *opError {
	return refuse(9007, http.StatusNotFound, "Volume %s is not in group %s", vol, group)
}

func errInSync(name string) *opError {
	return refuse(9008, http.StatusForbidden, "Group %s is already involved in synchronization", name)
}

func errInFailover(name string) *opError {
	return refuse(9009, http.StatusForbidden, "Group %s is in failover state: both systems are in the primary state", name)
}

func errSizeMismatch(vol, sec string) *opError {
	return refuse(9010, http.StatusForbidden, "Volumes %s and %s do not have the same size", vol, sec)
}

func errRoleConflict(name, role string) *opError {
	return refuse(9011, http.StatusForbidden, "Group %s is not in the correct role for this operation (it is %s)", name, role)
}

func errNotStarted(name string) *opError {
	return refuse(9014, http.StatusForbidden, "Group %s is not started", name)
}

func errUnlicensed(feature string) *opError {
	return refuse(9015, http.StatusForbidden, "The system is not licensed for %s", feature)
}

func errInvalidTarget(target, group string) *opError {
	return refuse(9016, http.StatusBadRequest, "%s is not a target of group %s", target, group)
}

func errPermission(user, role string) *opError {
	return refuse(9013, http.StatusForbidden, "Permission denied: user %s has role %s, which may not change the system", user, role)
}

func errNotSimulated(what string) *opError {
	return refuse(9099, http.StatusNotImplemented, "%s is not simulated", what)
}

func errInput(ref, format string, args ...any) *opError {
	e := refuse(12, http.StatusBadRequest, format, args...)
	e.ref = ref
	return e
}

func errMissing(ref string) *opError {
	return &opError{code: 40, http: http.StatusBadRequest, desc: "invalid input: missing required", ref: ref}
}

func errConflict(ref string) *opError {
	return &opError{code: 44, http: http.StatusBadRequest, desc: "invalid input: parameters cannot be present at the same time", ref: ref}
}

func errEnum(ref string, got any) *opError {
	return &opError{code: 46, http: http.StatusBadRequest, desc: fmt.Sprintf("invalid input: bad enum value %v", got), ref: ref}
}

func errTooLong(what, name string, limit int) *opError {
	return refuse(57, http.StatusBadRequest, "invalid input: %s name %q exceeds %d characters", what, name, limit)
}

func errVolumeMissing(name string) *opError {
	return refuse(23, http.StatusNotFound, "volume %s does not exist", name)
}

func errVolumeExists(name string) *opError {
	return refuse(22, http.StatusConflict, "volume %s already exists", name)
}

func errVolumeInRcopy(name string) *opError {
	return refuse(120, http.StatusForbidden, "volume %s is involved in remote copy", name)
}

func errCPGMissing(name string) *opError {
	return refuse(15, http.StatusNotFound, "CPG %s does not exist", name)
}

func errHostMissing(name string) *opError {
	return refuse(17, http.StatusNotFound, "host %s does not exist", name)
}
