package api

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/pmledger/pmledger/domain"
)

// probe is a request that names something of the owner's.
type probe struct {
	first                bool   // in every size
	key                  string // of the asker's
	method, target, body string
	headers              []string
	want                 int  // status that it must have; 0: any
	refused              bool // it must have no success
}

// furnish fills an organization with one of everything, and returns what is worth
// guessing of it by its kind. Names begin with the given one, so that two ledgers
// can have different things.
func (w *world) furnish(key, organization, name string) map[string][]string {
	has := map[string][]string{}
	note := func(kind string, values ...string) { has[kind] = append(has[kind], values...) }
	do := func(method, target, body string, headers ...string) answer {
		w.t.Helper()
		a := w.as(key, method, target, body, headers...)
		if a.status >= 300 {
			w.t.Fatalf("%s %s: %d %s", method, target, a.status, a.body)
		}
		return a
	}
	note("organization", organization)
	first, second := name+"_cus_1", name+"_cus_2"
	note("customer", first, second)
	methods := "/v1/customers/" + first + "/payment-methods"
	attach := func(target, body string) string {
		note("idempotency", name+"-"+string(rune('a'+len(has["idempotency"]))))
		used := last(has["idempotency"])
		a := do("POST", target, body, "Idempotency-Key: "+used)
		note("repeat", target+" "+used+" "+body)
		note("method", idIn(a.body))
		note("etag", a.header.Get("Etag"))
		note("position", a.header.Get("Ledger-Position"))
		var m PaymentMethod
		if err := json.Unmarshal([]byte(a.body), &m); err != nil {
			w.t.Fatal(err)
		}
		note("token", m.ProviderID)
		if m.Fingerprint != nil {
			note("fingerprint", *m.Fingerprint)
		}
		return "/v1/payment-methods/" + m.ID
	}
	attach(methods, `{"type":"card","token":"tok_visa_fp_`+name+`"}`)
	attach(methods, `{"type":"card","token":"tok_amex_fp_`+name+`","external_id":"`+name+`_ext","metadata":{"note":"`+name+`"}}`)
	attach(methods, `{"type":"card","token":"tok_visa_fp_`+name+`3","status":"paused"}`)
	do("DELETE", attach(methods, `{"type":"card","token":"tok_visa_fp_`+name+`4"}`), "")
	do("POST", attach("/v1/payment-methods", `{"customer_id":"`+second+`","type":"bank_account","token":"ba_us_fp_`+name+`"}`)+"/verify", "")
	attach("/v1/payment-methods", `{"type":"card","token":"tok_mastercard_fp_`+name+`"}`)
	attach(methods, `{"type":"card","token":"tok_visa_3ds_fp_`+name+`"}`)
	note("external", name+"_ext")
	w.furnishOthers(do, note, organization, name, has)
	return has
}

