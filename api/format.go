package api

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
	"time"
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
	if _, err := parseTime(s); err != nil {
		return "must be an RFC 3339 time, such as 2026-01-31T12:00:00Z"
	}
	return ""
}

// timeForm is what time.Parse does not see to: hours of two digits, no comma before the
// fraction, zones of less than a day.
var timeForm = regexp.MustCompile(`^[^T]+T\d\d:[^,]+(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// parseTime reads an RFC 3339 time, whatever its zone, as UTC.
func parseTime(s string) (time.Time, error) {
	if !timeForm.MatchString(s) {
		return time.Time{}, errors.New("not RFC 3339")
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	return t.UTC(), err
}

var emailForm = regexp.MustCompile(`^[^\s@<>()",;:\\\x00-\x1f]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$`)

func wrongEmail(s string) string {
	if !emailForm.MatchString(s) {
		return "must be an e-mail address"
	}
	return ""
}

func wrongURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return "must be an https URL without user and fragment"
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
