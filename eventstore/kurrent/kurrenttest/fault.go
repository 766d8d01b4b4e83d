package kurrenttest

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// RPC is a kind of call.
type RPC int

// The kinds of calls that are counted and can fail.
const (
	Append RPC = iota
	ReadStream
	ReadAll // without a filter
	Search  // a read of $all with a filter
	Subscribe
	Delete
	Gossip
	Features
	kinds
)

func (r RPC) String() string {
	return [...]string{"append", "read stream", "read $all", "search $all", "subscribe", "delete", "gossip", "features"}[r]
}

// Fault is what goes wrong with a call. The zero value is nothing.
type Fault struct {
	// Delay passes before anything is done.
	Delay time.Duration
	// Committed: what the call asks for is done first, and its answer lost.
	Committed bool
	// Early: an append is refused after its first message, the rest unread.
	Early bool
	// Events is how many events a read or a subscription sends first.
	Events int
	// Hang: no answer comes, until the caller gives up or the server stops.
	Hang bool
	// Break closes the call's connection, and so ends every call on it.
	Break bool
	// Elsewhere: the node says that it is not the leader, and who is.
	Elsewhere bool
	// Err is the answer, made by package status. nil with none of the three before:
	// the call goes on as usual.
	Err error
}

// Refuse fails calls before anything is done.
func Refuse(code codes.Code, message string) Fault { return Fault{Err: status.Error(code, message)} }

// RefuseEarly fails appends while they are being sent.
func RefuseEarly(code codes.Code, message string) Fault {
	return Fault{Early: true, Err: status.Error(code, message)}
}

// LoseAnswer fails calls after they were done.
func LoseAnswer(code codes.Code, message string) Fault {
	return Fault{Committed: true, Err: status.Error(code, message)}
}

// BreakAfter closes the connection when the call was done, before its answer.
func BreakAfter() Fault { return Fault{Committed: true, Break: true} }

// BreakBefore closes the connection before anything is done.
func BreakBefore() Fault { return Fault{Break: true} }

// DropAfter ends reads and subscriptions with Unavailable after some events.
func DropAfter(events int) Fault {
	return Fault{Events: events, Err: status.Error(codes.Unavailable, "Server Is Too Busy")}
}

// Slow answers later.
func Slow(d time.Duration) Fault { return Fault{Delay: d} }

// Hang never answers. The append is not done.
func Hang() Fault { return Fault{Hang: true} }

// HangAfter never answers an append that was done.
func HangAfter() Fault { return Fault{Committed: true, Hang: true} }

// NotLeader refuses calls as a node that is not the leader does.
func NotLeader() Fault { return Fault{Elsewhere: true} }

// ends tells whether the fault ends the call.
func (f *Fault) ends() bool {
	return f != nil && (f.Err != nil || f.Hang || f.Break || f.Elsewhere)
}

// plan says which calls fail, and counts all of them.
type plan struct {
	mu     sync.Mutex
	rules  [kinds][]*rule
	counts [kinds]Counts
}

type rule struct {
	fault Fault
	left  int // how many calls are still to fail; -1: no end
	every int // of so many calls
	seen  int
}

// Counts are the calls of one kind since the server was made.
type Counts struct {
	Calls  int
	Leader int // of these, asked to be served by the leader only
	Faults int // of these, failed by a planned fault
}

func (p *plan) add(rpc RPC, r rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules[rpc] = append(p.rules[rpc], &r)
}

func (p *plan) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = [kinds][]*rule{}
}

// take counts a call and returns the fault it gets, or nil.
func (p *plan) take(rpc RPC, leader bool) *Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &p.counts[rpc]
	c.Calls++
	if leader {
		c.Leader++
	}
	for _, r := range p.rules[rpc] {
		if r.left == 0 {
			continue
		}
		if r.seen++; r.seen%r.every != 0 {
			continue
		}
		if r.left > 0 {
			r.left--
		}
		c.Faults++
		f := r.fault
		return &f
	}
	return nil
}

func (p *plan) count(rpc RPC) Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts[rpc]
}

// pause waits before a call is done.
func (f *Fault) pause(ctx context.Context) error {
	if f == nil || f.Delay <= 0 {
		return nil
	}
	timer := time.NewTimer(f.Delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	case <-timer.C:
		return nil
	}
}

// strike ends the call as the fault says.
func (f *Fault) strike(ctx context.Context, n *Node) error {
	switch {
	case f.Hang:
		<-ctx.Done()
		return status.FromContextError(ctx.Err()).Err()
	case f.Break:
		n.breakConnection(ctx)
		return status.Error(codes.Unavailable, "the connection is broken")
	case f.Elsewhere:
		return n.notLeader(ctx)
	default:
		return f.Err
	}
}
