package hp3par

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Operations that make and remove volumes, members and exports.
const (
	opMakeVolume   = "create-volume"
	opDropVolume   = "remove-volume"
	opComment      = "comment"
	opUncomment    = "uncomment"
	opMakeGroup    = "create-group"
	opPeriod       = "period"
	opAutoRecover  = "auto-recover"
	opAdmit        = "admit"      // and make the secondary volume
	opAdmitOld     = "admit-old"  // with a secondary volume that exists: it is overwritten
	opDismiss      = "dismiss"    // both volumes stay
	opDismissBoth  = "dismiss-rm" // the secondary volume goes
	opExport       = "export"
	opUnexport     = "unexport"
	autoLUN        = "auto"
	emptyWord      = `""`
	periodicTarget = "periodic"
	asyncTarget    = "async"
)

// Keys of act.with.
const (
	argVolume  = "volume"
	argRemote  = "remote"
	argTarget  = "target" // the peer array, as this one calls it
	argCPG     = "cpg"
	argSnapCPG = "snap_cpg"
	argPeerCPG = "peer_cpg"
	argPeerSnp = "peer_snap_cpg"
	argSizeMiB = "size_mib"
	argProv    = "provisioning"
	argCompr   = "compression"
	argComment = "comment"
	argMode    = "mode"
	argPeriod  = "period"
	argLUN     = "lun"
	argHost    = "host"
	argWhy     = "why" // not sent: the reason of a step that undoes
)

// lifeCycleLine is the command line of an act of the life cycle.
func lifeCycleLine(a act) (string, bool, error) {
	words, ok := lifeCycleWords(a)
	if !ok {
		return "", false, nil
	}
	for i, w := range words {
		if w == emptyWord || i == 0 || strings.HasPrefix(w, "-") && slices.Contains(lifeCycleFlags(), w) {
			continue
		}
		if !plainWord.MatchString(w) {
			return "", true, fmt.Errorf("%w: %q", ErrArgument, w)
		}
	}
	return strings.Join(words, " "), true, nil
}

func lifeCycleFlags() []string {
	return []string{"-f", "-tpvv", "-tdvv", "-compr", "-snp_cpg", "-usr_cpg", "-comment", "-createvv", "-removevv"}
}

// lifeCycleWords are the words of an act's command line.
func lifeCycleWords(a act) ([]string, bool) {
	w := a.with
	target := w[argTarget]
	switch a.op {
	case opMakeVolume:
		return createVolumeWords(w), true
	case opDropVolume:
		return []string{"removevv", "-f", w[argVolume]}, true
	case opComment:
		return []string{"setvv", "-comment", w[argComment], w[argVolume]}, true
	case opUncomment:
		return []string{"setvv", "-comment", emptyWord, w[argVolume]}, true
	case opMakeGroup:
		words := []string{"creatercopygroup", "-usr_cpg", w[argCPG], target + ":" + w[argPeerCPG]}
		if w[argSnapCPG] != "" {
			words = append(words, "-snp_cpg", w[argSnapCPG], target+":"+w[argPeerSnp])
		}
		return append(words, a.group, target+":"+w[argMode]), true
	case opPeriod:
		return []string{"setrcopygroup", "period", w[argPeriod] + "s", target, a.group}, true
	case opAutoRecover:
		return []string{"setrcopygroup", "pol", "auto_recover", a.group}, true
	case opAdmit:
		return []string{"admitrcopyvv", "-createvv", w[argVolume], a.group, target + ":" + w[argRemote]}, true
	case opAdmitOld:
		return []string{"admitrcopyvv", w[argVolume], a.group, target + ":" + w[argRemote]}, true
	case opDismiss:
		return []string{"dismissrcopyvv", "-f", w[argVolume], a.group}, true
	case opDismissBoth:
		return []string{"dismissrcopyvv", "-f", "-removevv", w[argVolume], a.group}, true
	case opExport:
		return []string{"createvlun", w[argVolume], w[argLUN], w[argHost]}, true
	case opUnexport:
		return []string{"removevlun", "-f", w[argVolume], w[argLUN], w[argHost]}, true
	}
	return nil, false
}

func createVolumeWords(w map[string]string) []string {
	words := []string{"createvv"}
	switch w[argProv] {
	case provThin:
		words = append(words, "-tpvv")
	case provDedup:
		words = append(words, "-tdvv")
	}
	if w[argCompr] != "" {
		words = append(words, "-compr")
	}
	if w[argSnapCPG] != "" {
		words = append(words, "-snp_cpg", w[argSnapCPG])
	}
	if w[argComment] != "" {
		words = append(words, "-comment", w[argComment])
	}
	return append(words, w[argCPG], w[argVolume], w[argSizeMiB]+"m")
}

