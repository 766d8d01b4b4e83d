package publisher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// complains waits until the status has an error with all of these words.
func complains(t testing.TB, p *Publisher, words ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("an error with %q", words), func() bool {
		err := p.Status().LastError
		for _, w := range words {
			if err == nil || !strings.Contains(err.Error(), w) {
				return false
			}
		}
		return true
	})
	if err := p.Status().Halted; err != nil {
		t.Errorf("halted by %v, but waiting can mend it", err)
	}
}

// A stream that is somebody else's, or that its operator has set up to break its
// promises, is left exactly as it is, and all of its faults are named.
func TestAnUnfitExternalStreamIsNamedAndLeftAlone(t *testing.T) {
	t.Parallel()
	ours := []string{inputSubjects}
	for name, c := range map[string]struct {
		config jetstream.StreamConfig
		faults []string
	}{
		"another's subjects":  {jetstream.StreamConfig{Subjects: []string{"orders.>"}}, []string{"listens on [orders.>]"}},
		"the public subjects": {jetstream.StreamConfig{Subjects: []string{"pm.v1.>"}}, []string{"listens on [pm.v1.>]"}},
		"memory":              {jetstream.StreamConfig{Subjects: ours, Storage: jetstream.MemoryStorage}, []string{"storage is not file"}},
		"work queue":          {jetstream.StreamConfig{Subjects: ours, Retention: jetstream.WorkQueuePolicy}, []string{"retention is not limits"}},
		"async":               {jetstream.StreamConfig{Subjects: ours, PersistMode: jetstream.AsyncPersistMode}, []string{"persist mode is async"}},
		"max age":             {jetstream.StreamConfig{Subjects: ours, MaxAge: time.Hour}, []string{"max_age of 1h0m0s"}},
		"few bytes":           {jetstream.StreamConfig{Subjects: ours, MaxBytes: 4096}, []string{"max_bytes of 4096"}},
		"several": {jetstream.StreamConfig{Subjects: []string{"a", "b"}, MaxAge: time.Minute, Storage: jetstream.MemoryStorage},
			[]string{"listens on [a b]", "max_age of 1m0s", "storage is not file"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log, b := newOutbox(5), startBus(t)
			js := b.js()
			c.config.Name = StreamName
			made, err := js.CreateStream(context.Background(), c.config)
			if err != nil {
				t.Fatal(err)
			}
			p, _ := run(t, Options{URL: b.url(), Source: log.source()})
			halted(t, p, ErrUnfit)
			for _, fault := range c.faults {
				if err := p.Status().Halted.Error(); !strings.Contains(err, fault) {
					t.Errorf("%q is not named in %q", fault, err)
				}
			}
			now, err := js.Stream(context.Background(), StreamName)
			if err != nil {
				t.Fatal(err)
			}
			if have, want := now.CachedInfo().Config, made.CachedInfo().Config; !reflect.DeepEqual(have, want) || now.CachedInfo().State.Msgs != 0 {
				t.Errorf("it was changed to %+v", have)
			}
			findings := Survey(t.Context(), b.url(), 0)
			if last := findings[len(findings)-1]; !last.Stops || !strings.Contains(last.Detail, c.faults[0]) {
				t.Errorf("the survey says %+v", last)
			}
		})
	}
}

func TestSettingsOfAnExternalStreamAreRepaired(t *testing.T) {
	t.Parallel()
	log, b := newOutbox(20), startBus(t)
	js := b.js()
	if _, err := js.CreateStream(context.Background(), jetstream.StreamConfig{Name: StreamName, Subjects: []string{inputSubjects}, MaxMsgs: 1000}); err != nil {
		t.Fatal(err)
	}
	remarks := Survey(t.Context(), b.url(), 0)
	if r := remarks[len(remarks)-1]; r.Stops || !r.Wrong || !strings.Contains(r.Advice, "republish") || !strings.Contains(r.Advice, "allow_atomic") {
		t.Errorf("the survey says %+v", r)
	}
	p, _ := run(t, Options{URL: b.url(), Source: log.source()})
	eventually(t, "published", caughtUp(p, log))
	complete(t, js, log.all())
	c := describe(js).Config
	if wrong := differences(c, require(c, false)); len(wrong) > 0 || c.MaxMsgs != 1000 {
		t.Errorf("%v are wrong, max_msgs is %d", wrong, c.MaxMsgs)
	}
}

