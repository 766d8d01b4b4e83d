package api

import (
	"math"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/pmledger/pmledger/domain"
)

// RateLimit is how many requests a key may make: PerSecond on average, Burst at
// once. The zero value is no limit.
type RateLimit struct {
	PerSecond float64
	Burst     int
}

// Bounds of what is kept per key and per address.
const (
	maxBuckets      = 10000
	failuresBurst   = 20  // wrong keys from one address at once
	failuresPerSec  = 0.5 // and after that
	rateLimitPolicy = "default"
)

// limits are the token buckets of this process, in real time. Each node counts
// alone.
type limits struct {
	now      func() time.Time
	per      RateLimit
	mu       sync.Mutex
	keys     map[string]*rate.Limiter
	failures map[string]*rate.Limiter
	policy   []string // header RateLimit-Policy
	limit    []string // header RateLimit-Limit
}

func newLimits(per RateLimit, now func() time.Time) *limits {
	if per.PerSecond > 0 && per.Burst < 1 {
		per.Burst = max(1, int(math.Ceil(per.PerSecond)))
	}
	burst := strconv.Itoa(per.Burst)
	window := 1
	if per.PerSecond > 0 {
		window = max(1, int(math.Ceil(float64(per.Burst)/per.PerSecond)))
	}
	return &limits{
		now: now, per: per, keys: map[string]*rate.Limiter{}, failures: map[string]*rate.Limiter{},
		policy: []string{`"` + rateLimitPolicy + `";q=` + burst + ";w=" + strconv.Itoa(window)}, limit: []string{burst},
	}
}

// bucket finds or makes a bucket. The caller holds the lock.
func bucket(in map[string]*rate.Limiter, name string, perSecond float64, burst int, now time.Time) *rate.Limiter {
	b, ok := in[name]
	if ok {
		return b
	}
	if len(in) >= maxBuckets {
		drop(in, now)
	}
	b = rate.NewLimiter(rate.Limit(perSecond), burst)
	in[name] = b
	return b
}

// drop makes room: buckets that are full again go; when those are few, all go,
// rather than that every new address costs a search through the others.
func drop(in map[string]*rate.Limiter, now time.Time) {
	for name, b := range in {
		if b.TokensAt(now) >= float64(b.Burst()) {
			delete(in, name)
		}
	}
	if len(in) > maxBuckets/2 {
		clear(in)
	}
}

// limit takes one request from the key's bucket and tells the client what is left
// of it. Both forms of the headers are sent: RateLimit and RateLimit-Policy of the
// IETF draft, and the older RateLimit-Limit, -Remaining and -Reset (seconds until
// the bucket is full).
func (c *call) limit() error {
	l := c.limits
	if l.per.PerSecond <= 0 {
		return nil
	}
	now := l.now()
	l.mu.Lock()
	b := bucket(l.keys, c.who.keyID, l.per.PerSecond, l.per.Burst, now)
	l.mu.Unlock()
	allowed := b.AllowN(now, 1)
	tokens := b.TokensAt(now)
	remaining := strconv.Itoa(max(0, int(tokens)))
	reset := strconv.Itoa(int(math.Ceil((float64(l.per.Burst) - tokens) / l.per.PerSecond)))
	h := c.answer.Header()
	h["Ratelimit-Policy"], h["Ratelimit-Limit"] = l.policy, l.limit
	h["Ratelimit"] = []string{`"` + rateLimitPolicy + `";r=` + remaining + ";t=" + reset}
	h["Ratelimit-Remaining"], h["Ratelimit-Reset"] = []string{remaining}, []string{reset}
	if allowed {
		return nil
	}
	h.Set("Retry-After", retryAfter(b, now))
	return domain.Refuse(codeRateLimited, "this API key may make %g requests per second; try again later", l.per.PerSecond)
}

// retryAfter is how long until the bucket holds one request again, in whole seconds.
func retryAfter(b *rate.Limiter, now time.Time) string {
	missing := 1 - b.TokensAt(now)
	return strconv.Itoa(max(1, int(math.Ceil(missing/float64(b.Limit())))))
}

// strike notes a wrong key from an address. It returns how long to wait, in
// seconds, when there were too many, or "". Without a limit for keys there is none here.
func (l *limits) strike(address string) string {
	if l.per.PerSecond <= 0 {
		return ""
	}
	now := l.now()
	l.mu.Lock()
	b := bucket(l.failures, address, failuresPerSec, failuresBurst, now)
	l.mu.Unlock()
	if b.AllowN(now, 1) {
		return ""
	}
	return retryAfter(b, now)
}

// struckOut tells whether an address has sent too many wrong keys. Its right keys
// go on working; only the wait for a key that is not known yet is left out.
func (l *limits) struckOut(address string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.failures[address]
	return ok && b.TokensAt(l.now()) < 1
}
