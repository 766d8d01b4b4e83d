package api

import (
	"strings"
	"testing"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
)

const rawCardPath = "/v1/customers/cus_1/payment-methods/raw-card"

func TestCardNumbersAreRefusedWhereTheyAreSwitchedOffOrTheGatewayTakesNone(t *testing.T) {
	body := `{"number":"4111111111111111","expiration_date":"12/34"}`
	off := newBench(t)
	off.refused(422, "raw_card_data.disabled", off.do("POST", rawCardPath, body))
	without := newBench(t, func(o *Options) { o.RawCards = true })
	without.sandbox.Key = nil
	without.refused(422, "raw_card_data.disabled", without.do("POST", rawCardPath, body))
}

func TestARawCardsBodyIsReadStrictly(t *testing.T) {
	b := newBench(t, func(o *Options) { o.RawCards = true })
	for body, want := range map[string]struct {
		status int
		code   domain.Code
	}{
		``:  {400, "body.malformed"},
		`{`: {400, "body.malformed"},
		`{"number":"4111111111111111","expiration_date":"12/34"`:                                   {400, "body.malformed"},
		`{"number":"4111111111111111" "expiration_date":"12/34"}`:                                  {400, "body.malformed"},
		`{"number":"4111111111111111","expiration_date":"12/34"}x`:                                 {400, "body.malformed"},
		`{"number":"4111111111111111","expiration_date":"12/34","x":{"a":1,"\u0061":2}}`:           {400, "body.malformed"},
		`{"number":"4111111111111111","expiration_date":"12/34","x":"\ud800"}`:                     {400, "body.malformed"},
		`{"number":"4111111111111111","expiration_date":"12/34","x":[1,]}`:                         {400, "body.malformed"},
		`{"number":"4111111111111111","expiration_date":"12/34","x":01}`:                           {400, "body.malformed"},
		`{"number":"4111111111111111","\u006eumber":"4111111111111111"}`:                           {400, "body.malformed"},
		`{"x":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + `}`:              {400, "body.malformed"},
		"{\"number\":\"4111111111111111\",\"expiration_date\":\"12/34\",\"external_id\":\"\xff\"}": {400, "body.malformed"},
		`{"number":"4111111111111111","expiration_date":"12/34","number":"4111111111111111"}`:      {400, "body.malformed"},
		`{}`:                            {422, "validation.failed"},
		`{"number":"4111111111111111"}`: {422, "validation.failed"},
		`{"number":"4111111111111111","expiration_date":"12/34","x":"4111111111111111"}`:                           {422, "validation.failed"},
		`{"Number":"4111111111111111","expiration_date":"12/34"}`:                                                  {422, "validation.failed"},
		`{"number":"\u0034111111111111111","expiration_date":"12/34"}`:                                             {422, "validation.failed"},
		`{"number":"4111 1111 1111 1111","expiration_date":"12/34"}`:                                               {422, "validation.failed"},
		`{"number":null,"expiration_date":"12/34"}`:                                                                {422, "validation.failed"},
		`{"number":"4111111111111111","expiration_date":"12/34","security_code":"12a"}`:                            {422, "validation.failed"},
		`{"number":"4111111111111111","expiration_date":"12/34","set_as_default":"yes"}`:                           {422, "validation.failed"},
		`{"number":"4111111111111111","expiration_date":"12/34","redirect_url":"http://x"}`:                        {422, "validation.failed"},
		`{"number":"4111111111111111","expiration_date":"12/34","external_id":"` + strings.Repeat("x", 256) + `"}`: {422, "validation.failed"},
		`{"number":"4111111111111111","expiration_date":"12/34","external_id":"caf\u00e9"}`:                        {422, "validation.failed"},
		strings.Repeat(" ", maxRawBody):                                                                            {413, "body.too_large"},
	} {
		a := b.do("POST", rawCardPath, body)
		b.refused(want.status, want.code, a)
		if strings.Contains(a.body+b.log.String(), "411111") {
			t.Errorf("%s: the number is shown: %s", body, a.body)
		}
	}
	b.refused(415, "media_type.unsupported", b.do("POST", rawCardPath, `{}`, "Content-Encoding: gzip"))
	b.want(201, b.do("POST", rawCardPath, " {\t\"number\" : \"4111111111111111\",\n\"expiration_date\":\"12/34\" , \"security_code\":null,\"set_as_default\":false,\"external_id\":null} "))
}

// Of the number only its last four digits, its issuer's network and a keyed
// fingerprint are kept; of the security code nothing, not even in a keyed hash.
func TestOfARawCardNothingSecretIsInTheLog(t *testing.T) {
	b := newBench(t, func(o *Options) { o.RawCards = true })
	macs := map[string]string{}
	for _, customer := range []string{"cus_1", "cus_2"} {
		target := strings.Replace(rawCardPath, "cus_1", customer, 1)
		b.want(201, b.do("POST", target, `{"number":"4111111111111111","expiration_date":"12/34","security_code":"737"}`, "Idempotency-Key: k"))
		for r, err := range b.store.Stream(t.Context(), domain.CustomerStream("demo", customer, ""), 1) {
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(r.Data)+string(r.Metadata), "411111") || strings.Contains(string(r.Data), "737") {
				t.Errorf("%s %s", r.Data, r.Metadata)
			}
			meta, err := eventstore.DecodeMetadata(r.Metadata)
			if err != nil {
				t.Fatal(err)
			}
			macs[customer] = meta.RequestMAC
		}
	}
	if macs["cus_1"] == "" || macs["cus_1"] == macs["cus_2"] {
		t.Errorf("the MACs tell who has the same card: %v", macs)
	}
	again := b.want(201, b.do("POST", rawCardPath, `{"number":"4111111111111111","expiration_date":"12/34","security_code":"000"}`, "Idempotency-Key: k"))
	if again.header.Get("Idempotency-Replayed") != "true" {
		t.Error("the security code is part of the request's MAC")
	}
}

func FuzzRawCard(f *testing.F) {
	for _, seed := range []string{`{"number":"4111111111111111","expiration_date":"12/34","set_as_default":true}`, `{"number":"4111111111111111","expiration_date":"12/34","external_id":"\u00e4"}`, `{"number"`, `{"x":tru`, `{,}`, `[[1,{"a":"\ud83d\ude00","\u0061":1e400}],"x"]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		sent := string(body)
		card, err := parseRawCard(body)
		if _, strict := parseStrict(body); (strict != nil) != (err != nil) {
			t.Fatalf("%q: %v, and as any other body %v", body, err, strict)
		}
		if err == nil {
			var wrong faults
			card.check(&wrong)
		}
		if sent != string(body) {
			t.Fatalf("%q was changed to %q", sent, body)
		}
	})
}

