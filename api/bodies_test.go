package api

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore/torture"
)

const rawCardRoute = "POST /v1/customers/:customer_id/payment-methods/raw-card"

// wellFormed are bodies with every member that a route takes.
var wellFormed = map[string]string{
	"POST /v1/customers/:customer_id/payment-methods": `{"type":"card","token":"tok_visa","provider":"sandbox","set_as_default":true,"status":"active",
		"external_id":"e-1","billing_address":{"name":"A","company":"B","line1":"C","line2":"D","city":"E","state":"F","postal_code":"1","country":"DE","email":"a@b.de","phone":"1"},
		"metadata":{"k":"v","l":"w"},"redirect_url":"https://a.example/","card":{"brand":"visa","additional_brands":["x"],"last4":"4242","exp_month":12,"exp_year":2034,"country":"US","funding":"credit"},
		"fingerprint":"f","country":"US"}`,
	"POST /v1/payment-methods": `{"customer_id":"cus_1","type":"bank_account","token":"ba_us","is_default":true,"external_id":"e-1","metadata":{"k":"v"},"fingerprint":"f","country":"US",
		"bank_account":{"bank_name":"B","last4":"6789","routing":"1","holder":"A","holder_type":"individual","account_type":"checking","country":"US","currency":"usd","status":"new"}}`,
	"PATCH /v1/payment-methods/:id": `{"billing_address":{"name":"A","country":"DE","email":"a@b.de"},"metadata":{"k":"v","l":null},"is_default":true,"external_id":"e-1",
		"provider":"sandbox","provider_id":"tok_visa","status":"active"}`,
	"POST /v1/payment-methods/:id/default":        `{}`,
	"POST /v1/payment-methods/:id/verify":         `{}`,
	"POST /v1/payment-methods/:id/verify/confirm": `{"amounts":[32,45]}`,
	"POST /v1/payment-methods/:id/verify/resend":  `{}`,
	"POST /v1/payment-methods/:id/replace":        `{"token":"tok_visa","provider":"sandbox"}`,
	"POST /v1/payment-methods/:id/declines":       `{"code":"do_not_honor"}`,
	"POST /v1/setup-intents": `{"customer_id":"cus_1","type":"card","usage":"off_session","provider":"sandbox","token":"tok_visa","confirm":false,
		"redirect_url":"https://a.example/","set_as_default":true,"metadata":{"k":"v"}}`,
	"POST /v1/setup-intents/:id/confirm": `{"token":"tok_visa"}`,
	"POST /v1/setup-intents/:id/cancel":  `{"cancellation_reason":"duplicate"}`,
	"PUT /v1/subscriptions/:id":          `{"customer_id":"cus_1","status":"active","default_payment_method_id":null}`,
	"PATCH /v1/organization":             `{"default_policy":"first","duplicate_policy":"return_existing","expiry_windows_days":[30,7,1],"time_zone":"UTC","redirect_hosts":["a.example"]}`,
	"POST /v1/api-keys":                  `{"scopes":["payment-methods.read","history.read"],"name":"n","expires_at":"2036-01-01T00:00:00Z"}`,
	rawCardRoute:                         `{"number":"4111111111111111","expiration_date":"12/34","security_code":"123","external_id":"e-1","set_as_default":true,"redirect_url":"https://a.example/"}`,
	"POST /v1/test-clock":                `{"now":"2026-06-01T12:00:00Z"}`,
}

// judged is what was counted.
type judged struct{ bodies, accepted, failed, echoed, left, unnamed int }

// Whatever is wrong with a body, the answer is a problem that names the place and
// shows nothing of what stood there; and nothing is left behind.
func TestHostileBodiesLeaveNothingBehind(t *testing.T) {
	seed := torture.Seed(t)
	bodies := torture.Size(20_000, 150_000, 2_000_000)
	if testing.Short() {
		bodies /= 10
	}
	var mu sync.Mutex
	var total judged
	var done sync.WaitGroup
	for i := range runtime.GOMAXPROCS(0) {
		done.Go(func() {
			j := newJudge(t, rand.New(rand.NewPCG(seed, uint64(i))))
			for range bodies / runtime.GOMAXPROCS(0) {
				j.next()
			}
			mu.Lock()
			defer mu.Unlock()
			total.bodies += j.bodies
			total.accepted += j.accepted
			total.failed += j.failed
			total.echoed += j.echoed
			total.left += j.left
			total.unnamed += j.unnamed
		})
	}
	done.Wait()
	torture.Add(t, torture.Report{
		Campaign: "hostile bodies", Seed: seed,
		Counts: []torture.Figure{torture.Count(total.bodies, "bodies"), torture.Count(len(wellFormed), "routes")},
		Violations: []torture.Figure{
			torture.Count(total.accepted, "taken for another fault, or for none"), torture.Count(total.failed, "failures inside"), torture.Count(total.unnamed, "without the place"),
			torture.Count(total.echoed, "shown"), torture.Count(total.left, "left behind"),
		},
	})
}

