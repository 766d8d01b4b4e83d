// Package kurrenttest is a KurrentDB server for tests: the gRPC protocol of the
// real one, on TCP, with its log in memory, and with faults on demand.
//
// It behaves like the server where an adapter could get it wrong: positions are
// sparse and begin above 0; system records stand between those of clients; a
// repeated append is recognized by the ids at its expected revision, and by
// nothing else; conflicts and missing streams are answers, not errors; a
// subscription begins after its position and a read at it; a position after the
// log's end is accepted without a word; a follower serves stale reads, forwards
// appends, and names the leader to those who insist on it.
//
// Not there: truncation and retention by stream metadata, links, projections,
// persistent subscriptions, batch appends, and access lists but for $all. Regular
// expressions of filters are Go's. The messages are those of the client module, so
// a misreading of the protocol in there would be shared.
package kurrenttest

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
)

// Options say what the server is like. The zero value is one node without TLS.
type Options struct {
	// Nodes is how many nodes share the log; the first is the leader. 0: 1.
	Nodes int
	// Version is what the server says of itself. "": 26.1.0.
	Version string
	// SystemEvery puts a record of the system's own into the log after so many
	// appends. 0: 5; less than 0: never.
	SystemEvery int
	// MaxAppend bounds an append in bytes, as servers before 25.1 do. 0: 1 MiB.
	MaxAppend int
	// CommitTimeout is how long a node that is cut off tries to commit an append.
	// 0: 2 s.
	CommitTimeout time.Duration
	// SearchRate is how many records a second the server looks through for reads and
	// subscriptions with a filter. 0: without a limit.
	SearchRate int
	// TLS serves TLS with a certificate made for the purpose.
	TLS bool
	// Users are passwords by name; nil: nobody is asked who they are.
	Users map[string]string
	// AllReaders are the users who may read $all; nil: every user.
	AllReaders []string
}

// Server is a cluster of one node or more. Its methods are safe for concurrent use.
type Server struct {
	o     Options
	log   *log
	plan  plan
	nodes []*Node
	certs *certificate

	mu     sync.Mutex
	leader int           // -1: none
	drop   chan struct{} // closed and replaced to drop subscriptions
}

// Start starts a server that ends with the test.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// New starts a server on free ports of 127.0.0.1. It serves until Close.
func New(o Options) (*Server, error) {
	o.Nodes = max(o.Nodes, 1)
	o.Version = cmp.Or(o.Version, "26.1.0")
	o.SystemEvery = cmp.Or(o.SystemEvery, 5)
	o.MaxAppend = cmp.Or(o.MaxAppend, 1<<20)
	o.CommitTimeout = cmp.Or(o.CommitTimeout, 2*time.Second)
	if len(o.Users) > 0 && !o.TLS {
		return nil, errors.New("users need TLS: clients send no passwords without")
	}
	s := &Server{o: o, log: newLog(o.SystemEvery), drop: make(chan struct{})}
	if o.TLS {
		var err error
		if s.certs, err = newCertificate(); err != nil {
			return nil, err
		}
	}
	for i := range o.Nodes {
		n := &Node{server: s, index: i, id: uuid.New()}
		if err := n.start(); err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.nodes = append(s.nodes, n)
	}
	return s, nil
}

// Close stops all nodes for good.
func (s *Server) Close() error {
	s.Stop()
	if s.certs != nil {
		return s.certs.remove()
	}
	return nil
}

// Stop stops all nodes and breaks their connections. The log is kept.
func (s *Server) Stop() {
	for _, n := range s.nodes {
		n.Stop()
	}
}

// Restart starts the nodes that are stopped, at their old addresses.
func (s *Server) Restart() error {
	var errs []error
	for _, n := range s.nodes {
		errs = append(errs, n.Restart())
	}
	return errors.Join(errs...)
}

// Node returns a node; 0 is the one that began as the leader.
func (s *Server) Node(i int) *Node { return s.nodes[i] }

