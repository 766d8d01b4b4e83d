package main

import (
	"fmt"
	"net/http"
	"strings"
)

// rawCase is what is written to a connection, byte for byte. Every hidden request
// in it has a name of its own, which shows when it is taken for a request.
type rawCase struct {
	name   string
	text   string
	most   int  // responses that the sender can expect; 0: one
	effect bool // the hidden request is no secret: its sender wrote it as one
	close  bool // the sender stops writing before any answer
	slow   bool // it takes as long as the server's limits of time
}

const (
	rawCard    = `{"type":"card","token":"tok_visa"}`
	rawHeaders = "Host: x\r\nAuthorization: Bearer " + rawKey + "\r\nContent-Type: application/json\r\n"
	rawRead    = "GET /v1/payment-methods HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + rawKey + "\r\n"
	rawChunks  = "22\r\n" + rawCard + "\r\n0\r\n\r\n"

	// rawHidden is a whole request with an effect that would show.
	rawHidden = "POST /v1/customers/{hidden}/payment-methods HTTP/1.1\r\n" + rawHeaders + "Content-Length: 34\r\n\r\n" + rawCard
)

func rawPost(headers, body string) string {
	return "POST /v1/customers/outer/payment-methods HTTP/1.1\r\n" + rawHeaders + headers + "\r\n" + body
}

func length(body string) string {
	return fmt.Sprintf("Content-Length: %d\r\n", len(strings.ReplaceAll(body, "{hidden}", hiddenName(0))))
}

// hiddenName is as long for every case.
func hiddenName(n int) string { return fmt.Sprintf("hidden-%06d", n) }

// rawCases is the whole corpus.
func rawCases() []rawCase {
	all := ambiguous()
	for _, part := range [][]rawCase{contentLengths(), lines(), chunkings(), unasked(), targets(), versions(), bombs(), broken()} {
		all = append(all, part...)
	}
	return all
}

// ambiguous requests have two ends: one by their length, and one by their chunks.
func ambiguous() (all []rawCase) {
	for _, coding := range []string{
		"Transfer-Encoding: chunked\r\n", "Transfer-Encoding: CHUNKED\r\n", "Transfer-Encoding:chunked\r\n", "Transfer-Encoding: \t chunked \r\n",
		"Transfer-Encoding : chunked\r\n", " Transfer-Encoding: chunked\r\n", "Transfer-Encoding: xchunked\r\n", "Transfer-Encoding: \x0bchunked\r\n",
		"Transfer-Encoding: chunked, identity\r\n", "Transfer-Encoding: identity, chunked\r\n", "Transfer-Encoding: identity\r\n",
		"Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding: chunked, chunked\r\n", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
		"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
		"Transfer-Encoding:\r\n chunked\r\n", "X: y\r\n Transfer-Encoding: chunked\r\n", "X: y\nTransfer-Encoding: chunked\r\n", "X: y\rTransfer-Encoding: chunked\r\n",
		"Transfer-Encoding: chunked;q=1\r\n", "Transfer-Encoding: \"chunked\"\r\n", "Transfer-Encoding: chunked\x00\r\n", "Transfer_Encoding: chunked\r\n",
		"Transfer-\u017fncoding: chunked\r\n", "TE: chunked\r\n", "Transfer-Encoding:\r\n", "Transfer-Encoding: ,chunked\r\n",
	} {
		name := strings.TrimSpace(coding)
		all = append(all,
			rawCase{name: "by length all is the body: " + name, text: rawPost(coding+length(rawChunks+rawHidden), rawChunks+rawHidden)},
			rawCase{name: "length first, all is the body: " + name, text: rawPost(length(rawChunks+rawHidden)+coding, rawChunks+rawHidden)},
			rawCase{name: "a read, by length all is the body: " + name, text: rawRead + coding + length("0\r\n\r\n"+rawHidden) + "\r\n0\r\n\r\n" + rawHidden},
		)
		if strings.HasPrefix(coding, "Transfer-Encoding:") { // otherwise there is no other end than that by length
			all = append(all, rawCase{name: "by chunks all is the body: " + name, text: rawPost(coding+"Content-Length: 4\r\n", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(strings.ReplaceAll(rawHidden, "{hidden}", hiddenName(0))), rawHidden)), most: 2})
		}
	}
	return all
}

