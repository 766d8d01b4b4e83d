package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
)

// serveEcho is E: an Echo server without middleware. GET, POST and PATCH
// /{status}/{size} answer that status with that many static bytes. It prints its address and runs
// until ctx ends.
func serveEcho(ctx context.Context, out io.Writer) error {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	static := bytes.Repeat([]byte("x"), maxAnswer)
	answer := func(c echo.Context) error {
		status, err := strconv.Atoi(c.Param("status"))
		if err != nil {
			return err
		}
		size, err := strconv.Atoi(c.Param("size"))
		if err != nil || size > maxAnswer {
			return echo.ErrBadRequest
		}
		c.Response().Header().Set(echo.HeaderContentLength, c.Param("size"))
		return c.Blob(status, "application/json", static[:size])
	}
	e.GET("/:status/:size", answer)
	e.POST("/:status/:size", answer)
	e.PATCH("/:status/:size", answer)
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(out, l.Addr())
	s := &http.Server{Handler: e, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = s.Close() }) // Serve returns its error
	if err := s.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// maxAnswer is the size in bytes of the largest answer that E gives.
const maxAnswer = 1 << 17