// ConnectionString is how clients reach the server: directly with one node, by
// asking all of them with more. (esdb+discover is for a name that stands for all
// nodes; the official client does not take it with several hosts.) With users it is
// the one of the first, in order of names.
func (s *Server) ConnectionString() string {
	names := make([]string, 0, len(s.o.Users))
	for name := range s.o.Users {
		names = append(names, name)
	}
	if len(names) == 0 {
		return s.connectionString("")
	}
	return s.ConnectionStringOf(slices.Min(names))
}

// ConnectionStringOf is the connection string with a user's name and password.
func (s *Server) ConnectionStringOf(user string) string {
	return s.connectionString(url.UserPassword(user, s.o.Users[user]).String() + "@")
}

func (s *Server) connectionString(userinfo string) string {
	hosts := make([]string, len(s.nodes))
	for i, n := range s.nodes {
		hosts[i] = n.Address()
	}
	settings := "tls=false"
	if s.certs != nil {
		settings = "tls=true&tlsCaFile=" + url.QueryEscape(s.certs.file)
	}
	return fmt.Sprintf("esdb://%s%s?%s", userinfo, strings.Join(hosts, ","), settings)
}

// Elect makes a node the leader. The others follow; the old leader does as well,
// unless it is cut off and does not hear of it.
func (s *Server) Elect(i int) {
	s.nodes[i].Release()
	s.setLeader(i)
}

// Depose leaves the cluster without a leader until Elect.
func (s *Server) Depose() { s.setLeader(-1) }

func (s *Server) setLeader(i int) {
	s.mu.Lock()
	s.leader = i
	s.mu.Unlock()
}

// Leader is the index of the leader, -1 when there is none.
func (s *Server) Leader() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leader
}

// Fail makes the next times calls of a kind fail.
func (s *Server) Fail(rpc RPC, f Fault, times int) {
	s.plan.add(rpc, rule{fault: f, left: times, every: 1})
}

// FailEvery makes every so manieth call of a kind fail, until Heal.
func (s *Server) FailEvery(rpc RPC, f Fault, every int) {
	s.plan.add(rpc, rule{fault: f, left: -1, every: every})
}

// Heal takes back all planned faults.
func (s *Server) Heal() { s.plan.clear() }

// Counts are the calls of a kind so far.
func (s *Server) Counts(rpc RPC) Counts { return s.plan.count(rpc) }

// DropSubscriptions ends all subscriptions with Unavailable.
func (s *Server) DropSubscriptions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.drop)
	s.drop = make(chan struct{})
}

func (s *Server) dropped() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drop
}

// Head is the position of the last record, whoever's.
func (s *Server) Head() uint64 {
	n, _ := s.log.length()
	return s.log.slice(n-1, n)[0].Position
}

// All returns all records in the order of the log, the system's too.
func (s *Server) All() []*Record {
	n, _ := s.log.length()
	return s.log.slice(0, n)
}

// Records returns the records of a stream.
func (s *Server) Records(stream string) []*Record {
	n, _ := s.log.length()
	records, _, _ := s.log.of(stream, n)
	return records
}

// Appends is how many appends of clients were done, and how many repeats of such
// were recognized besides.
func (s *Server) Appends() (done, repeats int) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.log.appends, s.log.repeats
}

// Foreign appends n records to streams that belong to somebody else.
func (s *Server) Foreign(n int) {
	for i := range n {
		s.log.append(fmt.Sprintf("order-%d", i%7), expectAny, []*Record{{
			ID: uuid.New(), Stream: fmt.Sprintf("order-%d", i%7), Type: "placed", ContentType: contentJSON, Data: []byte(`{}`),
		}})
	}
}

// Connections is how many connections clients have to all nodes.
func (s *Server) Connections() int {
	sum := 0
	for _, n := range s.nodes {
		sum += n.Connections()
	}
	return sum
}
