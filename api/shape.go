package api

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore/planted"
)

// A shape is what a body must look like: a JSON Schema, as it stands in the
// OpenAPI document, prepared for checking. So what is documented and what is
// enforced are one thing.
//
// huma makes the schemas; it does not check bodies here. Its own validator lets
// null pass for an optional string, reports a missing member at its parent, and
// can be made to mind the case of names for the whole process only.
type shape struct {
	kind     string
	nullable bool
	none     bool // an empty object will do, whatever is required
	members  map[string]*shape
	required []string
	extra    *shape // of members without a name of their own; nil: there are none
	items    *shape

	enum           []string
	pattern        *regexp.Regexp
	says           string // what the pattern asks for, in words
	format         func(string) string
	minLen, maxLen int // of a string in characters, of an array in items
	min, max       float64
	unique         bool
	maxMembers     int
	names          *regexp.Regexp
}

// newShape prepares a schema. It refuses keywords that it would not enforce.
func newShape(registry huma.Registry, s *huma.Schema) (*shape, error) {
	nullable, none := false, false
	for s.Ref != "" || len(s.OneOf) > 0 {
		if s.Ref != "" {
			s = registry.SchemaFromRef(s.Ref)
			continue
		}
		for _, other := range s.OneOf[1:] {
			switch {
			case other.Type == "null":
				nullable = true
			case other.Type == huma.TypeObject && other.MaxProperties != nil && *other.MaxProperties == 0:
				none = true
			default:
				return nil, fmt.Errorf("a schema has a oneOf that is not for null or for an empty object")
			}
		}
		s = s.OneOf[0]
	}
	if len(s.AnyOf)+len(s.AllOf)+len(s.DependentRequired) > 0 || s.Not != nil || s.Const != nil || s.MultipleOf != nil ||
		s.ExclusiveMinimum != nil || s.ExclusiveMaximum != nil || s.MinProperties != nil {
		return nil, fmt.Errorf("a schema of type %s has a keyword that is not enforced", s.Type)
	}
	sh := &shape{
		kind: s.Type, nullable: nullable || s.Nullable, none: none, required: s.Required, unique: s.UniqueItems, says: s.PatternDescription,
		minLen: 0, maxLen: math.MaxInt, min: math.Inf(-1), max: math.Inf(1), maxMembers: math.MaxInt,
	}
	for _, e := range s.Enum {
		sh.enum = append(sh.enum, fmt.Sprint(e))
	}
	if s.Pattern != "" {
		sh.pattern = regexp.MustCompile(s.Pattern)
	}
	if s.Format != "" && s.Type == huma.TypeString {
		if sh.format = formats[s.Format]; sh.format == nil {
			return nil, fmt.Errorf("the format %s is not enforced", s.Format)
		}
	}
	sh.bounds(s)
	return sh, sh.parts(registry, s)
}

func (sh *shape) bounds(s *huma.Schema) {
	for _, b := range []struct {
		from *int
		to   *int
	}{{s.MinLength, &sh.minLen}, {s.MaxLength, &sh.maxLen}, {s.MinItems, &sh.minLen}, {s.MaxItems, &sh.maxLen}, {s.MaxProperties, &sh.maxMembers}} {
		if b.from != nil {
			*b.to = *b.from
		}
	}
	if s.Minimum != nil {
		sh.min = *s.Minimum
	}
	if s.Maximum != nil {
		sh.max = *s.Maximum
	}
}