// contentLengths are forms of Content-Length that two readers read differently.
func contentLengths() (all []rawCase) {
	for _, l := range []string{
		"34\r\nContent-Length: 0", "0\r\nContent-Length: {all}", "{all}\r\nContent-Length: 34", "34\r\nContent-Length: {all}", "34, {all}", "{all}, 34", "+{all}", "-1", "0x22", "34 {all}",
		"034", "3_4", "34.0", "99999999999999999999", "18446744073709551650", "4294967330", "\t{all}", "\x0b{all}", "", "٣٤", "{all};q=1", "1e2",
	} {
		text := rawCard + rawHidden
		all = append(all, rawCase{name: "Content-Length: " + l, most: 2, effect: strings.Contains(l, "34") || strings.Contains(l, "٣٤"),
			text: rawPost("Content-Length: "+strings.ReplaceAll(l, "{all}", strings.TrimSpace(strings.TrimPrefix(length(text), "Content-Length: ")))+"\r\n", text)})
	}
	return all
}

// lines are headers whose lines two readers end differently.
func lines() []rawCase {
	get := strings.TrimSuffix(rawRead, "\r\n")
	return []rawCase{
		{name: "two hosts", text: rawRead + "Host: y\r\n\r\n"},
		{name: "two equal hosts", text: rawRead + "Host: x\r\n\r\n"},
		{name: "no host", text: strings.Replace(rawRead, "Host: x\r\n", "", 1) + "\r\n"},
		{name: "a host that is none", text: strings.Replace(rawRead, "Host: x", "Host: x/../y?z", 1) + "\r\n"},
		{name: "space before a colon", text: rawRead + "Content-Length : 5\r\n\r\nhello"},
		{name: "a line without a colon", text: rawRead + "hello\r\n\r\n"},
		{name: "a nameless header", text: rawRead + ": x\r\n\r\n"},
		{name: "a name with a space", text: rawRead + "A B: x\r\n\r\n"},
		{name: "a name with NUL", text: rawRead + "A\x00B: x\r\n\r\n"},
		{name: "a value with NUL", text: rawRead + "A: \x00\r\n\r\n"},
		{name: "a value with a control character", text: rawRead + "A: \x01\x7f\r\n\r\n"},
		{name: "a value that is not UTF-8", text: rawRead + "Actor: \xff\xfe\r\n\r\n"},
		{name: "a folded line", text: rawRead + "A: b\r\n c\r\n\r\n"},
		{name: "a folded line that looks like a request", text: rawRead + "A: b\r\n " + strings.ReplaceAll(rawHidden, "\r\n", "\r\n ") + "\r\n\r\n"},
		{name: "the first line is folded", text: "GET /v1/payment-methods\r\n HTTP/1.1\r\nHost: x\r\n\r\n"},
		{name: "a bare CR in a value", text: rawRead + "A: b\rContent-Length: 5\r\n\r\n"},
		{name: "a bare CR before the end", text: get + "\r\r\n\r\n"},
		{name: "bare LFs only", text: strings.ReplaceAll(rawRead+"\r\n", "\r\n", "\n")},
		{name: "a bare LF ends the header, as RFC 9112 allows", text: rawRead + "A: b\n\n" + rawHidden, most: 2, effect: true},
		{name: "a bare LF in a header", text: rawRead + "A: b\nC: d\r\n\r\n"},
		{name: "two keys", text: rawRead + "Authorization: Bearer other\r\n\r\n"},
		{name: "another method in a header", text: rawRead + "X-HTTP-Method-Override: DELETE\r\nX-Original-URL: /v1/api-keys\r\n\r\n"},
		{name: "an empty line first", text: "\r\n" + rawRead + "\r\n"},
		{name: "a space first", text: " " + rawRead + "\r\n"},
	}
}