func TestReplicasOfASingleServer(t *testing.T) {
	t.Parallel()
	log, b := newOutbox(5), startBus(t)
	p, stop := run(t, Options{URL: b.url(), Source: log.source(), Replicas: 3})
	complains(t, p, "replicas > 1 not supported", "--nats-replicas asks for 3")
	stop()
	p, _ = run(t, Options{URL: b.url(), Source: log.source()})
	eventually(t, "published", caughtUp(p, log))
	if r := describe(b.js()).Config.Replicas; r != 1 {
		t.Errorf("%d replicas", r)
	}
}

// The server's version is in its greeting; that of the stream's leader in the
// description of the stream.
func TestOldServersAreNotPublishedTo(t *testing.T) {
	t.Parallel()
	for name, member := range map[string]string{"the server": `"version":"`, "the stream's leader": `"_nats.ver":"`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log, b := newOutbox(5), startBus(t)
			old := newWire(t, strings.TrimPrefix(b.url(), "nats://"))
			lie := func(answer []byte) []byte {
				return bytes.ReplaceAll(answer, []byte(member+GoodServerVersion), []byte(member+"2.12.3"))
			}
			old.lie.Store(&lie)
			p, stop := run(t, Options{URL: old.url(), Source: log.source()})
			complains(t, p, "too old", "2.12.3", LeastServerVersion)
			if info := describe(b.js()); info != nil && (info.State.Msgs > 0 || name == "the server") {
				t.Errorf("it made the stream and published %d messages", info.State.Msgs)
			}
			stop()
			p, _ = run(t, Options{URL: b.url(), Source: log.source()})
			eventually(t, "published after the upgrade", caughtUp(p, log))
		})
	}
}

func TestVersionsAreCompared(t *testing.T) {
	for version, want := range map[string]string{
		"2.15.2": "", "2.15.10": "", "3.0.0": "", "2.15.2-RC.1": "", "2.15.1": "dated", "2.12.4": "dated", "2.12.3": "old", "2.9.99": "old", "1.99.99": "old", "": "", "dev": "",
	} {
		dated, err := checkVersion(version)
		got := ""
		switch {
		case err != nil:
			got = "old"
		case dated:
			got = "dated"
		}
		if got != want {
			t.Errorf("%q is %q, want %q", version, got, want)
		}
	}
}

const allRights = `accounts { A { jetstream: enabled, users: [%s, {user: admin, password: p}] } }`

func publisherUserWithout(denied string) string {
	p := PublisherPermissions()
	for _, list := range []*[]string{&p.Publish.Allow, &p.Subscribe.Allow} {
		var kept []string
		for _, s := range *list {
			if s != denied {
				kept = append(kept, s)
			}
		}
		if *list = kept; kept == nil {
			*list = []string{"nothing"}
		}
	}
	return strings.ReplaceAll(p.User(publisherUser), "…", "p")
}

// A permission that is missing is named at once, not after a timeout, and when it
// is granted publishing goes on by itself.
func TestMissingPermissionsAreNamedAndMayBeGrantedLater(t *testing.T) {
	t.Parallel()
	all := append(PublisherPermissions().Publish.Allow[:], PublisherPermissions().Subscribe.Allow...)
	for _, denied := range all {
		if denied == "$JS.API.INFO" || strings.Contains(denied, "STREAM.UPDATE") {
			continue // the first is for the survey only, the second for a stream that is wrong
		}
		t.Run(denied, func(t *testing.T) {
			t.Parallel()
			log, b := newOutbox(5), startBusWith(t, fmt.Sprintf(allRights, publisherUserWithout(denied)))
			if strings.Contains(denied, "MSG.GET") { // needed when there is something to read
				p, stop := run(t, Options{URL: b.url(), Source: log.source(), Connect: []nats.Option{nats.UserInfo("admin", "p")}})
				eventually(t, "published", caughtUp(p, log))
				stop()
				log.add(5)
			}
			as := nats.UserInfo(publisherUser, "p")
			began := time.Now()
			p, _ := run(t, Options{URL: b.url(), Source: log.source(), Connect: []nats.Option{as}, AckTimeout: time.Minute})
			complains(t, p, "does not let this user", strings.TrimSuffix(denied, ">"))
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("it took %s to say so", took)
			}
			wrong := remarksAbout(Survey(t.Context(), b.url(), 0, as), "nats permissions")
			if !wrong.Stops || !strings.Contains(wrong.Detail, denied) {
				t.Errorf("the survey says %+v", wrong)
			}
			b.reload(fmt.Sprintf(allRights, publisherUserWithout("")))
			eventually(t, "published when it is granted", caughtUp(p, log))
			complete(t, b.js(nats.UserInfo("admin", "p")), log.all())
		})
	}
}

