package api

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// formats are the formats that schemas name, each with what is wrong with a
// string, "" when nothing is.
var formats = map[string]func(string) string{
	"date-time": wrongTime,
	"email":     wrongEmail,
	"uri":       wrongURL,
	"time-zone": wrongZone,
	"hostname":  wrongHost,
}

func wrongTime(s string) string {
	switch _, err := parseTime(s); {
	case errors.Is(err, errYear):
		return "must lie in the years 0000 to 9999 in UTC"
	case err != nil:
		return "must be an RFC 3339 time, such as 2026-01-31T12:00:00Z"
	default:
		return ""
	}
}

// timeForm is what time.Parse does not see to: hours of two digits, no comma before the
// fraction, zones of less than a day.
var timeForm = regexp.MustCompile(`^[^T]+T\d\d:[^,]+(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// errYear is that of a time which is in another year in UTC, one that has no four
// digits and so cannot be written.
var errYear = errors.New("the year has no four digits in UTC")

// parseTime reads an RFC 3339 time, whatever its zone, as UTC.
func parseTime(s string) (time.Time, error) {
	if !timeForm.MatchString(s) {
		return time.Time{}, errors.New("not RFC 3339")
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	t = t.UTC()
	if year := t.Year(); err == nil && (year < 0 || year > 9999) {
		return time.Time{}, errYear
	}
	return t, err
}

// emailForm is a Mailbox of RFC 5321 without quotes and address literals: words with
// single dots between them, at a host name.
var emailForm = regexp.MustCompile(`^[^\s@<>()\[\]",;:.\\\x00-\x1f\x7f]+(\.[^\s@<>()\[\]",;:.\\\x00-\x1f\x7f]+)*@(` + hostLabel + `\.)*` + hostLabel + `$`)

const hostLabel = `[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?`

func wrongEmail(s string) string {
	local, host, _ := strings.Cut(s, "@")
	if !emailForm.MatchString(s) || utf8.RuneCountInString(local) > 64 || len(host) > 253 {
		return "must be an e-mail address"
	}
	return ""
}

// urlForm is RFC 3986, for URLs with a host and without user and fragment. net/url
// takes more, and what it took would go to a browser as it is.
var urlForm = regexp.MustCompile(`^[A-Za-z]+://(\[[0-9A-Fa-f:.]+\]|` + urlCharacter + `+)(:[0-9]*)?(/(` + urlCharacter + `|[:@/])*)?(\?(` + urlCharacter + `|[:@/?])*)?$`)

// urlCharacter is one that stands for itself, or one that is percent-encoded.
const urlCharacter = `([A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})`

func wrongURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || !urlForm.MatchString(s) || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return "must be an https URL as in RFC 3986, without user and fragment"
	}
	return ""
}

// wrongZone knows the zones of the time-zone database. "Local" is where a server
// happens to stand, and nobody's choice.
func wrongZone(s string) string {
	if s == "" || s == "Local" {
		return "must be an IANA time zone, such as Europe/Berlin"
	}
	if _, err := time.LoadLocation(s); err != nil {
		return "must be an IANA time zone, such as Europe/Berlin"
	}
	return ""
}

var hostForm = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func wrongHost(s string) string {
	if len(s) > 253 || !hostForm.MatchString(s) || strings.Trim(s, "0123456789.") == "" {
		return "must be a lower-case host name"
	}
	return ""
}