// furnishOthers adds what is no payment method.
func (w *world) furnishOthers(do func(method, target, body string, headers ...string) answer, note func(kind string, values ...string), organization, name string, has map[string][]string) {
	first, second := has["customer"][0], has["customer"][1]
	methods := "/v1/customers/" + first + "/payment-methods"
	for _, body := range []string{``, `,"token":"tok_visa_3ds_fp_` + name + `","confirm":true`, `,"token":"tok_discover_fp_` + name + `","confirm":true`} {
		note("idempotency", name+"-"+string(rune('a'+len(has["idempotency"]))))
		used, body := last(has["idempotency"]), `{"customer_id":"`+second+`"`+body+`}`
		s := w.intent(do("POST", "/v1/setup-intents", body, "Idempotency-Key: "+used))
		note("repeat", "/v1/setup-intents "+used+" "+body)
		note("intent", s.ID)
		note("secret", s.ClientSecret)
		if s.NextAction != nil {
			note("state", s.back()[strings.Index(s.back(), "=")+1:])
			state, _, err := w.ledger.State(w.t.Context(), domain.CustomerStream(organization, second, ""))
			if err != nil {
				w.t.Fatal(err)
			}
			note("reference", state.(*domain.Customer).SetupIntents[domain.SetupIntentID(s.ID)].Reference)
		}
	}
	do("PUT", "/v1/subscriptions/"+name+"_sub", `{"customer_id":"`+first+`","status":"active"}`)
	note("subscription", name+"_sub")
	note("key", idIn(do("POST", "/v1/api-keys", `{"scopes":["keys.admin"],"name":"`+name+`"}`).body))

	seen := map[string]bool{}
	for _, e := range data(w, do("GET", "/v1/events?limit=100", "")) {
		if !seen[e.Type] {
			note("event", e.ID)
		}
		seen[e.Type] = true
	}
	for _, list := range []string{"/v1/payment-methods", methods, "/v1/events", "/v1/api-keys", "/v1/payment-methods/" + has["method"][0] + "/history",
		methods + "?as_of=2026-06-01T12:00:00Z", "/v1/events?customer_id=" + first, "/v1/payment-methods?customer_id=" + first} {
		joint := "?"
		if strings.Contains(list, "?") {
			joint = "&"
		}
		if link := do("GET", list+joint+"limit=1", "").header.Get("Link"); link != "" {
			_, cursor, _ := strings.Cut(link, "cursor=")
			cursor, _, _ = strings.Cut(cursor, "&")
			cursor, _, _ = strings.Cut(cursor, ">")
			note("cursor", cursor)
			note("link", strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`))
		}
	}
}

func last(list []string) string { return list[len(list)-1] }

func data(w *world, a answer) []Event {
	var list EventList
	if err := json.Unmarshal([]byte(a.body), &list); err != nil {
		w.t.Fatal(err)
	}
	return list.Data
}

// asked are the bodies that a route is probed with. Names in angle brackets are
// kinds of things; <own …> are the asker's.
var asked = map[string][]string{
	"POST /v1/customers/:customer_id/payment-methods": {
		`{"type":"card","token":"<token>"}`, `{"type":"card","token":"tok_visa","external_id":"<external>","set_as_default":true}`,
		`{"type":"card","token":"t","fingerprint":"<fingerprint>","card":{"brand":"visa","last4":"4242","exp_month":1,"exp_year":2030}}`,
	},
	"POST /v1/payment-methods": {
		`{"type":"card","token":"<token>"}`, `{"customer_id":"<customer>","type":"card","token":"tok_visa"}`, `{"customer_id":"<own customer>","type":"card","token":"<token>"}`,
	},
	"POST /v1/customers/:customer_id/payment-methods/raw-card": {`{"number":"4111111111111111","expiration_date":"12/34","external_id":"<external>"}`},
	"PATCH /v1/payment-methods/:id":                            {`{"external_id":"mine"}`, `{"provider_id":"<token>"}`, `{"is_default":true}`, `{"status":"paused"}`, `{"metadata":null}`},
	"POST /v1/payment-methods/:id/verify/confirm":              {`{"amounts":[32,45]}`, `{"descriptor_code":"SM11AA"}`},
	"POST /v1/payment-methods/:id/replace":                     {`{"token":"tok_amex"}`, `{"token":"<token>"}`, `{"with":"<method>"}`, `{"with":"<own method>"}`},
	"POST /v1/payment-methods/:id/declines":                    {`{"code":"stolen_card"}`},
	"POST /v1/setup-intents":                                   {`{"customer_id":"<customer>"}`, `{"customer_id":"<own customer>","token":"<token>","confirm":true}`},
	"POST /v1/setup-intents/:id/confirm":                       {``, `{"token":"tok_visa"}`, `{"token":"<token>"}`},
	"POST /v1/setup-intents/:id/cancel":                        {``, `{"cancellation_reason":"duplicate"}`},
	"PUT /v1/subscriptions/:id": {
		`{"customer_id":"<own customer>","status":"paused"}`, `{"customer_id":"<customer>","status":"active"}`,
		`{"customer_id":"<own customer>","status":"active","default_payment_method_id":"<method>"}`,
	},
	"PATCH /v1/organization": {`{"time_zone":"UTC"}`},
	"POST /v1/test-clock":    {`{"now":"2026-06-01T12:00:00Z"}`},
	"POST /v1/api-keys":      {`{"scopes":["payment-methods.read"]}`},
}

// filters are the kinds of things that a parameter of a query may name.
var filters = map[string]string{
	"customer_id": "customer", "provider_id": "token", "fingerprint": "fingerprint", "external_id": "external", "payment_method_id": "method",
	"cursor": "cursor", "promote": "method", "state": "state", "as_of": "time", "created_after": "time", "created_before": "time", "expiring_before": "time",
}

// identities are the kinds of things that have an id.
var identities = []string{"method", "event", "key", "intent", "subscription", "customer", "token", "external", "reference"}

// carriers are the headers that may name what is the owner's.
var carriers = []string{
	"If-Match: <etag>", `If-Match: "1"`, "If-Match: *", "If-None-Match: <etag>", "If-None-Match: *", "Ledger-Min-Position: <position>",
	"Ledger-Min-Position: head", "Idempotency-Key: <idempotency>", "Setup-Intent-Secret: <secret>", "Prefer: return=minimal", "Actor: <customer>",
}

// expand writes a template once for each thing that it may name.
func expand(template string, own, foreign map[string][]string) []string {
	before, rest, found := strings.Cut(template, "<")
	if !found {
		return []string{template}
	}
	kind, after, _ := strings.Cut(rest, ">")
	values := foreign[kind]
	if mine, ok := strings.CutPrefix(kind, "own "); ok {
		values = own[mine][:1]
	}
	var all []string
	for _, v := range values {
		for _, tail := range expand(after, own, foreign) {
			all = append(all, before+v+tail)
		}
	}
	return all
}

// probesOf makes every probe: all routes, all kinds of ids in all places, and all
// ways to carry them. Those for every size come first.
func probesOf(routes []*route, own, foreign map[string][]string) []probe {
	foreign = withTimes(foreign)
	var all []probe
	for _, r := range routes {
		if r.scope == scopePublic && !strings.Contains(r.path, ":") {
			continue
		}
		for _, p := range r.probes(own, foreign) {
			all = append(all, p)
			for _, scope := range []string{"only " + r.scope, "not " + r.scope} {
				if r.scope != scopePublic {
					scoped := p
					scoped.first, scoped.key = false, scope
					if strings.HasPrefix(scope, "not") {
						scoped.want = 403
					}
					all = append(all, scoped)
				}
			}
			for _, carrier := range carriers {
				for _, header := range expand(carrier, own, foreign) {
					carried := p
					carried.first, carried.headers = false, append(slices.Clip(p.headers), header)
					all = append(all, carried)
				}
			}
			for _, verb := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
				if verb != r.method {
					other := p
					other.first, other.method, other.want, other.refused = false, verb, 0, false
					all = append(all, other)
				}
			}
		}
	}
	all = append(all, others(own, foreign)...)
	slices.SortStableFunc(all, func(a, b probe) int {
		switch {
		case a.first == b.first:
			return 0
		case a.first:
			return -1
		default:
			return 1
		}
	})
	return all
}

// withTimes adds the times that are worth asking for.
func withTimes(things map[string][]string) map[string][]string {
	all := map[string][]string{"time": {"2026-06-01T12:00:00Z", "2026-05-31T00:00:00Z", "2036-01-01T00:00:00Z"}}
	for kind, values := range things {
		all[kind] = values
	}
	return all
}

// firstProbes are those of every size.
func firstProbes(all []probe) []probe {
	if i := slices.IndexFunc(all, func(p probe) bool { return !p.first }); i >= 0 {
		return all[:i]
	}
	return all
}

// probes of one route: in its path, its query and its body.
func (r *route) probes(own, foreign map[string][]string) (all []probe) {
	var targets []string
	switch {
	case strings.HasSuffix(r.path, "/webhooks"):
		return nil
	case strings.Contains(r.path, ":customer_id"):
		targets = expand(strings.Replace(r.path, ":customer_id", "<customer>", 1), own, foreign)
		targets = append(targets, expand(strings.Replace(r.path, ":customer_id", "<own customer>", 1), own, foreign)...)
	case strings.Contains(r.path, ":id"):
		for _, kind := range identities {
			targets = append(targets, expand(strings.Replace(r.path, ":id", "<"+kind+">", 1), own, foreign)...)
		}
	default:
		targets = []string{r.path}
	}
	bodies := []string{""}
	if templates := asked[r.method+" "+r.path]; templates != nil {
		bodies = nil
		for _, template := range templates {
			bodies = append(bodies, expand(template, own, foreign)...)
		}
	}
	// Whoever names a subscription has one of that name.
	refused := strings.Contains(r.path, ":id") && !strings.Contains(r.path, "subscriptions")
	for _, target := range targets {
		for i, body := range bodies {
			all = append(all, probe{first: i == 0 || len(targets) < 4, key: "everything", method: r.method, target: target, body: body, refused: refused})
		}
	}
	return append(all, r.queries(own, foreign)...)
}

// queries name the owner's things in every parameter, of the asker's own things
// where the path needs one.
func (r *route) queries(own, foreign map[string][]string) (all []probe) {
	id := "<own method>"
	if strings.Contains(r.path, "setup-intents") {
		id = own["intent"][0]
	}
	base := expand(strings.NewReplacer(":customer_id", "<own customer>", ":id", id).Replace(r.path), own, foreign)[0]
	for _, p := range r.parameters {
		for _, value := range foreign[filters[p.name]] {
			target := base + "?" + p.name + "=" + url.QueryEscape(value)
			refused := p.name == "cursor" || p.name == "promote" || p.name == "state"
			all = append(all, probe{first: true, key: "everything", method: r.method, target: target, refused: refused})
			for _, more := range []string{"include_removed=true", "status=detached", "is_default=true", "limit=1", "as_of=2026-06-01T12:00:00Z", "type=card", "provider=sandbox"} {
				name, _, _ := strings.Cut(more, "=")
				if name != p.name && slices.ContainsFunc(r.parameters, func(q parameter) bool { return q.name == name }) {
					all = append(all, probe{key: "everything", method: r.method, target: target + "&" + more, refused: refused})
				}
			}
		}
	}
	return all
}

// others are the owner's own requests and links, sent by the asker, and webhooks.
func others(own, foreign map[string][]string) (all []probe) {
	for _, repeat := range foreign["repeat"] {
		part := strings.SplitN(repeat, " ", 3)
		all = append(all, probe{first: true, key: "everything", method: "POST", target: part[0], body: part[2], headers: []string{"Idempotency-Key: " + part[1]}})
	}
	for _, link := range foreign["link"] {
		all = append(all, probe{first: true, key: "everything", method: "GET", target: link, refused: true})
	}
	for _, subject := range slices.Concat(expand(`"token":"<token>"`, own, foreign), expand(`"token":"x","reference":"<reference>"`, own, foreign)) {
		for _, news := range []string{`"detached":true`, `"verified":"card_auth"`, `"setup":{}`, `"replacement":{}`, `"mandate":{"reference":"M-1","scheme":"sepa","status":"inactive"}`} {
			body := `{"id":"evt_1",` + subject + `,` + news + `}`
			for _, organization := range []string{own["organization"][0], foreign["organization"][0]} {
				target := "/v1/gateways/sandbox/" + organization + "/webhooks"
				all = append(all, probe{first: true, key: "everything", method: "POST", target: target, body: body, refused: organization != own["organization"][0]})
			}
		}
	}
	return all
}
