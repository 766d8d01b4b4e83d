package kurrenttest

import (
	"context"
	"net"
	"strconv"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// gossipService tells who the nodes are, as its own node believes.
type gossipService struct {
	gossip.UnimplementedGossipServer
	n *Node
}

// Read implements the Read call of gossip.
func (s *gossipService) Read(ctx context.Context, _ *shared.Empty) (*gossip.ClusterInfo, error) {
	if err := s.n.met(ctx, Gossip); err != nil {
		return nil, err
	}
	leader, cutOff := s.n.state()
	info := &gossip.ClusterInfo{}
	for _, n := range s.n.server.nodes {
		host, port, err := net.SplitHostPort(n.Address())
		if err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
		state := gossip.MemberInfo_Follower
		switch leader {
		case n.index:
			state = gossip.MemberInfo_Leader
		case -1:
			state = gossip.MemberInfo_Unknown
		}
		info.Members = append(info.Members, &gossip.MemberInfo{
			InstanceId:   &shared.UUID{Value: &shared.UUID_String_{String_: n.id.String()}},
			TimeStamp:    time.Now().UnixNano() / 100,
			State:        state,
			IsAlive:      n == s.n || !cutOff && n.reachable(),
			HttpEndPoint: &gossip.EndPoint{Address: host, Port: uint32(number)},
		})
	}
	return info, nil
}

// featureService tells what the node can do.
type featureService struct {
	serverfeatures.UnimplementedServerFeaturesServer
	n *Node
}

// GetSupportedMethods implements the call of the same name.
func (s *featureService) GetSupportedMethods(ctx context.Context, _ *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	if err := s.n.met(ctx, Features); err != nil {
		return nil, err
	}
	methods := &serverfeatures.SupportedMethods{EventStoreServerVersion: s.n.server.o.Version}
	for _, name := range []string{"append", "read", "delete", "tombstone"} {
		m := &serverfeatures.SupportedMethod{ServiceName: "event_store.client.streams.streams", MethodName: name}
		if name == "read" {
			m.Features = []string{"position", "events"}
		}
		methods.Methods = append(methods.Methods, m)
	}
	return methods, nil
}

// met counts a call, and fails it when that is planned.
func (n *Node) met(ctx context.Context, rpc RPC) error {
	fault := n.server.plan.take(rpc, wantsLeader(ctx))
	if err := fault.pause(ctx); err != nil {
		return err
	}
	if fault.ends() {
		return fault.strike(ctx, n)
	}
	return nil
}
