package publisher

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Versions of an external NATS server.
const (
	// LeastServerVersion has atomic batches that hold what they promise.
	LeastServerVersion = "2.12.4"
	// GoodServerVersion syncs a batch once, and a replicated stream's log rather
	// than every copy of it.
	GoodServerVersion = "2.15.2"
)

// ErrOldServer: the server's version is below LeastServerVersion. The publisher
// goes on when it has been upgraded.
var ErrOldServer = errors.New("the NATS server is too old")

// checkVersion returns ErrOldServer for a version that must not be published to,
// and whether a later one is recommended. What is no version is taken as fit: it
// is a build of somebody's own.
func checkVersion(version string) (dated bool, err error) {
	v, ok := parseVersion(version)
	if !ok {
		return false, nil
	}
	if slices.Compare(v, mustVersion(LeastServerVersion)) < 0 {
		return true, fmt.Errorf("%w: it has version %s, and %s is the least that publishes batches as a whole; %s is recommended", ErrOldServer, version, LeastServerVersion, GoodServerVersion)
	}
	return slices.Compare(v, mustVersion(GoodServerVersion)) < 0, nil
}

func parseVersion(version string) ([]int, bool) {
	v := make([]int, 3)
	_, err := fmt.Sscanf(version, "%d.%d.%d", &v[0], &v[1], &v[2]) // 2.15.0-dev too
	return v, err == nil
}

func mustVersion(version string) []int {
	v, _ := parseVersion(version)
	return v
}

// fit checks the servers that an external stream depends on: the one that the
// connection leads to, and the one that leads the stream.
func (p *Publisher) fit(info *jetstream.StreamInfo) error {
	if p.o.Server != nil {
		return nil
	}
	versions := []string{p.nc.ConnectedServerVersion()}
	if info != nil {
		versions = append(versions, leaderVersion(info))
	}
	for _, v := range versions {
		dated, err := checkVersion(v)
		if err != nil {
			return err
		}
		if dated {
			p.warnOnce(&p.link.warned, v, "the NATS server should be upgraded", "version", v, "recommended", GoodServerVersion)
		}
	}
	if info != nil && lonely(info) {
		p.warnOnce(&p.link.lonely, "said", "the stream has one replica in a cluster; when its server is lost, so are the stream and the places of its consumers",
			"stream", StreamName, "advice", raiseReplicas)
	}
	return nil
}

const raiseReplicas = "nats stream edit " + StreamName + " --replicas 3"

// warnOnce logs when what is to be said differs from what was said last.
func (p *Publisher) warnOnce(said *string, now, message string, args ...any) {
	p.mu.Lock()
	again := *said == now
	*said = now
	p.mu.Unlock()
	if !again {
		p.o.Logger.Warn(message, args...)
	}
}

// leaderVersion is the version of the server that leads the stream, which puts it
// into every description of the stream.
func leaderVersion(info *jetstream.StreamInfo) string {
	return info.Config.Metadata[server.JSServerVersionMetadataKey]
}

// lonely reports whether a stream of a cluster has only one replica.
func lonely(info *jetstream.StreamInfo) bool {
	return info.Cluster != nil && info.Cluster.Name != "" && info.Config.Replicas == 1
}

// unavailable says what an operator can do about a request that JetStream does not
// answer as it should.
func unavailable(err error) error {
	switch {
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrJetStreamNotEnabled):
		return fmt.Errorf("%w: JetStream is switched off on the NATS server", err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", err, errSilent)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return fmt.Errorf("%w: JetStream is not enabled for the account of this user", err)
	}
	return err
}
