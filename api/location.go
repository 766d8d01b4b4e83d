package api

import (
	"slices"
	"strings"
)

// memberNames are those that one thing has in the bodies of different calls, or
// in one body.
var memberNames = [][]string{{"token", "provider_id", "number"}, {"set_as_default", "is_default"}}

// requestParts are what the places in a request begin with.
var requestParts = []string{"body", "header", "path", "query"}

// outermost is the first name of a place: card of card.exp_month.
func outermost(place string) string {
	if end := strings.IndexAny(place, ".["); end >= 0 {
		return place[:end]
	}
	return place
}

// located names the place of a fault as the request does. The domain and gateways
// name the member of a command, as most calls write it: it may be a parameter of the
// query, this caller may have written another name, and a call without such a member
// is about what its path names.
func (c *call) located(location string) string {
	if !slices.Contains(requestParts, outermost(location)) {
		if slices.ContainsFunc(c.parameters, func(p parameter) bool { return p.name == location }) {
			return "query." + location
		}
		location = "body." + location
	}
	at, inBody := strings.CutPrefix(location, "body.")
	if !inBody || c.wrote(at) {
		return location
	}
	member := outermost(at)
	names := []string{member}
	for _, same := range memberNames {
		if slices.Contains(same, member) {
			names = append(names, same...)
		}
	}
	names = slices.DeleteFunc(names, func(name string) bool { return c.shape == nil || c.shape.members[name] == nil })
	for _, name := range names {
		if _, written := c.body.member(name); written {
			return "body." + name
		}
	}
	switch parameter := c.pathParameter(); {
	case slices.Contains(names, member):
		return location
	case len(names) > 0:
		return "body." + names[0]
	case parameter != "":
		return "path." + parameter
	default:
		return location
	}
}

// wrote tells whether the caller wrote the member that a place in the body is, or
// is inside of.
func (c *call) wrote(at string) bool {
	return slices.ContainsFunc(c.body.names, func(name string) bool {
		rest, inside := strings.CutPrefix(at, name)
		return inside && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// pathParameter is the name of the last one, which names what the call is about.
func (r *route) pathParameter() string {
	last := ""
	for part := range strings.SplitSeq(r.path, "/") {
		if name, is := strings.CutPrefix(part, ":"); is {
			last = name
		}
	}
	return last
}
