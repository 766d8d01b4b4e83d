package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// postgresVersion is the one that is installed when there is none. Others do as well.
const postgresVersion = "15"

// postgresSettings are what an operator of this machine would set: memory for what
// is asked again and again, and room for the write-ahead log between checkpoints.
// What makes a commit durable is as delivered.
var postgresSettings = []string{
	"listen_addresses=", "max_connections=32", "synchronous_commit=on", "fsync=on", "full_page_writes=on",
	"shared_buffers=512MB", "effective_cache_size=4GB", "wal_buffers=16MB", "max_wal_size=8GB", "checkpoint_timeout=15min",
	"random_page_cost=1.1", "jit=off", "autovacuum_naptime=5s", "log_min_messages=warning",
}

// postgres is a PostgreSQL server in a folder of the bench, reached over a socket.
type postgres struct {
	cmd     *exec.Cmd
	address string // connection string
}

// postgresPrograms is the folder of the server's programs.
func postgresPrograms() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if own := filepath.Join("/usr/lib/postgresql", postgresVersion, "bin/initdb"); slices.Contains(found, own) {
		return filepath.Dir(own), nil
	}
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1]), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", fmt.Errorf("baseline B needs PostgreSQL: apt-get install postgresql-%s, or leave B out with -baseline=false (%w)", postgresVersion, err)
	}
	return filepath.Dir(path), nil
}

// installPostgres installs the server's programs with apt-get when they are missing.
func installPostgres(ctx context.Context) error {
	_, missing := postgresPrograms()
	if missing == nil || os.Geteuid() != 0 {
		return missing
	}
	fmt.Fprintln(os.Stderr, "installing postgresql-"+postgresVersion)
	for _, args := range [][]string{{"update", "-q"}, {"install", "-qy", "--no-install-recommends", "postgresql-" + postgresVersion}} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		// The package must not start a server of its own.
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w\napt-get %s: %w\n%s", missing, args[0], err, out)
		}
	}
	return nil
}

// startPostgres makes a database in dir and serves it. Root serves it as the user
// postgres, because PostgreSQL refuses root.
func startPostgres(ctx context.Context, dir string) (*postgres, error) {
	bin, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	home := filepath.Join(dir, "postgres")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	as, err := postgresUser(dir, home)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(home, "data")
	command := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, name), args...)
		cmd.Dir, cmd.SysProcAttr = home, as
		return cmd
	}
	if out, err := command("initdb", "-D", data, "-U", "bench", "--auth=trust", "--no-sync", "--no-locale", "-E", "UTF8").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb (whoever runs PostgreSQL must be able to enter %s): %w\n%s", home, err, out)
	}
	args := []string{"-D", data, "-k", home}
	for _, s := range postgresSettings {
		args = append(args, "-c", s)
	}
	p := &postgres{cmd: command("postgres", args...), address: "host=" + home + " user=bench dbname=postgres"}
	log, err := os.Create(filepath.Join(dir, "postgres.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if err := p.await(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("PostgreSQL does not start, see %s: %w", log.Name(), err), p.stop())
	}
	return p, nil
}

// postgresUser gives home to the user postgres when this is root, and tells whom
// to run as.
func postgresUser(dir, home string) (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return &syscall.SysProcAttr{}, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	if err := os.Chown(home, int(uid), int(gid)); err != nil {
		return nil, err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, info.Mode().Perm()|fs.FileMode(0o011)); err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

func (p *postgres) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, p.address)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends the server; clients that are left are cut off.
func (p *postgres) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return err
	}
	return p.cmd.Wait()
}