func TestAFaultOfARawCardIsNamedOnce(t *testing.T) {
	b := newBench(t, func(o *Options) { o.RawCards = true })
	for body, want := range map[string]string{
		`{}`:                                      "body.number body.expiration_date",
		`{"number":"4111111111111111"}`:           "body.expiration_date",
		`{"expiration_date":"12/34"}`:             "body.number",
		`{"number":null,"expiration_date":null}`:  "body.number body.expiration_date",
		`{"number":true,"expiration_date":false}`: "body.number body.expiration_date",
		`[]`:                 "body",
		`null`:               "body",
		`"4111111111111111"`: "body",
		`4111111111111111`:   "body",
		`{"number":4111111111111111,"expiration_date":["12/34"],"security_code":1e400,"external_id":{"number":"4111111111111111"},"set_as_default":0,"redirect_url":[{}]}`: "body.number body.expiration_date body.security_code body.external_id body.set_as_default body.redirect_url",
		`{"number":"4111111111111111","expiration_date":"12/34","x":{"a":[4111111111111111]}}`:                                                                             "body",
		`{"number":"4111111111111111","expiration_date":"12/34","redirect_url":"https://a.example/` + strings.Repeat("x", maxURL) + `"}`:                                   "body.redirect_url",
		`{"number":"\u0034111111111111111","expiration_date":"1\u0032/34"}`:                                                                                                "body.number body.expiration_date",
		`{"number":"41","expiration_date":"1234"}`:                                                                                                                         "body.expiration_date body.number",
		`{"number":"4111111111111111","expiration_date":"12/34","set_as_default":"x","security_code":"1"}`:                                                                 "body.set_as_default body.security_code",
		`{"number":"4111111111111111","expiration_date":"12/34","x":null,"y":true,"z":""}`:                                                                                 "body",
	} {
		a := b.do("POST", rawCardPath, body)
		b.refused(422, "validation.failed", a)
		if got := placesOf(t, a); got != want {
			t.Errorf("%s: faults at %s, want %s", body, got, want)
		}
		if strings.Contains(a.body+b.log.String(), "411111") {
			t.Errorf("%s: the number is shown: %s", body, a.body)
		}
	}
	a := b.do("POST", strings.Replace(rawCardPath, "cus_1", "cus%201", 1), `{"number":1}`, "Actor: "+strings.Repeat("x", maxActor+1))
	b.refused(422, "validation.failed", a)
	if got, want := placesOf(t, a), "path.customer_id header.Actor body.number body.expiration_date"; got != want {
		t.Errorf("faults at %s, want %s", got, want)
	}
}
