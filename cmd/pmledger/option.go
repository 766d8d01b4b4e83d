package main

import (
	"fmt"
	"net/url"
	"reflect"
	"strings"

	"github.com/pmledger/pmledger/eventstore/kurrent"
)

// option is one field of Config with what its tags say.
type option struct {
	key, usage string
	byDefault  string
	inDev      string // default in --dev, if differs
	differs    bool
	secret     string // "all", "url" or "store" (its user and password), or ""
	isFlag     bool
	field      int
}

// options lists the fields of Config in their order.
func options() []option {
	t := reflect.TypeFor[Config]()
	list := make([]option, t.NumField())
	for i := range list {
		tag := t.Field(i).Tag
		dev, differs := tag.Lookup("dev")
		list[i] = option{
			key: tag.Get("koanf"), usage: tag.Get("usage"), byDefault: tag.Get("default"), inDev: dev, differs: differs,
			secret: tag.Get("secret"), isFlag: tag.Get("flag") != "no", field: i,
		}
	}
	return list
}

// env is the option's environment variable.
func (o option) env() string {
	return envPrefix + strings.ReplaceAll(strings.ToUpper(o.key), "-", "_")
}

// show is the option's value in c as it may be printed: secrets are not.
func (o option) show(c Config) string {
	value := fmt.Sprint(reflect.ValueOf(c).Field(o.field).Interface())
	switch {
	case value == "" || o.secret == "" || o.secret == "store" && !c.onCluster():
		return value
	case o.secret == "store":
		return kurrent.Redact(value)
	case o.secret == "url":
		return redactURLs(value)
	}
	return "(set)"
}

// redactURLs hides the users and passwords in a list of addresses.
func redactURLs(list string) string {
	var shown []string
	for one := range strings.SplitSeq(list, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil {
			return "(set)"
		}
		if u.User != nil {
			u.User = url.User("xxxxx")
		}
		shown = append(shown, u.String())
	}
	return strings.Join(shown, ",")
}
