package publisher

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Remark is one line of a survey of an external NATS: what was looked at, how it
// is, and what to do about it.
type Remark struct {
	Check, Detail, Advice string
	Wrong                 bool // it should be mended
	Stops                 bool // nothing can be published as it is
}

// surveyTimeout bounds each question of a survey.
const surveyTimeout = 2 * time.Second

// survey is a look at an external NATS with the eyes of the publisher's user.
type survey struct {
	url      string
	options  []nats.Option
	replicas int
	nc       *nats.Conn
	js       jetstream.JetStream
	remarks  []Remark
}

// Survey looks at everything that publishing needs of the NATS at address, a
// server or a comma-separated list, and changes nothing there. options are as for
// Options.Connect, replicas as for Options.Replicas. It takes some seconds when
// servers do not answer.
func Survey(ctx context.Context, address string, replicas int, options ...nats.Option) []Remark {
	s := &survey{url: address, replicas: replicas, options: append([]nats.Option{
		nats.Name("pmledger doctor"), nats.CustomInboxPrefix(replyPrefix), nats.NoReconnect(), nats.Timeout(surveyTimeout),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
	}, options...)}
	if !s.connect() {
		return s.remarks
	}
	defer s.nc.Close()
	s.versions()
	if !s.permissions() {
		return s.remarks
	}
	if s.jetstream(ctx) {
		s.stream(ctx)
	}
	return s.remarks
}

func (s *survey) say(r Remark) { s.remarks = append(s.remarks, r) }

func (s *survey) connect() bool {
	nc, err := nats.Connect(s.url, s.options...)
	if err != nil {
		r := Remark{Check: "nats", Detail: downBecause(err).Error(), Advice: "events wait in the log until NATS answers", Wrong: true}
		if r.Stops = refusesCredentials(err) || errors.Is(err, nats.ErrTLS) || errors.Is(err, nats.ErrSecureConnWanted); r.Stops {
			r.Advice = "correct the --nats-… options or the server's users; a running server notices by itself when files or the server change"
		}
		s.say(r)
		return false
	}
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(surveyTimeout))
	if err != nil {
		nc.Close()
		s.say(Remark{Check: "nats", Detail: err.Error(), Wrong: true, Stops: true})
		return false
	}
	s.nc, s.js = nc, js
	s.say(Remark{Check: "nats", Detail: fmt.Sprintf("%s answers, cluster %q, %d servers known", nc.ConnectedServerName(), nc.ConnectedClusterName(), len(nc.Servers()))})
	return true
}

// versions asks every server that the connection knows of, because any of them can
// come to lead the stream.
func (s *survey) versions() {
	r := Remark{Check: "nats version"}
	var said, silent []string
	for _, address := range s.nc.Servers() {
		nc, err := nats.Connect(s.withUser(address), append(slices.Clone(s.options), nats.IgnoreDiscoveredServers())...)
		if err != nil {
			silent = append(silent, address)
			continue
		}
		v := nc.ConnectedServerVersion()
		nc.Close()
		said = append(said, v)
		dated, err := checkVersion(v)
		r.Wrong, r.Stops = r.Wrong || dated, r.Stops || err != nil
	}
	slices.Sort(said)
	r.Detail = strings.Join(slices.Compact(said), ", ")
	switch {
	case r.Stops:
		r.Advice = fmt.Sprintf("upgrade: %s is the least that publishes batches as a whole, %s is recommended", LeastServerVersion, GoodServerVersion)
	case r.Wrong:
		r.Advice = fmt.Sprintf("upgrade to %s, which syncs a batch once", GoodServerVersion)
	}
	if len(silent) > 0 {
		r.Wrong = true
		r.Detail += fmt.Sprintf("; no answer from %v", silent)
	}
	s.say(r)
}

// withUser gives the address of a server the user that the configured one has: the
// client's list of servers is without.
func (s *survey) withUser(address string) string {
	first, _, _ := strings.Cut(s.url, ",")
	configured, err := url.Parse(strings.TrimSpace(first))
	if err != nil {
		return address
	}
	other, err := url.Parse(address)
	if err != nil {
		return address
	}
	other.User = configured.User
	return other.String()
}

