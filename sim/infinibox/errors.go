package infinibox

import (
	"fmt"
	"net/http"
	"strings"
)

// apiError is an error as a box answers it.
type apiError struct {
	status   int
	code     string
	message  string
	reasons  []reason
	isRemote bool
}

type reason struct {
	Message  string           `json:"message"`
	Affected []affectedEntity `json:"affected_entities"`
}

type affectedEntity struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
	Type string `json:"type"`
}

// Error implements error.
func (e *apiError) Error() string { return fmt.Sprintf("%d %s: %s", e.status, e.code, e.message) }

func fail(status int, code, format string, args ...any) *apiError {
	return &apiError{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

func notFound(kind string, id int64) *apiError {
	code := strings.ToUpper(strings.ReplaceAll(kind, " ", "_")) + "_NOT_FOUND"
	return fail(http.StatusNotFound, code, "%s %d does not exist", kind, id)
}

func invalid(format string, args ...any) *apiError {
	return fail(http.StatusBadRequest, "SIM_INVALID_VALUE", format, args...)
}

// conflict: the request is well formed, but role or state forbid it.
func conflict(code, format string, args ...any) *apiError {
	return fail(http.StatusConflict, "SIM_"+code, format, args...)
}

func notBuilt(format string, args ...any) *apiError {
	return fail(http.StatusNotImplemented, "SIM_NOT_IMPLEMENTED", "the simulator does not implement "+format, args...)
}

// remote marks an error as the answer of the other box.
func remote(e *apiError) *apiError {
	if e == nil {
		return nil
	}
	e.isRemote = true
	return e
}