// chunkings are bodies in chunks that two readers cut differently.
func chunkings() (all []rawCase) {
	for _, body := range []string{
		"22;a=b\r\n" + rawCard + "\r\n0\r\n\r\n", "22;a=\"\r\n" + rawCard + "\"\r\n0\r\n\r\n", "22;\n" + rawCard + "\r\n0\r\n\r\n", "22 \r\n" + rawCard + "\r\n0\r\n\r\n",
		" 22\r\n" + rawCard + "\r\n0\r\n\r\n", "0x22\r\n" + rawCard + "\r\n0\r\n\r\n", "+22\r\n" + rawCard + "\r\n0\r\n\r\n", "-22\r\n" + rawCard + "\r\n0\r\n\r\n",
		"0000000000000000022\r\n" + rawCard + "\r\n0\r\n\r\n", "10000000000000022\r\n" + rawCard + "\r\n0\r\n\r\n", "ffffffffffffffff\r\n" + rawCard + "\r\n0\r\n\r\n",
		"22\r\n" + rawCard + "0\r\n\r\n", "22\n" + rawCard + "\n0\n\n", "22\r" + rawCard + "\r0\r\r", "22\r\n" + rawCard + "\r\n00000\r\n\r\n", "22\r\n" + rawCard + "\r\n0;x\r\n\r\n",
		"22\r\n" + rawCard + "\r\n\r\n", "zz\r\n" + rawCard + "\r\n0\r\n\r\n", "2_2\r\n" + rawCard + "\r\n0\r\n\r\n", "22\r\n" + rawCard + "\r\n0\r\nContent-Length: 500\r\n\r\n",
		"22\r\n" + rawCard + "\r\n0\r\nAuthorization: Bearer x\r\nTransfer-Encoding: chunked\r\n\r\n", "22;" + strings.Repeat("x", 70_000) + "\r\n" + rawCard + "\r\n0\r\n\r\n",
		strings.Repeat("1\r\n \r\n", 40_000) + "0\r\n\r\n", "22\r\n" + rawCard + "\r\n0\r\n" + strings.Repeat("A: b\r\n", 20_000) + "\r\n",
	} {
		// What follows the last chunk is no request that its sender wrote: the chunks
		// have no end, or hide what looks like one.
		name := "chunks: " + body[:min(24, len(body))]
		all = append(all,
			rawCase{name: name, text: rawPost("Transfer-Encoding: chunked\r\n", body), close: true},
			rawCase{name: name + ", and more", text: rawPost("Transfer-Encoding: chunked\r\n", body+rawHidden), most: 2, effect: true, close: true},
		)
	}
	return all
}

