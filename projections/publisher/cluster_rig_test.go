package publisher

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const nodeConfig = "PMLEDGER_TEST_NODE_CONFIG"

// runNode is the child process: one server of a cluster, until it is killed.
func runNode(config string) {
	o, err := server.ProcessConfigFile(config)
	if err != nil {
		panic(err)
	}
	s, err := server.NewServer(o)
	if err != nil {
		panic(err)
	}
	s.ConfigureLogger()
	go s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		panic("the node does not start")
	}
	fmt.Print("r") // running
	s.WaitForShutdown()
}

// node is a server process of a cluster.
type node struct {
	name, config, log, url, health string
	cmd                            *exec.Cmd
}

// cluster is three NATS servers as processes, with the configuration that README
// recommends.
type cluster struct {
	t     testing.TB
	nodes []*node
}

func startCluster(t testing.TB) *cluster {
	t.Helper()
	c, dir := &cluster{t: t}, t.TempDir()
	var routes []string
	ports := freePorts(t, 9)
	for i := range 3 {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", ports[3+i]))
	}
	for i := range 3 {
		n := &node{name: fmt.Sprintf("n%d", i+1), url: fmt.Sprintf("nats://127.0.0.1:%d", ports[i]), health: fmt.Sprintf("http://127.0.0.1:%d/healthz", ports[6+i])}
		n.config, n.log = filepath.Join(dir, n.name+".conf"), filepath.Join(dir, n.name+".log")
		text := fmt.Sprintf("server_name: %s\nlisten: 127.0.0.1:%d\nhttp: 127.0.0.1:%d\njetstream { store_dir: %q, sync_interval: always }\ncluster { name: pm, listen: 127.0.0.1:%d, routes: [%s] }\nlogfile: %q\n",
			n.name, ports[i], ports[6+i], filepath.Join(dir, n.name), ports[3+i], strings.Join(routes, ", "), n.log)
		if err := os.WriteFile(n.config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c.nodes = append(c.nodes, n)
	}
	for _, n := range c.nodes {
		c.start(n)
	}
	t.Cleanup(func() {
		for _, n := range c.nodes {
			c.kill(n)
			if text, err := os.ReadFile(n.log); t.Failed() && err == nil {
				t.Logf("what %s logged last:\n%s", n.name, text[max(0, len(text)-8<<10):])
			}
		}
	})
	return c
}

func freePorts(t testing.TB, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// start does not wait for the node: alone it cannot recover its streams.
func (c *cluster) start(n *node) {
	c.t.Helper()
	n.cmd = exec.Command(os.Args[0])
	n.cmd.Env = append(os.Environ(), nodeConfig+"="+n.config)
	n.cmd.Stderr = os.Stderr
	if err := n.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) kill(n *node) {
	if n.cmd != nil {
		_ = n.cmd.Process.Kill()
		_ = n.cmd.Wait()
		n.cmd = nil
	}
}

func (c *cluster) url() string {
	var urls []string
	for _, n := range c.nodes {
		urls = append(urls, n.url)
	}
	return strings.Join(urls, ",")
}

// connect waits until the cluster has a leader that answers.
func (c *cluster) connect() (*nats.Conn, jetstream.JetStream) {
	c.t.Helper()
	nc, err := nats.Connect(c.url(), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		c.t.Fatal(err)
	}
	return nc, js
}

// leader is the node that leads the stream, nil while there is none.
func (c *cluster) leader(js jetstream.JetStream) *node {
	info := describe(js)
	if info == nil || info.Cluster == nil {
		return nil
	}
	for _, n := range c.nodes {
		if n.name == info.Cluster.Leader {
			return n
		}
	}
	return nil
}

// whole reports whether every replica runs and has all messages. What the leader
// says of its followers is not enough: one that still fetches messages from the
// leader counts as current there, and when the leader is killed then, no server
// has them all until it is back.
func (c *cluster) whole(js jetstream.JetStream) bool {
	info := describe(js)
	if info == nil || info.Config.Replicas != 3 || info.Cluster == nil || len(info.Cluster.Replicas) != 2 || len(behindPeers(info)) > 0 {
		return false
	}
	for _, n := range c.nodes {
		answer, err := http.Get(n.health)
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return false
		}
	}
	return true
}

// describe returns nil when the stream does not answer.
func describe(js jetstream.JetStream) *jetstream.StreamInfo {
	ctx, cancel := newTimeout(time.Second)
	defer cancel()
	stream, err := js.Stream(ctx, StreamName)
	if err != nil {
		return nil
	}
	return stream.CachedInfo()
}

// contents reads the whole stream with a consumer that is made again when the server
// that had it is gone.
func (c *cluster) contents(js jetstream.JetStream) []jetstream.Msg {
	c.t.Helper()
	ctx, cancel := newTimeout(2 * time.Minute)
	defer cancel()
	info := describe(js)
	if info == nil {
		c.t.Fatal("the stream does not answer")
	}
	var consumer jetstream.Consumer
	within(c.t, "a consumer", time.Minute, func() bool { // a server that has just come back may not answer
		ctx, cancel := newTimeout(5 * time.Second)
		defer cancel()
		var err error
		consumer, err = js.OrderedConsumer(ctx, StreamName, jetstream.OrderedConsumerConfig{})
		return err == nil
	})
	iterator, err := consumer.Messages()
	if err != nil {
		c.t.Fatal(err)
	}
	defer iterator.Stop()
	var all []jetstream.Msg
	for uint64(len(all)) < info.State.Msgs {
		m, err := iterator.Next(jetstream.NextContext(ctx))
		if err != nil {
			c.t.Fatalf("after %d of %d messages: %v", len(all), info.State.Msgs, err)
		}
		all = append(all, m)
	}
	return all
}
