package session

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable makes text from a peer fit for a terminal and a log: no control
// characters (a terminal would obey them), valid UTF-8, white space kept, bounded.
func Printable(s string) string {
	s = strings.ToValidUTF8(cut(s), "?")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r): // Cf: bidirectional overrides and the like
			return -1
		}
		return r
	}, s)
}

// cut bounds a text without splitting a character.
func cut(s string) string {
	if len(s) <= MaxFailureText {
		return s
	}
	s = s[:MaxFailureText]
	for len(s) > 0 {
		if r, n := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || n != 1 {
			break
		}
		s = s[:len(s)-1]
	}
	return s + "..."
}
