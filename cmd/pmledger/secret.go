package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pmledger/pmledger/api"
)

// secretSize is the length of the ledger's secret in bytes.
const secretSize = api.SecretSize

// loadSecret reads the secret at path. When there is none and the log is empty it
// makes one, mode 0600, durable before it is used. When the log is not empty a
// missing secret is an error: a new one would fit none of the log's keyed hashes.
func loadSecret(path string, logIsEmpty bool) ([]byte, error) {
	secret, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && logIsEmpty:
		secret = make([]byte, secretSize)
		rand.Read(secret)
		return secret, writePrivate(path, secret)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("the secret %s is missing, but the log has records made with it: restore the file from a backup, or name it with --secret-file", path)
	case err != nil:
		return nil, fmt.Errorf("reading the secret: %w", err)
	case len(secret) != secretSize:
		return nil, fmt.Errorf("the secret %s has %d bytes, not %d: restore the file that this log was made with", path, len(secret), secretSize)
	}
	return secret, nil
}

// writePrivate makes a file that only its owner can read, all or nothing: its name
// appears when its bytes are on the disk.
func writePrivate(path string, data []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readOrMake reads the text in a private file, or makes the file with what fresh returns.
func readOrMake(path string, fresh func() string) (string, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text := fresh()
		return text, writePrivate(path, []byte(text+"\n"))
	}
	return string(trimNewline(data)), err
}

func trimNewline(data []byte) []byte {
	for len(data) > 0 && (data[len(data)-1] == '\n' || data[len(data)-1] == '\r') {
		data = data[:len(data)-1]
	}
	return data
}

// openToOthers tells whether every user of the machine can get at path. That a group
// can is how secrets reach a service: Kubernetes and systemd hand them over so.
func openToOthers(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().Perm()&0o007 != 0
}
