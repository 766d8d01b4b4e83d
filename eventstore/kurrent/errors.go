package kurrent

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// lostError says that a node gave no answer, or that no leader could be asked.
type lostError struct{ cause error }

func (e *lostError) Error() string { return e.cause.Error() }
func (e *lostError) Unwrap() error { return e.cause }

// replyError is a refusal of the server, or of the connection to it, with what the
// server says about it in its trailer.
type replyError struct {
	err     error
	trailer metadata.MD
}

func (e *replyError) Error() string {
	s := status.Convert(e.err)
	return fmt.Sprintf("the event store answers %s: %s", s.Code(), s.Message())
}

func (e *replyError) Unwrap() error { return e.err }

// exception is the server's own name of what went wrong.
func (e *replyError) exception() string { return first(e.trailer, "exception") }

func first(md metadata.MD, key string) string {
	if v := md.Get(key); len(v) > 0 {
		return v[0]
	}
	return ""
}

// The server's names of what went wrong, and its words where it has no name.
const (
	notLeader     = "not-leader"
	streamDeleted = "stream-deleted"
	noLeader      = "No leader info available"
	tooBusy       = "Server Is Too Busy"
)

// leaderNamed tells whether err says that the leader is elsewhere, and where, as
// host:port; "" when the node does not know.
func leaderNamed(err error) (address string, elsewhere bool) {
	var reply *replyError
	if !errors.As(err, &reply) {
		return "", false
	}
	if reply.exception() == notLeader {
		host, port := first(reply.trailer, "leader-endpoint-host"), first(reply.trailer, "leader-endpoint-port")
		if host == "" || port == "" {
			return "", true
		}
		return net.JoinHostPort(host, port), true
	}
	return "", strings.HasPrefix(status.Convert(reply.err).Message(), noLeader)
}

// isLost tells whether err says that the node cannot be reached, or may have lost
// the cluster: a leader that was cut off from it goes on serving, and commits
// nothing (Aborted).
func isLost(err error) bool {
	var lost *lostError
	if errors.As(err, &lost) {
		return true
	}
	var reply *replyError
	if !errors.As(err, &reply) {
		return false
	}
	s := status.Convert(reply.err)
	switch s.Code() {
	case codes.Unavailable:
		return s.Message() != tooBusy
	case codes.Aborted, codes.DeadlineExceeded, codes.Canceled, codes.Internal:
		return true
	default:
		return false
	}
}

// isTransient tells whether the same call may succeed when it is repeated.
func isTransient(err error) bool {
	if _, elsewhere := leaderNamed(err); elsewhere || isLost(err) {
		return true
	}
	var reply *replyError
	if !errors.As(err, &reply) {
		return false
	}
	switch status.Code(reply.err) {
	case codes.Unavailable, codes.ResourceExhausted, codes.Unknown:
		return true
	default:
		return false
	}
}

// isRefusal tells whether the server denies who asks, or what is asked.
func isRefusal(err error) bool {
	code := status.Code(err)
	return code == codes.PermissionDenied || code == codes.Unauthenticated
}

func isStreamDeleted(err error) bool {
	var reply *replyError
	return errors.As(err, &reply) && reply.exception() == streamDeleted
}

// isBadPlace tells whether the server knows no record at the position given.
func isBadPlace(err error) bool {
	var reply *replyError
	return errors.As(err, &reply) && status.Code(reply.err) == codes.InvalidArgument
}