func (sh *shape) parts(registry huma.Registry, s *huma.Schema) (err error) {
	if s.Items != nil {
		if sh.items, err = newShape(registry, s.Items); err != nil {
			return err
		}
	}
	if extra, ok := s.AdditionalProperties.(*huma.Schema); ok {
		if sh.extra, err = newShape(registry, extra); err != nil {
			return err
		}
		sh.names = extraNames
	}
	sh.members = make(map[string]*shape, len(s.Properties))
	for name, property := range s.Properties {
		if sh.members[name], err = newShape(registry, property); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// extraNames are the names that members without a schema of their own may have,
// apart from their length.
var extraNames = regexp.MustCompile(plainText)

// plainText is the pattern of a text without control characters.
const plainText = `^[^\x00-\x1f\x7f]*$`

// faults gathers what is wrong with a request.
type faults struct {
	list []domain.Fault
	pan  bool
}

// maxFaults bounds an answer: a body of 64 KiB has room for many more mistakes
// than anybody reads.
const maxFaults = 100

func (f *faults) add(location, message string) {
	f.note(domain.Fault{Location: location, Message: message, Code: domain.CodeValidationFailed})
}

// note adds a fault unless it reads as one that is there: names that are not shown
// are not told apart.
func (f *faults) note(fault domain.Fault) {
	if len(f.list) < maxFaults && !slices.Contains(f.list, fault) {
		f.list = append(f.list, fault)
	}
}

// addPAN notes a card number. It does not say which, and drops no other fault.
func (f *faults) addPAN(location string) {
	f.pan = true
	fault := domain.Fault{Location: location, Message: "holds what looks like a card number; send a token of the payment provider", Code: domain.CodePANDetected}
	if f.note(fault); !slices.Contains(f.list, fault) {
		f.list[maxFaults-1] = fault
	}
}

// screen looks for a card number in a text from the caller.
func (f *faults) screen(location, text string) {
	if domain.ContainsPAN(text) {
		f.addPAN(location)
	}
}

// err is the refusal that lists every fault, or nil.
func (f *faults) err() error {
	switch {
	case len(f.list) == 0:
		return nil
	case f.pan:
		return &domain.Error{Code: domain.CodePANDetected, Message: "card numbers are never accepted here", Faults: f.list}
	default:
		return &domain.Error{Code: domain.CodeValidationFailed, Message: "the request is not valid", Faults: f.list}
	}
}

// place is where in a body a value stands; it becomes text only when something
// is wrong there.
type place struct {
	parent *place
	name   string
	index  int // in an array, from 1; 0 for a member of an object
}

var shownName = regexp.MustCompile(`^[A-Za-z0-9_.:@-]{1,40}$`)

// String writes the place as "body.card.exp_month" or "body.scopes[0]". A name
// that the caller made up is shown only when it is harmless.
func (p *place) String() string {
	switch {
	case p.parent == nil:
		return p.name
	case p.index > 0:
		return p.parent.String() + "[" + strconv.Itoa(p.index-1) + "]"
	case !shownName.MatchString(p.name) || domain.ContainsPANInNumberField(p.name):
		return p.parent.String()
	default:
		return p.parent.String() + "." + p.name
	}
}

// screenAll looks for card numbers in every name, string and number of a body.
func screenAll(v *value, at *place, f *faults) {
	switch v.kind {
	case kindString, kindNumber:
		if domain.ContainsPAN(v.text) {
			f.addPAN(at.String())
		}
	case kindArray, kindObject:
		for i := range v.items {
			inner := place{parent: at, index: i + 1}
			if v.kind == kindObject {
				inner.name, inner.index = v.names[i], 0
				if !planted.UnscreenedNames.Here() && domain.ContainsPAN(inner.name) {
					f.addPAN(at.String())
				}
			}
			screenAll(&v.items[i], &inner, f)
		}
	}
}

// check adds a fault for everything about v that the shape does not allow.
func (sh *shape) check(v *value, at *place, f *faults) {
	if v.kind == kindNull {
		if !sh.nullable {
			f.add(at.String(), "must not be null")
		}
		return
	}
	switch sh.kind {
	case huma.TypeString:
		sh.checkString(v, at, f)
	case huma.TypeInteger:
		sh.checkInteger(v, at, f)
	case huma.TypeBoolean:
		if v.kind != kindBool {
			f.add(at.String(), "must be true or false")
		}
	case huma.TypeArray:
		sh.checkArray(v, at, f)
	case huma.TypeObject:
		sh.checkObject(v, at, f)
	}
}

func (sh *shape) checkString(v *value, at *place, f *faults) {
	if v.kind != kindString {
		f.add(at.String(), "must be a string")
		return
	}
	if problem := sh.wrongString(v.text); problem != "" {
		if planted.ShownValue.Here() {
			problem += ", not " + v.text
		}
		f.add(at.String(), problem)
	}
}

// wrongString says what is wrong with a string, "" when nothing is.
func (sh *shape) wrongString(s string) string {
	if sh.minLen > 0 || len(s) > sh.maxLen {
		switch n := utf8.RuneCountInString(s); {
		case n == 0 && sh.minLen > 0:
			return "must not be empty"
		case n < sh.minLen:
			return fmt.Sprintf("must have at least %d characters", sh.minLen)
		case n > sh.maxLen:
			return fmt.Sprintf("must have at most %d characters", sh.maxLen)
		}
	}
	switch {
	case len(sh.enum) > 0 && !slices.Contains(sh.enum, s):
		return "must be one of " + strings.Join(sh.enum, ", ")
	case sh.pattern != nil && !sh.pattern.MatchString(s):
		if sh.says != "" {
			return "must be " + sh.says
		}
		return "must match " + sh.pattern.String()
	case sh.format != nil:
		return sh.format(s)
	default:
		return ""
	}
}

func (sh *shape) checkInteger(v *value, at *place, f *faults) {
	n, err := strconv.ParseInt(v.text, 10, 64)
	switch {
	case v.kind != kindNumber || err != nil:
		f.add(at.String(), "must be an integer")
	case float64(n) < sh.min || float64(n) > sh.max:
		f.add(at.String(), fmt.Sprintf("must be between %g and %g", sh.min, sh.max))
	}
}

func (sh *shape) checkArray(v *value, at *place, f *faults) {
	if v.kind != kindArray {
		f.add(at.String(), "must be an array")
		return
	}
	if len(v.items) < sh.minLen || len(v.items) > sh.maxLen {
		f.add(at.String(), fmt.Sprintf("must have between %d and %d items", sh.minLen, sh.maxLen))
	}
	var seen map[string]bool
	if sh.unique {
		seen = make(map[string]bool, len(v.items))
	}
	for i := range v.items {
		inner, before := place{parent: at, index: i + 1}, len(f.list)
		sh.items.check(&v.items[i], &inner, f)
		if !sh.unique || len(f.list) > before {
			continue // what is wrong by itself is not compared
		}
		if seen[v.items[i].text] {
			f.add(inner.String(), "stands there twice")
		}
		seen[v.items[i].text] = true
	}
}

func (sh *shape) checkObject(v *value, at *place, f *faults) {
	if v.kind != kindObject {
		f.add(at.String(), "must be an object")
		return
	}
	if len(v.names) > sh.maxMembers {
		f.add(at.String(), fmt.Sprintf("must have at most %d keys", sh.maxMembers))
	}
	if sh.none && len(v.names) == 0 {
		return
	}
	for _, name := range sh.required {
		if _, ok := v.member(name); !ok {
			f.add((&place{parent: at, name: name}).String(), "is required")
		}
	}
	for i, name := range v.names {
		inner := place{parent: at, name: name}
		switch member := sh.members[name]; {
		case member != nil:
			member.check(&v.items[i], &inner, f)
		case sh.extra == nil:
			f.add(inner.String(), "is not known here")
		case name == "" || utf8.RuneCountInString(name) > domain.MaxMetadataKeyLength:
			f.add(at.String(), fmt.Sprintf("a key must have 1 to %d characters", domain.MaxMetadataKeyLength))
		case !sh.names.MatchString(name):
			f.add(at.String(), "a key must have no control characters")
		default:
			sh.extra.check(&v.items[i], &inner, f)
		}
	}
}