// permissions tries what publishing needs with requests that every server refuses
// for their content, one after the other: a denial comes before the answer to the
// flush.
func (s *survey) permissions() bool {
	var denied []string
	try := func(subject string, do func() error) {
		before := s.nc.LastError()
		err := do()
		if err == nil {
			err = s.nc.FlushTimeout(surveyTimeout)
		}
		if last := s.nc.LastError(); err == nil && last != before && errors.Is(last, nats.ErrPermissionViolation) || err != nil {
			denied = append(denied, subject)
		}
	}
	for _, subject := range PublisherPermissions().Publish.Allow {
		probe := nats.NewMsg(strings.ReplaceAll(subject, ">", "pmledger.probe"))
		probe.Header.Set(headerExpectStream, "_no_stream_has_this_name") // so that none stores it
		probe.Data = []byte(`{}`)
		try("publish to "+subject, func() error { return s.nc.PublishMsg(probe) })
	}
	for _, subject := range PublisherPermissions().Subscribe.Allow {
		try("subscribe to "+subject, func() error { _, err := s.nc.SubscribeSync(s.nc.NewInbox()); return err })
	}
	if len(denied) > 0 {
		s.say(Remark{Check: "nats permissions", Detail: "this user may not " + strings.Join(denied, ", "), Advice: "grant it; pmledger nats permissions prints the configuration", Wrong: true, Stops: true})
		return false
	}
	s.say(Remark{Check: "nats permissions", Detail: "this user may do what publishing needs"})
	return true
}

func (s *survey) jetstream(ctx context.Context) bool {
	account, err := s.js.AccountInfo(ctx)
	if err != nil {
		s.say(Remark{Check: "nats jetstream", Detail: unavailable(err).Error(), Advice: "enable JetStream in the servers' configuration and for the account of this user", Wrong: true, Stops: true})
		return false
	}
	r := Remark{Check: "nats jetstream", Detail: fmt.Sprintf("%d MiB in use", account.Store>>20)}
	if most := account.Limits.MaxStore; most > 0 {
		r.Detail += fmt.Sprintf(" of %d MiB", most>>20)
		if r.Wrong = account.Store > uint64(most)/10*9; r.Wrong {
			r.Advice = "raise max_file of the account; a full stream takes no events, which wait in the log"
		}
	}
	s.say(r)
	return true
}

func (s *survey) stream(ctx context.Context) {
	stream, err := s.js.Stream(ctx, StreamName)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		s.say(Remark{Check: "nats stream", Detail: fmt.Sprintf("%s will be made at the start, with %s", StreamName, s.replicasText()), Advice: syncAdvice})
		return
	}
	if err != nil {
		s.say(Remark{Check: "nats stream", Detail: unavailable(err).Error(), Advice: "a cluster answers when most of its servers run", Wrong: true})
		return
	}
	info := stream.CachedInfo()
	have := info.Config
	if faults := unfit(have, false, s.nc.MaxPayload()); len(faults) > 0 {
		s.say(Remark{Check: "nats stream", Detail: StreamName + ": " + strings.Join(faults, "; "), Advice: "correct the stream, delete it so that it is made and filled again, or give pmledger another NATS account", Wrong: true, Stops: true})
		return
	}
	r := Remark{Check: "nats stream", Detail: fmt.Sprintf("%s has %d events in %d replicas", StreamName, info.State.Msgs, have.Replicas), Advice: syncAdvice}
	if wrong := differences(have, require(have, false)); len(wrong) > 0 {
		r.Wrong, r.Advice = true, fmt.Sprintf("the start sets %v right", wrong)
	} else if lonely(info) {
		r.Wrong, r.Advice = true, "one server keeps it all; "+raiseReplicas
	} else if behind := behindPeers(info); len(behind) > 0 {
		r.Wrong, r.Advice = true, fmt.Sprintf("%v are offline or behind; writes go on while most replicas are up", behind)
	} else if limited(have) {
		r.Wrong, r.Advice = true, "its limits drop old events; consumers that are slower miss them"
	}
	s.say(r)
}

// syncAdvice is about what a client cannot see: the setting is the servers' own.
const syncAdvice = "whether the servers sync every write cannot be seen from here; set sync_interval: always in their jetstream block"

func (s *survey) replicasText() string {
	switch {
	case s.replicas == 1:
		return "one replica"
	case s.replicas > 1:
		return fmt.Sprintf("%d replicas", s.replicas)
	case s.nc.ConnectedClusterName() == "":
		return "one replica on this single server"
	}
	return fmt.Sprintf("%d replicas in the cluster", clusterReplicas)
}

func behindPeers(info *jetstream.StreamInfo) []string {
	var behind []string
	if info.Cluster != nil {
		for _, peer := range info.Cluster.Replicas {
			if peer.Offline || !peer.Current {
				behind = append(behind, peer.Name)
			}
		}
	}
	return behind
}