// judge sends bodies to a ledger of its own.
type judge struct {
	judged
	*bench
	*rand.Rand
	shown  *safeBuffer // the log
	models []model
}

// model is a body that is well formed.
type model struct {
	*route
	target string
	value  value
}

func newJudge(t *testing.T, random *rand.Rand) *judge {
	j := &judge{Rand: random, shown: &safeBuffer{}}
	j.bench = newBench(t, func(o *Options) {
		o.RawCards = true
		o.Logger = slog.New(slog.NewTextHandler(j.shown, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	method := idIn(j.want(201, j.do("POST", "/v1/customers/cus_1/payment-methods", visa)).body)
	intent := idIn(j.want(201, j.do("POST", "/v1/setup-intents", `{"customer_id":"cus_1"}`)).body)
	for _, r := range j.server.routes {
		if r.shape == nil {
			continue
		}
		v, err := parseStrict([]byte(wellFormed[r.method+" "+r.path]))
		if err != nil {
			t.Fatalf("%s %s: %v", r.method, r.path, err)
		}
		var f faults
		if r.shape.check(&v, &place{name: "body"}, &f); len(f.list) > 0 {
			t.Fatalf("%s %s: %+v", r.method, r.path, f.list)
		}
		id := method
		if strings.Contains(r.path, "setup-intents") {
			id = intent
		}
		j.models = append(j.models, model{r, strings.NewReplacer(":customer_id", "cus_1", ":id", id).Replace(r.path), v})
	}
	return j
}

// next makes a body wrong in one or two places, sends it, and counts what is wrong
// with the answer.
func (j *judge) next() {
	m := &mutation{Rand: j.Rand}
	body := choose(m, j.models)
	root := nodeOf(&body.value)
	if j.IntN(3) == 0 {
		j.spoil(m, body, root, allFaults[shapeFaults:])
	}
	two := m.status != 0
	j.spoil(m, body, root, allFaults)
	var b strings.Builder
	root.write(&b)
	text := b.String()
	if m.whole != nil {
		text = m.whole(text)
	}
	j.shown.reset()
	before, err := j.store.Head(j.t.Context())
	if err != nil {
		j.t.Fatal(err)
	}
	a := j.do(body.method, body.target, text, "Idempotency-Key: "+strconv.Itoa(j.bodies))
	after, err := j.store.Head(j.t.Context())
	if err != nil {
		j.t.Fatal(err)
	}
	j.bodies++
	j.count(&j.left, after != before, "leaves something behind", body, text, a)
	j.count(&j.failed, a.status >= 500, "fails", body, text, a)
	j.judge(m, two, body, text, a)
}

// spoil applies one fault somewhere.
func (j *judge) spoil(m *mutation, body model, root *node, from []fault) {
	all := spots(spot{sh: body.shape, at: root, place: "body"})
	for {
		if s := choose(m, all); choose(m, from)(m, s) {
			if body.ownBody && m.code == domain.CodePANDetected && s.place == "body.number" && s.at.kind == kindString {
				s.at.text = `"4111111111111112"` // a card number is what belongs there
			}
			return
		}
	}
}

// judge compares an answer with what the fault calls for.
func (j *judge) judge(m *mutation, two bool, body model, text string, a answer) {
	var p Problem
	err := json.Unmarshal([]byte(a.body), &p)
	isProblem := err == nil && a.header.Get("Content-Type") == "application/problem+json" && p.Status == a.status &&
		p.Type == problemType(p.Code) && p.Title != "" && p.Detail != "" && p.RequestID == a.header.Get("X-Request-Id")
	right := p.Code == m.code && a.status == m.status || two && m.status == 422 && p.Code == domain.CodePANDetected
	if body.ownBody { // its number is meant to be there, and of other members it does not show the names
		right = a.status == m.status || a.status == 413 && len(text) >= maxRawBody
	}
	j.count(&j.accepted, !isProblem || !right, fmt.Sprintf("is not refused with %d %s", m.status, m.code), body, text, a)
	named := body.ownBody || m.place == "" || slices.ContainsFunc(p.Errors, func(f FaultItem) bool {
		return f.Location == m.place && (f.Code == m.code || f.Code == domain.CodePANDetected)
	})
	j.count(&j.unnamed, !named, "is refused without "+m.place, body, text, a)
	shown := a.body + j.shown.String() + fmt.Sprint(a.header)
	if body.ownBody {
		m.canaries = append(m.canaries, "4111111111111111")
	}
	for _, c := range m.canaries {
		j.count(&j.echoed, strings.Contains(shown, c), "is shown", body, text, a)
	}
}

// count counts a violation, and tells of the first ones.
func (j *judge) count(n *int, violated bool, what string, body model, text string, a answer) {
	if !violated {
		return
	}
	if *n++; *n <= 2 {
		j.t.Errorf("%s %s %.300q %s: %d %s", body.method, body.path, text, what, a.status, a.body)
	}
}