// object is a body of the WSAPI.
type object = map[string]any

// lifeCycleRequest is the WSAPI request of an act of the life cycle.
func lifeCycleRequest(a act) (request, bool, error) {
	for k, s := range a.with {
		if s != "" && !plainWord.MatchString(s) {
			return request{}, true, fmt.Errorf("%w: %s %q", ErrArgument, k, s)
		}
	}
	w := a.with
	group, volume := "/remotecopygroups/"+url.PathEscape(a.group), "/volumes/"+url.PathEscape(w[argVolume])
	target := func(more object) object {
		more["targetName"] = w[argTarget]
		return object{"targets": []object{more}}
	}
	switch a.op {
	case opMakeVolume:
		body, err := createVolumeBody(w)
		return request{http.MethodPost, "/volumes", body, nil}, true, err
	case opDropVolume:
		return request{http.MethodDelete, volume, nil, nil}, true, nil
	case opComment, opUncomment:
		return request{http.MethodPut, volume, object{"comment": w[argComment]}, nil}, true, nil
	case opMakeGroup:
		return request{http.MethodPost, "/remotecopygroups", createGroupBody(a), nil}, true, nil
	case opPeriod:
		n, err := strconv.Atoi(w[argPeriod])
		return request{http.MethodPut, group, target(object{"syncPeriod": n}), nil}, true, err
	case opAutoRecover:
		return request{http.MethodPut, group, target(object{"policies": object{"autoRecover": true}}), nil}, true, nil
	case opAdmit, opAdmitOld:
		body := target(object{"secVolumeName": w[argRemote]})
		body["action"], body["volumeName"] = 1, w[argVolume]
		if a.op == opAdmit {
			body["volumeAutoCreation"] = true
		}
		return request{http.MethodPut, group, body, nil}, true, nil
	case opDismiss:
		return request{http.MethodPut, group, object{"action": 2, "volumeName": w[argVolume]}, nil}, true, nil
	case opDismissBoth:
		return request{http.MethodDelete, group + volume + "?removeSecondaryVolume=true", nil, nil}, true, nil
	}
	return exportRequest(a)
}

func createVolumeBody(w map[string]string) (object, error) {
	size, err := strconv.ParseInt(w[argSizeMiB], 10, 64)
	body := object{"name": w[argVolume], "cpg": w[argCPG], "sizeMiB": size}
	switch w[argProv] {
	case provThin:
		body["tpvv"] = true
	case provDedup:
		body["tdvv"] = true
	}
	if w[argCompr] != "" {
		body["compression"] = true
	}
	if w[argSnapCPG] != "" {
		body["snapCPG"] = w[argSnapCPG]
	}
	if w[argComment] != "" {
		body["comment"] = w[argComment]
	}
	return body, err
}

// createGroupBody: the WSAPI's numbers of modes are 1 sync, 2 periodic, 4 async.
func createGroupBody(a act) object {
	w := a.with
	t := object{"targetName": w[argTarget], "mode": map[string]int{"sync": 1, periodicTarget: 2, asyncTarget: 4}[w[argMode]], "userCPG": w[argPeerCPG]}
	body := object{"name": a.group, "localUserCPG": w[argCPG], "targets": []object{t}}
	if w[argSnapCPG] != "" {
		body["localSnapCPG"], t["snapCPG"] = w[argSnapCPG], w[argPeerSnp]
	}
	return body
}

func exportRequest(a act) (request, bool, error) {
	w := a.with
	switch a.op {
	case opExport:
		body := object{"volumeName": w[argVolume], "hostname": w[argHost]}
		if w[argLUN] == autoLUN {
			body["autoLun"], body["lun"], body["maxAutoLun"] = true, 0, 0
			return request{http.MethodPost, "/vluns", body, nil}, true, nil
		}
		n, err := strconv.Atoi(w[argLUN])
		body["lun"] = n
		return request{http.MethodPost, "/vluns", body, nil}, true, err
	case opUnexport:
		return request{http.MethodDelete, "/vluns/" + strings.Join([]string{w[argVolume], w[argLUN], w[argHost]}, ","), nil, nil}, true, nil
	}
	return request{}, false, nil
}
