package kurrent

import (
	"context"
	"encoding/base64"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
)

const (
	// maxReceive bounds one message: the server's largest event is 16 MiB.
	maxReceive = 17 << 20
	// callConns is how many connections calls may share, followConns the same for
	// subscriptions. The server serves 100 calls at once on a connection and lets
	// the rest wait. The next connection is opened when the one before has
	// fullConn calls under way: on two cores one connection carries more appends
	// than four do (26 600 a second to 18 700), so more are for room, not for speed.
	callConns   = 4
	followConns = 2
	fullConn    = 90
	// followWindow is what the server may send ahead of a follower that is slow, in
	// bytes. With it set, the window does not grow by itself.
	followWindow = 256 << 10
)

// link is the connections to one node.
type link struct {
	address string
	calls   *pool
	follows *pool
	// moved is closed when the leader is found at another address: followers go
	// there too, since a node that lost its leadership may have lost the cluster.
	moved chan struct{}
	limit time.Duration // how long one attempt may wait for a sign of the node
}

// connect prepares the connections to a node. Nothing is sent yet.
func connect(t *target, address string, gap time.Duration) (*link, error) {
	l := &link{address: address, moved: make(chan struct{}), limit: attemptTimeout}
	var err error
	if l.calls, err = newPool(address, callConns, dialOptions(t, gap)); err != nil {
		return nil, err
	}
	window := append(dialOptions(t, gap), grpc.WithInitialWindowSize(followWindow), grpc.WithInitialConnWindowSize(4*followWindow))
	if l.follows, err = newPool(address, followConns, window); err != nil {
		return nil, errors.Join(err, l.calls.closeAll())
	}
	return l, nil
}

// retire closes the connections as soon as nobody uses them. Followers go on.
func (l *link) retire() {
	l.calls.retire()
	l.follows.retire()
}

// gone tells whether all connections are closed.
func (l *link) gone() bool { return l.calls.gone() && l.follows.gone() }

func (l *link) closeAll() error { return errors.Join(l.calls.closeAll(), l.follows.closeAll()) }

// leave asks the link's followers to go to the new leader. It is called by one
// goroutine at a time.
func (l *link) leave() {
	select {
	case <-l.moved:
	default:
		close(l.moved)
	}
}

// mute tells whether an attempt that began then has waited so long in vain that
// the node is suspect, even if its caller would not wait any longer.
func (l *link) mute(began time.Time) bool { return time.Since(began) >= l.limit/2 }

func dialOptions(t *target, gap time.Duration) []grpc.DialOption {
	transport := insecure.NewCredentials()
	if t.tls != nil {
		transport = credentials.NewTLS(t.tls)
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReceive)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstPause, Multiplier: 2, Jitter: 0.3, MaxDelay: gap},
			MinConnectTimeout: attemptTimeout,
		}),
	}
	if t.keepAliveInterval > 0 {
		options = append(options, grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: t.keepAliveInterval, Timeout: max(t.keepAliveTimeout, 0), PermitWithoutStream: true,
		}))
	}
	if t.user != "" {
		options = append(options, grpc.WithPerRPCCredentials(newBasicAuth(t.user, t.password)))
	}
	return options
}

var wantLeader = metadata.Pairs("requires-leader", "true")

// leaderOnly makes a node that is not the leader refuse the call.
func leaderOnly(ctx context.Context) context.Context {
	return metadata.NewOutgoingContext(ctx, wantLeader)
}

// basicAuth sends user and password with every call. gRPC refuses to do so
// without TLS.
type basicAuth map[string]string

func newBasicAuth(user, password string) basicAuth {
	return basicAuth{"authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))}
}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b basicAuth) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return b, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (basicAuth) RequireTransportSecurity() bool { return true }
