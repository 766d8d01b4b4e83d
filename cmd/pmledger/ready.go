package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// readyTimeout bounds how long `pmledger ready` waits for the answer.
const readyTimeout = 4 * time.Second

func (p *program) readyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "ready",
		Short: "Ask the running server whether it is ready",
		Long: "Asks the server of this configuration at /readyz, on this machine, and exits with 0\n" +
			"when it is ready. Otherwise it prints why not and exits with 1. For health checks\n" +
			"where there is no other program to ask, such as in a container.",
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := p.settings(cmd)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), readyTimeout)
			defer cancel()
			return p.askReady(ctx, s.Config)
		},
	}
}

// askReady prints what /readyz answers. The error says that the server is not ready.
func (p *program) askReady(ctx context.Context, c Config) error {
	url, err := c.localURL()
	if err != nil {
		return err
	}
	// The certificate is made out to the public name, and nothing secret is sent.
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("the server does not answer: %w", err)
	}
	defer resp.Body.Close()
	var answer struct {
		Status string `json:"status"`
		Checks []struct {
			Name   string `json:"name"`
			OK     bool   `json:"ok"`
			Detail string `json:"detail,omitempty"`
		} `json:"checks"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s/readyz is not answered by pmledger: %w", url, err)
	}
	if p.json {
		err = p.printJSON(answer)
	} else {
		_, err = fmt.Fprintln(p.stdout, answer.Status)
		for _, check := range answer.Checks {
			if !check.OK && err == nil {
				_, err = fmt.Fprintf(p.stdout, "%s: %s\n", check.Name, check.Detail)
			}
		}
	}
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New("the server is not ready")
	}
	return err
}

// localURL is where this machine reaches the API.
func (c Config) localURL() (string, error) {
	host, port, err := net.SplitHostPort(c.HTTP)
	if err != nil || port == "0" {
		return "", usageError{fmt.Errorf("http: %q names no port to ask at", c.HTTP)}
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	scheme := "http"
	if c.TLSCert != "" {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port), nil
}
