package kurrent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// seed is a node that is asked who the leader is.
type seed struct {
	address   string
	authority string // the name that its certificate must have; "" for the address
}

// seedsOf looks up what stands behind the hosts: one name may be all nodes. Asked
// by its name, a cluster would always answer with the same one of them.
func seedsOf(ctx context.Context, hosts []string) []seed {
	var seeds []seed
	for _, host := range hosts {
		name, port, err := net.SplitHostPort(host)
		var found []string
		if err == nil && net.ParseIP(name) == nil {
			found, err = net.DefaultResolver.LookupHost(ctx, name)
		}
		if err != nil || len(found) == 0 { // then whoever dials it says why not
			seeds = append(seeds, seed{address: host})
		}
		for _, address := range found {
			seeds = append(seeds, seed{address: net.JoinHostPort(address, port), authority: host})
		}
	}
	return seeds
}

// askLeader asks all nodes at once who the leader is. More than half of them must
// agree, so that one that is cut off and believes in an old leader is not heard; when
// there are too few answers for that, most of them decide.
func askLeader(ctx context.Context, t *target, hosts []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, t.gossipTimeout)
	defer cancel()
	type answer struct {
		leader string
		err    error
	}
	seeds := seedsOf(ctx, hosts)
	answers := make(chan answer, len(seeds))
	for _, node := range seeds {
		go func() {
			leader, err := gossipOf(ctx, t, node)
			answers <- answer{leader, err}
		}()
	}
	var found string
	var errs []error
	votes := map[string]int{}
	for range seeds {
		a := <-answers // gossipOf ends with ctx, so nothing is left behind
		if a.err != nil {
			errs = append(errs, a.err)
			continue
		}
		votes[a.leader]++
		if votes[a.leader] > votes[found] {
			found = a.leader
		}
		if votes[found] > len(seeds)/2 {
			cancel() // the others need not be heard
		}
	}
	if found == "" {
		return "", errors.Join(errs...)
	}
	return found, nil
}

// gossipOf asks one node who the leader is.
func gossipOf(ctx context.Context, t *target, node seed) (leader string, err error) {
	options := dialOptions(t, defaultGap)
	if node.authority != "" {
		options = append(options, grpc.WithAuthority(node.authority))
	}
	c, err := grpc.NewClient(node.address, options...)
	if err != nil {
		return "", fmt.Errorf("%s: %w", node.address, err)
	}
	defer func() {
		if closeErr := c.Close(); err == nil {
			err = closeErr
		}
	}()
	info, err := gossip.NewGossipClient(c).Read(ctx, &shared.Empty{})
	if err != nil {
		return "", fmt.Errorf("%s: %w", node.address, &replyError{err: err})
	}
	for _, m := range info.GetMembers() {
		if m.GetIsAlive() && m.GetState() == gossip.MemberInfo_Leader {
			at := m.GetHttpEndPoint()
			return net.JoinHostPort(at.GetAddress(), strconv.FormatUint(uint64(at.GetPort()), 10)), nil
		}
	}
	return "", fmt.Errorf("%s: none of the %d nodes is the leader now", node.address, len(info.GetMembers()))
}

// about asks a node which release it runs, and what time it is there. Very old ones
// do not tell.
func about(ctx context.Context, c *grpc.ClientConn) (version string, now time.Time, err error) {
	var header metadata.MD
	methods, err := serverfeatures.NewServerFeaturesClient(c).GetSupportedMethods(ctx, &shared.Empty{}, grpc.Header(&header))
	now, _ = http.ParseTime(first(header, "date")) // zero when there is none, or it is no time
	switch status.Code(err) {
	case codes.OK:
		return methods.GetEventStoreServerVersion(), now, nil
	case codes.Unimplemented, codes.NotFound:
		return "", now, nil
	default:
		return "", now, &replyError{err: err}
	}
}
