package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestNoCommandTakesACardNumber: what would be stored, published or repeated is
// refused as a wrong call that names the place and not the value.
func TestNoCommandTakesACardNumber(t *testing.T) {
	for _, c := range []struct{ line, says string }{
		{"keys create --organization NUMBER --scopes all", "--organization: it holds"},
		{"keys create --organization=NUMBER --scopes all", "--organization: it holds"},
		{"--json keys create --live --organization a --scopes NUMBER", "--scopes: it holds"},
		{"keys create --organization a --scopes all --name NUMBER", "--name: it holds"},
		{"keys create --organization a --scopes all --expires-at NUMBER", "--expires-at: it holds"},
		{"keys list --organization NUMBER", "--organization: it holds"},
		{"keys revoke NUMBER --organization a", "argument 3: it holds"},
		{"keys revoke --organization a -- NUMBER", "after --: it holds"},
		{"nats consumer add NUMBER", "argument 4: it holds"},
		{"nats consumer permissions a --name NUMBER", "--name: it holds"},
		{"nats consumer add a --filter NUMBER", "--filter: it holds"},
		{"nats consumer add a --max-ack-pending NUMBER", "--max-ack-pending: it holds"},
		{"events tail --subject pm.v1.NUMBER.>", "--subject: it holds"},
		{"events export --after NUMBER", "--after: it holds"},
		{"config --gateway NUMBER", "--gateway: it holds"},
		{"NUMBER", "argument 1: it holds"},
		{"keys NUMBER", "argument 2: it holds"},
		{"config --NUMBER", "argument 2: it holds"},
		{"config --NUMBER=1", "argument 2: it holds"},
		{"config --live NUMBER", "argument 3: it holds"},
	} {
		for _, number := range []string{"4242424242424242", "4242-4242-4242-4242", "%34242424242424242"} {
			var out, talk bytes.Buffer
			p := program{stdout: &out, stderr: &talk, environ: func() []string { return nil }}
			line := strings.ReplaceAll(c.line, "NUMBER", number)
			code := p.run(append(strings.Fields(line), "--data", t.TempDir()))
			if code != exitUsage || !strings.Contains(talk.String(), c.says) || strings.Contains(talk.String(), "242") || out.Len() > 0 {
				t.Errorf("%s: %d %s%s", line, code, &out, &talk)
			}
		}
	}
}

func TestAConfigurationTakesNoCardNumber(t *testing.T) {
	for name, read := range map[string]func() (Settings, error){
		"env": func() (Settings, error) { return load(t, []string{"PMLEDGER_GATEWAY=4242424242424242"}) },
		"file": func() (Settings, error) {
			return load(t, nil, "--config", write(t, "c.yml", "gateway: 4242424242424242"))
		},
	} {
		if _, err := read(); err == nil || !strings.Contains(err.Error(), "gateway: it holds a card number") || strings.Contains(err.Error(), "4242") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMisspeltNamesAreRepeatedWithoutACardNumber(t *testing.T) {
	_, err := load(t, nil, "--config", write(t, "c.yml", "4242424242424242: x\ngateways: [{name: sandbox, kind: sandbox, 4242-4242-4242-4242: x}]"))
	if err == nil || strings.Contains(err.Error(), "4242") {
		t.Errorf("got %v", err)
	}
	s, err := load(t, []string{"PMLEDGER_4242424242424242=x"})
	if err != nil || len(s.Unknown) != 1 || strings.Contains(s.Unknown[0], "4242") {
		t.Errorf("got %v, %v", s.Unknown, err)
	}
}

// TestPathsMayHaveAnyDigits: a backup's folder may be named by a number.
func TestPathsMayHaveAnyDigits(t *testing.T) {
	dir := t.TempDir() + "/4242424242424242"
	if code, _, talk := offline(dir, "keys", "create", "--organization", "acme", "--scopes", "all"); code != exitOK {
		t.Errorf("%d %s", code, talk)
	}
	for _, args := range [][]string{{"config", "--secret-file=/4242424242424242"}, {"config", "--tls-cert", "4242424242424242.pem"}, {"events", "import", "4242424242424242.jsonl"}} {
		if _, _, talk := offline(dir, args...); strings.Contains(talk, "card number") {
			t.Errorf("%v: %s", args, talk)
		}
	}
}
