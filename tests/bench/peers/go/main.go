// SPDX-License-Identifier: Apache-2.0

// Goroutines and channels: ct is GOMAXPROCS 1, mt2 is 2.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	capacity = 1024
	burstOf  = 256
)

type message struct {
	sender, sequence uint64
	padding          [6]uint64
}

func wrong(format string, words ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", words...)
	os.Exit(1)
}

// Wall and processor time of the part between start and stop.
type timer struct {
	at                  time.Time
	cpu                 float64
	seconds, cpuSeconds float64
}

func cpuNow() float64 {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	of := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return of(usage.Utime) + of(usage.Stime)
}

func (t *timer) start() {
	t.cpu = cpuNow()
	t.at = time.Now()
}

func (t *timer) stop() {
	t.seconds = time.Since(t.at).Seconds()
	t.cpuSeconds = cpuNow() - t.cpu
}

// Each sender's messages arrive in order, and all of them do.
type order struct {
	next  []uint64
	total uint64
}

func (o *order) got(m *message) {
	if o.next[m.sender] != m.sequence {
		wrong("a message is lost or out of order")
	}
	o.next[m.sender]++
	o.total++
}

func (o *order) finished(total uint64) {
	if o.total != total {
		wrong("%d of %d messages", o.total, total)
	}
}

// The part of ops that the index-th of count takes.
func share(ops uint64, count, index int) uint64 {
	mine := ops / uint64(count)
	if uint64(index) < ops%uint64(count) {
		mine++
	}
	return mine
}

type workload struct {
	name, note string
	procs      int // GOMAXPROCS; 0 leaves it
	// Runs about so many operations and returns how many they were.
	run func(ops uint64, t *timer) uint64
}

// Of this program alone; getrusage's figure survives exec and so counts the parent's memory.
func maxRSS() int {
	status, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(status), "\n") {
		if strings.HasPrefix(line, "VmHWM:") {
			kib, _ := strconv.Atoi(strings.Fields(line)[1])
			return kib
		}
	}
	return 0
}

func workloads() []workload {
	all := []workload{}
	for i, suffix := range []string{"ct", "mt2"} {
		all = append(all, channelWorkloads(i+1, suffix)...)
		all = append(all, broadcastWorkloads(i+1, suffix)...)
	}
	return append(all, lockWorkloads()...)
}

func main() {
	all := workloads()
	if len(os.Args) == 2 && os.Args[1] == "--list" {
		for _, w := range all {
			fmt.Printf("%s\t%s\n", w.name, w.note)
		}
		return
	}
	if len(os.Args) != 3 {
		wrong("usage: %s --list | NAME OPS", os.Args[0])
	}
	ops, err := strconv.ParseUint(os.Args[2], 10, 64)
	for _, w := range all {
		if err != nil || w.name != os.Args[1] {
			continue
		}
		if w.procs != 0 {
			runtime.GOMAXPROCS(w.procs)
		}
		warm := ops / 10
		if warm == 0 {
			warm = 1
		}
		var t timer
		w.run(warm, &t)
		runtime.GC()
		done := w.run(ops, &t)
		fmt.Printf("{\"ops\":%d,\"seconds\":%.9f,\"cpu_seconds\":%.6f,\"max_rss_kib\":%d}\n", done, t.seconds, t.cpuSeconds, maxRSS())
		return
	}
	wrong("no such workload")
}
