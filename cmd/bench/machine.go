package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// machine says what was measured on, one fact a line.
func machine(s settings) ([]string, error) {
	fsync, err := syncs(s.dir, 500)
	if err != nil {
		return nil, err
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return nil, err
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return nil, err
	}
	var volume unix.Statfs_t
	if err := unix.Statfs(s.dir, &volume); err != nil {
		return nil, err
	}
	load := float64(info.Loads[0]) / (1 << 16)
	lines := []string{
		fmt.Sprintf("%d cores, %s, %.0f GiB of memory, Linux %s, %s, load average %.1f at the start",
			runtime.NumCPU(), processor(), float64(info.Totalram)*float64(info.Unit)/(1<<30), text(name.Release[:]), runtime.Version(), load),
		fmt.Sprintf("fdatasync of a small append on this volume (file system type %#x): %s over %d", volume.Type, fsync, fsync.count()),
		fmt.Sprintf("%d interleaved rounds of %s; load generator, servers and databases share the cores", s.rounds, s.length),
	}
	if s.smoke {
		lines = append(lines, "these are small sizes to see that everything works; the figures mean nothing")
	}
	return lines, nil
}

// processor is the name of the first one, where the kernel tells it.
func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(info)) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func text(zeroed []byte) string {
	before, _, _ := bytes.Cut(zeroed, []byte{0})
	return string(before)
}
