package infinibox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// envelope is around every answer:
//
//	{"result": ANY, "error": null | {code, message, is_remote, reasons}, "metadata": {ready, page, pages_total, ...}}
type envelope struct {
	Result json.RawMessage
	Meta   metadata
}

type metadata struct {
	Ready   *bool  `json:"ready"`
	Objects *int64 `json:"number_of_objects"`
	Page    *int64 `json:"page"`
	Pages   *int64 `json:"pages_total"`
}

// errorBody is the error of an envelope. Only the code is relied upon.
type errorBody struct {
	Code     string          `json:"code"`
	Message  string          `json:"message"`
	IsRemote bool            `json:"is_remote"`
	Reasons  json.RawMessage `json:"reasons"`
}

// Limits of what is read from a box.
const (
	maxAnswer  = 32 << 20 // bytes of one answer
	maxReasons = 20       // kept of one error
)

// decodeEnvelope reads one answer. Whatever is not exactly one envelope is
// ErrBadAnswer, an error in it a *BoxError, whatever the HTTP status says.
func decodeEnvelope(status int, body []byte) (envelope, error) {
	trimmed := bytes.TrimSpace(body)
	switch {
	case len(trimmed) == 0:
		return envelope{}, badAnswer(status, "empty body", nil)
	case trimmed[0] == '<':
		return envelope{}, badAnswer(status, "HTML or XML instead of JSON", trimmed)
	case trimmed[0] != '{':
		return envelope{}, badAnswer(status, "no JSON object", trimmed)
	}
	var raw struct {
		Result json.RawMessage `json:"result"`
		Error  json.RawMessage `json:"error"`
		Meta   json.RawMessage `json:"metadata"`
	}
	if err := decodeOne(trimmed, &raw); err != nil {
		return envelope{}, badAnswer(status, err.Error(), trimmed)
	}
	if len(raw.Result) == 0 && len(raw.Error) == 0 {
		return envelope{}, badAnswer(status, "neither result nor error", trimmed)
	}
	e := envelope{Result: raw.Result}
	if present(raw.Error) {
		return e, boxError(status, raw.Error)
	}
	if status < http.StatusOK || status >= http.StatusMultipleChoices {
		return e, badAnswer(status, "a failure without an error", trimmed)
	}
	if present(raw.Meta) {
		if err := json.Unmarshal(raw.Meta, &e.Meta); err != nil {
			return e, badAnswer(status, "metadata: "+err.Error(), trimmed)
		}
	}
	if e.Meta.Ready != nil && !*e.Meta.Ready {
		return e, badAnswer(status, "the box is not ready", trimmed)
	}
	return e, nil
}

func present(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// decodeOne reads exactly one JSON value.
func decodeOne(body []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(v); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return errors.New("cut off")
		}
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more than one JSON value")
	}
	return nil
}

// boxError reads the error of an envelope. An error that cannot be read is still one.
func boxError(status int, raw json.RawMessage) error {
	var body errorBody
	if err := json.Unmarshal(raw, &body); err != nil {
		return &BoxError{Status: status, Code: "UNREADABLE_ERROR", Message: err.Error()}
	}
	e := &BoxError{Status: status, Code: body.Code, Message: body.Message, IsRemote: body.IsRemote}
	if e.Code == "" {
		e.Code = fmt.Sprintf("HTTP_%d", status)
	}
	var reasons []struct {
		Message  string `json:"message"`
		Affected []struct {
			Name string `json:"name"`
			Type string `json:"type"`
		} `json:"affected_entities"`
	}
	if json.Unmarshal(body.Reasons, &reasons) != nil {
		return e // only text for people is lost
	}
	for _, r := range reasons[:min(len(reasons), maxReasons)] {
		text := r.Message
		for i, a := range r.Affected {
			text += map[bool]string{true: ": ", false: ", "}[i == 0] + a.Name
		}
		e.Reasons = append(e.Reasons, text)
	}
	return e
}
