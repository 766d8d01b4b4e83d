package kurrenttest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// Node is one node of the cluster.
type Node struct {
	server *Server
	index  int
	id     uuid.UUID

	mu       sync.Mutex
	address  string
	grpc     *grpc.Server // nil while stopped
	listener *listener
	served   chan struct{} // closed when the listener is
	seen     int           // records it has, while it lags
	behind   int           // records it lags behind at most; 0: none
	cutOff   bool
	believed int // the leader it knew when it was cut off
}

// start begins to serve, on the old address if there was one.
func (n *Node) start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.grpc != nil {
		return nil
	}
	l, err := listen(n.address)
	if err != nil {
		return err
	}
	n.address = l.Addr().String()
	n.listener = newListener(l)
	options := []grpc.ServerOption{
		// A client may ping every ten seconds; grpc-go would break off with it.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.MaxConcurrentStreams(100),
		grpc.MaxRecvMsgSize(17 << 20),
		grpc.WaitForHandlers(true),
		grpc.UnaryInterceptor(unaryDate),
		grpc.StreamInterceptor(streamDate),
	}
	if n.server.certs != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(n.server.certs.config)))
	}
	n.grpc = grpc.NewServer(options...)
	streams.RegisterStreamsServer(n.grpc, &streamService{n: n})
	gossip.RegisterGossipServer(n.grpc, &gossipService{n: n})
	serverfeatures.RegisterServerFeaturesServer(n.grpc, &featureService{n: n})
	n.served = make(chan struct{})
	go func(g *grpc.Server, l net.Listener, served chan struct{}) {
		defer close(served)
		_ = g.Serve(l) // ends with Stop; a broken listener shows as a server that is away
	}(n.grpc, n.listener, n.served)
	return nil
}

// listen takes a port below those that the system gives to outgoing connections:
// one of these could take the port while the node is stopped, or a client that
// dials it could meet itself.
func listen(address string) (net.Listener, error) {
	var err error
	for range 100 {
		at := address
		if at == "" {
			at = fmt.Sprintf("127.0.0.1:%d", 20000+rand.N(10000))
		}
		var l net.Listener
		if l, err = net.Listen("tcp", at); err == nil {
			return l, nil
		}
		if address != "" {
			time.Sleep(20 * time.Millisecond) // whoever has it only passes by
		}
	}
	return nil, err
}

// Stop breaks all connections and leaves the address.
func (n *Node) Stop() {
	n.mu.Lock()
	g, l, served := n.grpc, n.listener, n.served
	n.grpc = nil
	n.mu.Unlock()
	if g == nil {
		return
	}
	l.breakAll()
	g.Stop()
	<-served
}

// Restart serves again at the old address.
func (n *Node) Restart() error { return n.start() }

// Address is host:port.
func (n *Node) Address() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.address
}

// Freeze lets the node accept connections and answer nothing on any. Thaw ends it.
func (n *Node) Freeze() { n.listening().freeze(true) }

// Thaw lets the node go on with what it has got meanwhile.
func (n *Node) Thaw() { n.listening().freeze(false) }

// BreakConnections closes all connections that clients have now.
func (n *Node) BreakConnections() { n.listening().breakAll() }

// Connections is how many connections clients have.
func (n *Node) Connections() int { return n.listening().count() }

func (n *Node) listening() *listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.listener
}

// Lag lets the node stay behind by as many records until Release. It never
// forgets what it has shown.
func (n *Node) Lag(records int) {
	seen, _ := n.server.log.length()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seen, n.behind = max(n.visible(seen), n.seen), records
}

// CutOff parts the node from the others until Release: it gets no new records,
// does not hear of elections, and can commit nothing. Clients still reach it.
func (n *Node) CutOff() {
	seen, _ := n.server.log.length()
	leader := n.server.Leader()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seen, n.cutOff, n.believed = max(n.visible(seen), n.seen), true, leader
}

// Release ends Lag and CutOff.
func (n *Node) Release() {
	n.mu.Lock()
	n.behind, n.cutOff, n.seen = 0, false, 0
	n.mu.Unlock()
	n.server.log.mu.Lock()
	n.server.log.wake()
	n.server.log.mu.Unlock()
}

// visible is how many of all records the node has. The caller holds mu.
func (n *Node) visible(all int) int {
	switch {
	case n.cutOff:
		return n.seen
	case n.behind > 0:
		return max(n.seen, all-n.behind)
	default:
		return all
	}
}

// view is how many records the node has, and what closes when that may change.
func (n *Node) view() (int, <-chan struct{}) {
	all, changed := n.server.log.length()
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.visible(all), changed
}

// state is what the node believes about the cluster.
func (n *Node) state() (leader int, cutOff bool) {
	leader = n.server.Leader()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cutOff {
		return n.believed, true
	}
	return leader, false
}

func (n *Node) running() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.grpc != nil
}

// reachable tells whether the other nodes see it.
func (n *Node) reachable() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.grpc != nil && !n.cutOff
}

var errNotReady = status.Error(codes.Unavailable, "Server Is Not Ready")

// demand refuses a call that insists on the leader at a node that is not.
func (n *Node) demand(ctx context.Context) error {
	leader, _ := n.state()
	switch {
	case !wantsLeader(ctx) || leader == n.index:
		return nil
	case leader < 0 || !n.server.nodes[leader].running():
		return errNotReady
	default:
		return n.notLeader(ctx)
	}
}

// notLeader is the answer that names the leader.
func (n *Node) notLeader(ctx context.Context) error {
	leader, _ := n.state()
	if leader < 0 {
		return status.Error(codes.Unknown, "No leader info available in response")
	}
	host, port, err := net.SplitHostPort(n.server.nodes[leader].Address())
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	return refuse(ctx, codes.NotFound, "Leader info available",
		"exception", "not-leader", "leader-endpoint-host", host, "leader-endpoint-port", port)
}

// refuse is an answer with the server's own words about it in the trailer.
func refuse(ctx context.Context, code codes.Code, message string, trailer ...string) error {
	if err := grpc.SetTrailer(ctx, metadata.Pairs(trailer...)); err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	return status.Error(code, message)
}

func wantsLeader(ctx context.Context) bool {
	md, _ := metadata.FromIncomingContext(ctx)
	values := md.Get("requires-leader")
	yes := false
	if len(values) > 0 {
		yes, _ = strconv.ParseBool(values[0]) // what is no bool asks for nothing
	}
	return yes
}

// breakConnection closes the connection that a call came by.
func (n *Node) breakConnection(ctx context.Context) {
	if p, ok := peer.FromContext(ctx); ok {
		n.listening().breakOne(p.Addr.String())
	}
}

// date is the header that web servers send with every answer.
func date() metadata.MD {
	return metadata.Pairs("date", time.Now().UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"))
}

func unaryDate(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	if err := grpc.SetHeader(ctx, date()); err != nil {
		return nil, err
	}
	return handle(ctx, req)
}

func streamDate(service any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	if err := stream.SetHeader(date()); err != nil {
		return err
	}
	return handle(service, stream)
}
