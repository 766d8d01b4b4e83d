package main

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/pmledger/pmledger/domain"
)

// fileParser reads YAML with every scalar as the text that stands in the file, so
// that a flag, a variable and a member of the file mean the same by the same text.
// YAML's own types would make 2ns of "wait-timeout: 2", which the flag refuses.
type fileParser struct{}

func (fileParser) Unmarshal(text []byte) (map[string]any, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	if document.Kind == yaml.DocumentNode && document.Content[0].Kind != yaml.MappingNode && document.Content[0].ShortTag() != "!!null" {
		return nil, errors.New("it does not hold options by their names, such as http: 127.0.0.1:8080")
	}
	keepTexts(&document)
	var members map[string]any
	err := document.Decode(&members)
	return members, err
}

// Marshal is what koanf asks of a parser and never calls here.
func (fileParser) Marshal(members map[string]any) ([]byte, error) { return yaml.Marshal(members) }

// keepTexts makes every value below n a string. What is left out stays null.
func keepTexts(n *yaml.Node) {
	for i, child := range n.Content {
		isKey := n.Kind == yaml.MappingNode && i%2 == 0
		if child.Kind == yaml.ScalarNode && !isKey && child.ShortTag() != "!!null" {
			child.Tag = "!!str"
		}
		keepTexts(child)
	}
}

// misfits says why an option cannot take a value, before its text is read. It never
// repeats the value: that may be a secret, or hold a card number.
func (o option) misfits(value any) []error {
	fault := errOneValue
	if text, isText := value.(string); isText {
		fault = o.misfitText(text)
	} else if o.isList() {
		return misfitGateways(value)
	} else if _, isFlag := value.(bool); isFlag {
		fault = nil
	}
	if fault == nil {
		return nil
	}
	return []error{fmt.Errorf("%s: %w", o.key, fault)}
}

var (
	errOneValue = errors.New("it takes one value, not a list or a mapping")
	errList     = errors.New("it is a list, in the configuration file")
)

func (o option) kind() reflect.Kind { return reflect.TypeFor[Config]().Field(o.field).Type.Kind() }

func (o option) isList() bool { return o.kind() == reflect.Slice }

func (o option) misfitText(text string) error {
	switch kind := o.kind(); {
	case text != "" && o.isList():
		return errList
	case text == "" && (kind == reflect.Int || kind == reflect.Float64):
		return errors.New("it is empty: " + o.usage) // koanf would read 0, which lifts a limit
	case !o.namesFile() && domain.ContainsPAN(text):
		return errCardNumber
	}
	return nil
}

// misfitGateways names each place of the list that is not what must stand there.
func misfitGateways(value any) (faults []error) {
	fault := func(at, what string) { faults = append(faults, fmt.Errorf("%s: %s", at, what)) }
	items := func(at string, of any) []any {
		list, ok := of.([]any)
		if !ok && of != nil {
			fault(at, "it is not a list")
		}
		return list
	}
	texts := func(at string, of map[string]any, names ...string) {
		for _, name := range names {
			text, ok := of[name].(string)
			switch {
			case !ok && of[name] != nil:
				fault(at+"."+name, errOneValue.Error())
			case !strings.HasSuffix(name, "-file") && domain.ContainsPAN(text):
				fault(at+"."+name, errCardNumber.Error())
			}
		}
	}
	for i, g := range items("gateways", value) {
		at := fmt.Sprintf("gateways[%d]", i)
		members, ok := g.(map[string]any)
		if !ok {
			fault(at, "it is not a mapping of name, kind, organizations")
			continue
		}
		texts(at, members, "name", "kind")
		for j, o := range items(at+".organizations", members["organizations"]) {
			at := fmt.Sprintf("%s.organizations[%d]", at, j)
			members, ok := o.(map[string]any)
			if !ok {
				fault(at, "it is not a mapping of name, key-file, webhook-secret-file")
				continue
			}
			texts(at, members, "name", "key-file", "webhook-secret-file")
		}
	}
	return faults
}

// unknownInGateways finds misspelt members: a webhook secret that is not read
// would be missed much later.
func unknownInGateways(list any) (faults []error) {
	members := func(at string, of any, known ...string) map[string]any {
		found, _ := of.(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(found)) {
			if !slices.Contains(known, name) {
				faults = append(faults, fmt.Errorf("%s: it has no %q; it has %s", at, named(name), strings.Join(known, ", ")))
			}
		}
		return found
	}
	gateways, _ := list.([]any)
	for i, g := range gateways {
		at := fmt.Sprintf("gateways[%d]", i)
		organizations, _ := members(at, g, "name", "kind", "organizations")["organizations"].([]any)
		for j, o := range organizations {
			members(fmt.Sprintf("%s.organizations[%d]", at, j), o, "name", "key-file", "webhook-secret-file")
		}
	}
	return faults
}