// unasked are bodies where none belongs, which look like requests.
func unasked() (all []rawCase) {
	for _, start := range []string{
		"GET /v1/payment-methods", "GET /v1/organization", "GET /healthz", "GET /openapi.json", "GET /nowhere", "DELETE /v1/payment-methods/pm_00000000000070008000000000000000",
		"HEAD /v1/payment-methods", "OPTIONS /v1/setup-intents/seti_00000000000070008000000000000000", "PUT /v1/payment-methods", "POST /v1/payment-methods",
		"POST /v1/customers/x/payment-methods/raw-card", "POST /v1/gateways/sandbox/demo/webhooks", "GET /v1/setup-intents/x/return?state=1", "TRACE /v1/payment-methods", "DEBUG /",
	} {
		head := start + " HTTP/1.1\r\n" + rawHeaders
		all = append(all,
			rawCase{name: start + " with a length", text: head + length(rawHidden) + "\r\n" + rawHidden},
			rawCase{name: start + " in chunks", text: head + "Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(rawHidden)-len("{hidden}")+len(hiddenName(0)), rawHidden)},
			rawCase{name: start + " without a key", text: strings.Replace(head, "Authorization", "X-Was", 1) + length(rawHidden) + "\r\n" + rawHidden},
			rawCase{name: start + " of another type", text: strings.Replace(head, "application/json", "text/plain", 1) + length(rawHidden) + "\r\n" + rawHidden},
			rawCase{name: start + " behind 300 KB", text: head + fmt.Sprintf("Content-Length: %d\r\n\r\n", 300_000+len(rawHidden)-len("{hidden}")+len(hiddenName(0))) + strings.Repeat(" ", 300_000) + rawHidden},
		)
	}
	return all
}

// targets are ways to write where a request goes.
func targets() (all []rawCase) {
	for _, target := range []string{
		"http://x/v1/payment-methods", "http://elsewhere/v1/payment-methods", "https://x:1/v1/payment-methods", "ftp://x/", "//elsewhere/v1/payment-methods", "x:80", "*", "v1/payment-methods", "",
		"/v1/payment-methods#x", "/v1/payment methods", "/v1\\payment-methods", "/v1/./payment-methods", "/v1/../v1/payment-methods", "/v1/payment-methods/..%2f", "/v1/payment-methods/%2e%2e",
		"/v1/customers/%2F/payment-methods", "/v1/customers/a%2Fb/payment-methods", "/v1/customers/%00/payment-methods", "/v1/customers/%2561/payment-methods", "/v1/customers/%c0%af/payment-methods",
		"/v1/customers/%ff/payment-methods", "/v1/customers/%/payment-methods", "/v1/customers/%zz/payment-methods", "/v1/customers/%u0061/payment-methods", "/v1/customers/\xff/payment-methods",
		"/v1/customers/a;b/payment-methods", "/v1/customers/%0d%0aX:y/payment-methods", "/v1/payment-methods?limit=%", "/v1/payment-methods?limit=1;limit=2", "/v1/payment-methods?a=%0d%0a",
		"/v1/payment-methods?limit=1&limit=2", "/v1/payment-methods/", "/v1//payment-methods", "/V1/payment-methods", "/v1/payment-methods?" + strings.Repeat("a=b&", 5000), "/" + strings.Repeat("a/", 5000),
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			text := method + " " + target + " HTTP/1.1\r\n" + rawHeaders + length(rawHidden) + "\r\n" + rawHidden
			all = append(all, rawCase{name: method + " " + target[:min(50, len(target))], text: text})
		}
	}
	return all
}

