package report

// Types of the lines that a mutating verb prints with --json.
const (
	TypeStep    = "step"
	TypeWait    = "wait"
	TypePlan    = "plan"
	TypeSummary = "summary"
)

// Results of a verb.
const (
	ResultDone        = "done"
	ResultNothingToDo = "nothing_to_do"
	ResultRefused     = "refused"
	ResultUnsupported = "unsupported"
	ResultFailed      = "failed"
)

// Step is one native command that was sent.
type Step struct {
	MessageType string  `json:"message_type"` // TypeStep
	Resource    string  `json:"resource"`
	N           int     `json:"n"` // 1, 2, 3 ... within the run
	Site        string  `json:"site"`
	Action      string  `json:"action"`
	Command     string  `json:"command"`
	RC          int     `json:"rc"` // 0: confirmed; -1: no reply; else the native status
	Seconds     float64 `json:"seconds"`
}

// Wait is what a verb is waiting for.
type Wait struct {
	MessageType string `json:"message_type"` // TypeWait
	Resource    string `json:"resource"`
	What        string `json:"what"`
	Done        *int64 `json:"done"`
	Total       *int64 `json:"total"`
}

// Summary is the last line for a resource.
type Summary struct {
	MessageType string            `json:"message_type"` // TypeSummary
	Resource    string            `json:"resource"`
	Verb        string            `json:"verb"`
	Result      string            `json:"result"`
	ExitCode    int               `json:"exit_code"`
	Reason      string            `json:"reason"`
	Next        string            `json:"next"`
	Steps       int               `json:"steps"`
	Seconds     float64           `json:"seconds"`
	Warnings    []string          `json:"warnings,omitempty"`
	Info        map[string]string `json:"info,omitempty"` // what a life-cycle verb has to tell
}

// Plan is what a dry run prints: what would be done, without doing it.
type Plan struct {
	MessageType   string      `json:"message_type"` // TypePlan
	Resource      string      `json:"resource"`
	Verb          string      `json:"verb"`
	Site          string      `json:"site"`          // that shall be primary; empty where the verb changes no direction
	Result        string      `json:"result"`        // done (steps are to be done), nothing_to_do, refused, unsupported, failed
	Authoritative string      `json:"authoritative"` // the site whose content survives
	Overwrites    []Overwrite `json:"overwrites"`
	Steps         []PlanStep  `json:"steps"`
	Warnings      []string    `json:"warnings"`
	ExitCode      int         `json:"exit_code"`
	Reason        string      `json:"reason"`
	Next          string      `json:"next"`
}

// PlanStep is one foreseen native command.
type PlanStep struct {
	N       int    `json:"n"`
	Site    string `json:"site"`
	Action  string `json:"action"`
	Command string `json:"command"`
}

// Overwrite is content that exists on one side only and would be lost.
type Overwrite struct {
	Site       string  `json:"site"`
	LastCommon *string `json:"last_common"` // RFC 3339; null: unknown
	Kept       string  `json:"kept"`        // name of the snapshot that keeps it; empty: lost
	Allowed    bool    `json:"allowed"`     // --discard names this site
}
