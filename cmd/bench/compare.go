package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// row is one line of the table: a kind of request at so many clients.
type row struct {
	name     string
	clients  int
	goal     string
	product  target
	static   target
	products []result
	statics  []result
}

// listLength is the number of methods of the customer whose list is read.
const listLength = 20

// compare measures everything, round by round, and prints it.
func compare(ctx context.Context, s settings) error {
	p, err := buildProduct(ctx, s.dir)
	if err != nil {
		return err
	}
	if err := p.start(s.dir); err != nil {
		return err
	}
	echoing, stopEcho := context.WithCancel(ctx)
	e, address, err := child(echoing, "-role", "echo")
	if err != nil {
		stopEcho()
		return errors.Join(err, p.stop())
	}
	err = measure(ctx, s, p, address)
	stopEcho()
	_ = e.Wait() // it was interrupted
	err = errors.Join(err, p.stop())
	if err != nil || s.only != "" {
		return err
	}
	return measureRebuild(ctx, s, p)
}

func measure(ctx context.Context, s settings, p *product, echo string) error {
	rows, err := prepare(ctx, p, echo)
	if err != nil {
		return err
	}
	rows = slices.DeleteFunc(rows, func(r row) bool { return !strings.HasPrefix(r.title(), s.only) })
	drains := s.drain > 0 && strings.HasPrefix(drainTitle, s.only)
	if len(rows) == 0 && drains {
		return measureDrain(ctx, s, p)
	}
	if len(rows) == 0 {
		return fmt.Errorf("nothing that is measured begins with %q", s.only)
	}
	var fsyncs []time.Duration
	for range s.rounds {
		for i := range rows {
			profile := p.profile(ctx, s)
			if err := errors.Join(rows[i].round(ctx, s.length), profile()); err != nil {
				return fmt.Errorf("%s: %w", rows[i].title(), err)
			}
		}
		fsync, err := syncs(s.dir, 500)
		if err != nil {
			return err
		}
		fsyncs = append(fsyncs, fsync)
	}
	fmt.Printf("%-24s%14s%14s%9s   %s\n", "requests/s", "pmledger", "E", "ratio", "goal")
	for _, r := range rows {
		r.print()
	}
	if s.only != "" {
		return nil
	}
	one := rows[0]
	latency, bare := median(p50s(one.products)), median(p50s(one.statics))
	allowed := 3*median(fsyncs) + bare/2
	fmt.Printf("\nattach, 1 client, p50: %s; fdatasync %s, E %s; goal 3 fdatasync + E/2 = %s (%.2f of it)\n",
		latency, median(fsyncs), bare, allowed, float64(latency)/float64(allowed))
	if err := measureDelivery(ctx, s, p, bare/2); err != nil || !drains {
		return err
	}
	return measureDrain(ctx, s, p)
}

// round measures E and the product, one right after the other.
func (r *row) round(ctx context.Context, length time.Duration) error {
	static, err := load(ctx, r.static, r.clients, length)
	if err != nil {
		return fmt.Errorf("echo: %w", err)
	}
	product, err := load(ctx, r.product, r.clients, length)
	if err != nil {
		return err
	}
	r.products, r.statics = append(r.products, product), append(r.statics, static)
	return nil
}

func (r *row) print() {
	var ratios, products, statics []float64
	for i := range r.products {
		products, statics = append(products, r.products[i].perSecond), append(statics, r.statics[i].perSecond)
		ratios = append(ratios, r.products[i].perSecond/r.statics[i].perSecond)
	}
	last := r.products[len(r.products)-1]
	fmt.Printf("%-24s%14.0f%14.0f%9.2f   %-22s p50 %s, p99 %s", r.title(), median(products), median(statics), median(ratios), r.goal, last.p50, last.p99)
	if last.settling > 0 {
		fmt.Printf(", settled %s after", last.settling.Round(time.Millisecond))
	}
	fmt.Println()
}

func (r *row) title() string { return fmt.Sprintf("%s, %d clients", r.name, r.clients) }

func p50s(results []result) []time.Duration {
	var all []time.Duration
	for _, r := range results {
		all = append(all, r.p50)
	}
	return all
}