func remarksAbout(remarks []Remark, check string) Remark {
	for _, r := range remarks {
		if r.Check == check {
			return r
		}
	}
	return Remark{}
}

// A survey changes nothing: neither before there is a stream nor after.
func TestASurveyLeavesNoTrace(t *testing.T) {
	t.Parallel()
	log, b := newOutbox(5), startBusWith(t, fmt.Sprintf(allRights, publisherUserWithout("")))
	as := nats.UserInfo(publisherUser, "p")
	js := b.js(nats.UserInfo("admin", "p"))
	fine := func(remarks []Remark) {
		t.Helper()
		for _, r := range remarks {
			if r.Wrong || r.Stops {
				t.Errorf("the survey says %+v", r)
			}
		}
		if len(remarks) != 5 {
			t.Errorf("%d remarks: %+v", len(remarks), remarks)
		}
	}
	fine(Survey(t.Context(), b.url(), 0, as))
	if info := describe(js); info != nil {
		t.Fatalf("it made the stream: %+v", info.Config)
	}
	p, _ := run(t, Options{URL: b.url(), Source: log.source(), Connect: []nats.Option{as}})
	eventually(t, "published", caughtUp(p, log))
	before := describe(js)
	fine(Survey(t.Context(), b.url(), 0, as))
	if after := describe(js); !reflect.DeepEqual(after.Config, before.Config) || after.State.LastSeq != before.State.LastSeq {
		t.Errorf("it changed the stream: %+v", after)
	}
	log.add(3)
	eventually(t, "published", caughtUp(p, log))
	complete(t, js, log.all())
}

func TestASurveyTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	b := startBusWith(t, `accounts { A { users: [{user: a, password: p}] } }`)
	for name, c := range map[string]struct {
		url     string
		as      nats.Option
		check   string
		words   string
		stops   bool
		onlyOne bool
	}{
		"nobody listens":   {"nats://127.0.0.1:1", nats.UserInfo("a", "p"), "nats", "not connected to NATS", false, true},
		"wrong password":   {b.url(), nats.UserInfo("a", "secret-word"), "nats", "refuses the credentials", true, true},
		"no JetStream":     {b.url(), nats.UserInfo("a", "p"), "nats jetstream", "JetStream is", true, false},
		"TLS without need": {b.url(), nats.Secure(), "nats", "the server has no TLS", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			remarks := Survey(t.Context(), c.url, 0, c.as)
			r := remarksAbout(remarks, c.check)
			if !r.Wrong || r.Stops != c.stops || !strings.Contains(r.Detail, c.words) || r.Advice == "" || c.onlyOne != (len(remarks) == 1) {
				t.Errorf("got %+v", remarks)
			}
			if strings.Contains(fmt.Sprint(remarks), "secret-word") {
				t.Error("the password is in it")
			}
		})
	}
}

// What two publishers hear from a cluster when the other is faster: each must make
// one of them stand by, rather than count as an error of the bus.
func TestRefusalsOfALateWriteAreConflicts(t *testing.T) {
	for answer, conflict := range map[string]bool{
		`{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 7"}}`:                             true,
		`{"error":{"code":400,"err_code":10164,"description":"wrong last sequence"}}`:                                true,
		`{"error":{"code":400,"err_code":10201,"description":"atomic publish batch contains duplicate message id"}}`: true,
		`{"error":{"code":409,"err_code":10158,"description":"duplicate message id is in process"}}`:                 true,
		`{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"}}`:                          false,
		`{"stream":"PM_EVENTS","seq":7,"duplicate":true}`:                                                            true,
	} {
		a, err := parseAck(&nats.Msg{Data: []byte(answer)})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.refusal(); err == nil || errors.Is(err, errConflict) != conflict {
			t.Errorf("%s: %v", answer, err)
		}
	}
}