// versions are other protocols, and this one under other names.
func versions() []rawCase {
	start := func(line string) string { return line + "\r\n" + rawHeaders }
	return []rawCase{
		{name: "HTTP/0.9", text: "GET /v1/payment-methods\r\n"},
		{name: "HTTP/1.0", text: start("GET /v1/payment-methods HTTP/1.0") + "\r\n" + rawHidden},
		{name: "HTTP/1.0 that stays, in chunks", text: start("POST /v1/customers/outer/payment-methods HTTP/1.0") + "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + rawChunks + rawHidden},
		{name: "HTTP/1.0 that stays, both", text: start("POST /v1/customers/outer/payment-methods HTTP/1.0") + "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n" + length(rawChunks+rawHidden) + "\r\n" + rawChunks + rawHidden},
		{name: "HTTP/1.2", text: start("GET /v1/payment-methods HTTP/1.2") + length(rawHidden) + "\r\n" + rawHidden},
		{name: "HTTP/2.0", text: start("GET /v1/payment-methods HTTP/2.0") + length(rawHidden) + "\r\n" + rawHidden},
		{name: "HTTP/11", text: start("GET /v1/payment-methods HTTP/11") + "\r\n" + rawHidden},
		{name: "http/1.1", text: start("GET /v1/payment-methods http/1.1") + "\r\n" + rawHidden},
		{name: "get", text: start("get /v1/payment-methods HTTP/1.1") + length(rawHidden) + "\r\n" + rawHidden},
		{name: "a method with a colon", text: start("GE:T /v1/payment-methods HTTP/1.1") + "\r\n" + rawHidden},
		{name: "the preface of HTTP/2", text: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + rawHidden},
		{name: "upgrade to h2c", text: rawRead + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n" + length(rawHidden) + "\r\n" + rawHidden},
		{name: "upgrade to a socket", text: rawRead + "Connection: Upgrade\r\nUpgrade: websocket\r\n" + length(rawHidden) + "\r\n" + rawHidden},
		{name: "CONNECT", text: "CONNECT x:80 HTTP/1.1\r\nHost: x\r\n" + length(rawHidden) + "\r\n" + rawHidden},
		{name: "TLS", text: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00", 200) + rawHidden},
		{name: "noise", text: strings.Repeat("\x00\xff\r\n", 100) + rawHidden},
		{name: "expects to go on", text: rawPost("Expect: 100-continue\r\nContent-Length: 34\r\n", rawCard)},
		{name: "expects to go on where it may not", text: "GET /v1/payment-methods HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n" + length(rawHidden) + "\r\n" + rawHidden},
		{name: "expects too much", text: rawPost("Expect: a miracle\r\n"+length(rawHidden), rawHidden)},
		{name: "two, one after the other", text: rawPost("Content-Length: 34\r\n", rawCard) + rawHidden, most: 2, effect: true},
		{name: "a hundred, one after the other", text: strings.Repeat(rawRead+"\r\n", 100), most: 100},
		{name: "one and the end", text: rawRead + "Connection: close\r\n\r\n" + rawHidden},
	}
}

// bombs are too large.
func bombs() []rawCase {
	return []rawCase{
		{name: "one header of 64 KB", text: rawRead + "A: " + strings.Repeat("a", 64<<10) + "\r\n\r\n" + rawHidden},
		{name: "one header of 1 MB", text: rawRead + "A: " + strings.Repeat("a", 1<<20) + "\r\n\r\n" + rawHidden},
		{name: "one name of 64 KB", text: rawRead + strings.Repeat("a", 64<<10) + ": b\r\n\r\n" + rawHidden},
		{name: "ten thousand headers", text: rawRead + strings.Repeat("A: b\r\n", 10_000) + "\r\n" + rawHidden},
		{name: "a header that never ends", text: rawRead + "A: " + strings.Repeat("a\r\n ", 100_000)},
		{name: "a target of 64 KB", text: "GET /" + strings.Repeat("a", 64<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n" + rawHidden},
		{name: "a method of 64 KB", text: strings.Repeat("A", 64<<10) + " / HTTP/1.1\r\nHost: x\r\n\r\n" + rawHidden},
		{name: "a body of 1 MB", text: rawPost(length(strings.Repeat(" ", 1<<20)+rawHidden), strings.Repeat(" ", 1<<20)+rawHidden)},
		{name: "a body of 1 MB in chunks", text: rawPost("Transfer-Encoding: chunked\r\n", "100000\r\n"+strings.Repeat(" ", 1<<20)+"\r\n0\r\n\r\n")},
	}
}

// broken end early, or do not end.
func broken() []rawCase {
	post := rawPost("Content-Length: 34\r\n", rawCard)
	return []rawCase{
		{name: "nothing", text: "", close: true},
		{name: "half a line", text: "POST /v1/cust", close: true},
		{name: "half a header", text: post[:90], close: true},
		{name: "a header without its end", text: strings.TrimSuffix(rawRead, "\r\n"), close: true},
		{name: "half a body", text: post[:len(post)-10], close: true},
		{name: "half a body in chunks", text: rawPost("Transfer-Encoding: chunked\r\n", "22\r\n"+rawCard[:10]), close: true},
		{name: "no last chunk", text: rawPost("Transfer-Encoding: chunked\r\n", "22\r\n"+rawCard+"\r\n"), close: true},
		{name: "a whole request, and no more is written", text: rawRead + "\r\n", close: true},
		{name: "a body that hides one, cut", text: rawPost(length(rawHidden+rawHidden), rawHidden), close: true},
		{name: "a header that does not go on", text: post[:90], slow: true},
		{name: "a first line that does not go on", text: "POST /v1/cust", slow: true},
		{name: "a body that does not go on", text: post[:len(post)-10], slow: true},
		{name: "chunks that do not go on", text: rawPost("Transfer-Encoding: chunked\r\n", "22\r\n"+rawCard[:10]), slow: true},
		{name: "a body that hides one, and waits", text: rawPost(length(rawHidden+rawHidden), rawHidden), slow: true},
	}
}