// prepare attaches what is read later and makes the rows.
func prepare(ctx context.Context, p *product, echo string) ([]row, error) {
	c := dial(p.http)
	defer c.close()
	var ids []string
	size := 0
	for n := range 50 * listLength {
		customer := fmt.Sprintf("reader_%d", n/listLength)
		status, err := c.do(ctx, attachRequest(customer, fmt.Sprintf("tok_visa_fp_%d", n), ""))
		var method struct{ ID string }
		if err == nil {
			err = json.Unmarshal(c.body.Bytes(), &method)
		}
		if err != nil || status != 201 {
			return nil, fmt.Errorf("attach answered %d, %v: %s", status, err, c.body.Bytes())
		}
		ids, size = append(ids, method.ID), c.body.Len()
	}
	status, err := c.do(ctx, getRequest("/v1/customers/reader_0/payment-methods"))
	if err != nil || status != 200 {
		return nil, fmt.Errorf("list answered %d, %v", status, err)
	}
	list := c.body.Len()

	run := strconv.Itoa(os.Getpid())
	attach := target{address: p.http, status: 201, settled: p.settled}
	get := target{address: p.http, status: 200, request: func(client, n int) request {
		return getRequest("/v1/payment-methods/" + ids[(client*7919+n)%len(ids)])
	}}
	lists := target{address: p.http, status: 200, request: func(client, n int) request {
		return getRequest("/v1/customers/reader_" + strconv.Itoa((client+n)%50) + "/payment-methods")
	}}
	static := func(method string, status, size int) target {
		path := fmt.Sprintf("/%d/%d", status, size)
		return target{address: echo, status: status, request: func(client, n int) request {
			if method == "POST" {
				return postRequest(path, "tok_visa", run)
			}
			return getRequest(path)
		}}
	}
	var made atomic.Int64
	var rows []row
	for i, clients := range []int{1, 16, 64} {
		one := attach
		one.request = newCustomers(run, &made)
		rows = append(rows, row{name: "attach", clients: clients, goal: []string{"", "", ">= 0.20, then 0.40"}[i], product: one, static: static("POST", 201, size)})
	}
	return append(rows,
		row{name: "get", clients: 64, goal: ">= 0.60, then 0.85", product: get, static: static("GET", 200, size)},
		row{name: "list of 20", clients: 64, goal: "then 0.70", product: lists, static: static("GET", 200, list)}), nil
}

// newCustomers makes requests that attach a card to a customer that is new each
// time, with an idempotency key.
func newCustomers(run string, made *atomic.Int64) func(int, int) request {
	return func(int, int) request {
		customer := "cus_" + run + "_" + strconv.FormatInt(made.Add(1), 10)
		return attachRequest(customer, "tok_visa", customer)
	}
}

func attachRequest(customer, token, key string) request {
	return postRequest("/v1/customers/"+customer+"/payment-methods", token, key)
}

func postRequest(path, token, key string) request {
	return request{"POST", path, `{"type":"card","token":"` + token + `","metadata":{"plan":"gold"}}`, key}
}

func getRequest(path string) request { return request{method: "GET", path: path} }

func measureDelivery(ctx context.Context, s settings, p *product, halfRequest time.Duration) error {
	const messages = 200
	var ours, bare, tails []time.Duration
	for range s.rounds {
		one, err := delivered(ctx, p, messages, halfRequest)
		if err != nil {
			return err
		}
		other, err := bareDelivery(ctx, s.dir, messages)
		if err != nil {
			return err
		}
		ours, bare = append(ours, quantile(one, 0.5)), append(bare, quantile(other, 0.5))
		tails = append(tails, quantile(one, 0.99))
	}
	fmt.Printf("commit to NATS subscriber, p50: %s; bare SyncAlways publish %s; ratio %.2f, goal <= 1.5 (p99 %s)\n",
		median(ours), median(bare), float64(median(ours))/float64(median(bare)), median(tails))
	resident, err := p.resident(ctx)
	if err == nil {
		fmt.Printf("resident set: %.0f MiB\n", resident)
	}
	return err
}

func measureRebuild(ctx context.Context, s settings, p *product) error {
	var rebuilds, scans, ratios []float64
	for range s.rounds {
		scan, err := scanned(ctx, p.data)
		if err != nil {
			return err
		}
		rebuild, err := p.rebuild(ctx)
		if err != nil {
			return err
		}
		rebuilds, scans, ratios = append(rebuilds, rebuild), append(scans, scan), append(ratios, rebuild/scan)
	}
	fmt.Printf("rebuild: %.0f events/s; read, checksum and decode alone %.0f; ratio %.2f, goal >= 0.5\n", median(rebuilds), median(scans), median(ratios))
	return nil
}
