// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"sync"
)

func mpsc(senders, size int, ops uint64, t *timer) uint64 {
	channel := make(chan message, size)
	check := order{next: make([]uint64, senders)}
	t.start()
	for index := 0; index < senders; index++ {
		go func(index int) {
			mine := share(ops, senders, index)
			for i := uint64(0); i < mine; i++ {
				channel <- message{sender: uint64(index), sequence: i}
			}
		}(index)
	}
	for i := uint64(0); i < ops; i++ {
		m := <-channel
		check.got(&m)
	}
	t.stop()
	check.finished(ops)
	return ops
}

func oneshot(ops uint64, t *timer) uint64 {
	check := order{next: make([]uint64, 1)}
	t.start()
	for i := uint64(0); i < ops; i++ {
		channel := make(chan message, 1)
		channel <- message{sequence: i}
		m := <-channel
		check.got(&m)
	}
	t.stop()
	check.finished(ops)
	return ops
}

type question struct {
	value uint64
	reply chan uint64
}

func request(clients int, ops uint64, t *timer) uint64 {
	requests := make(chan question, capacity)
	served := make(chan uint64)
	finished := make(chan struct{}, clients)
	t.start()
	go func() {
		count := uint64(0)
		for q := range requests {
			q.reply <- q.value + 1
			count++
		}
		served <- count
	}()
	for index := 0; index < clients; index++ {
		go func(index int) {
			mine := share(ops, clients, index)
			for i := uint64(0); i < mine; i++ {
				reply := make(chan uint64, 1)
				requests <- question{i, reply}
				if <-reply != i+1 {
					wrong("a wrong answer")
				}
			}
			finished <- struct{}{}
		}(index)
	}
	for index := 0; index < clients; index++ {
		<-finished
	}
	t.stop()
	close(requests)
	if <-served != ops {
		wrong("a request is lost")
	}
	return ops
}

func spawn(ops uint64, t *timer) uint64 {
	out := make([]uint64, ops)
	var joined sync.WaitGroup
	joined.Add(int(ops))
	t.start()
	for i := uint64(0); i < ops; i++ {
		go func(i uint64) {
			out[i] = i + 1
			joined.Done()
		}(i)
	}
	joined.Wait()
	t.stop()
	for i, got := range out {
		if got != uint64(i)+1 {
			wrong("a task did not run")
		}
	}
	return ops
}

func channelWorkloads(procs int, suffix string) []workload {
	all := []workload{}
	for _, n := range []int{1, 4} {
		n := n
		all = append(all, workload{fmt.Sprintf("mpsc.bounded.%dp.%s", n, suffix), "bounded, close, select, any number of receivers", procs,
			func(ops uint64, t *timer) uint64 { return mpsc(n, capacity, ops, t) }})
		all = append(all, workload{fmt.Sprintf("mpsc.unbounded.%dp.%s", n, suffix), "no unbounded channel: its capacity is OPS", procs,
			func(ops uint64, t *timer) uint64 { return mpsc(n, int(ops), ops, t) }})
	}
	for _, n := range []int{1, 64} {
		n := n
		all = append(all, workload{fmt.Sprintf("request.%d.%s", n, suffix), "a fresh reply channel of 1 each time", procs,
			func(ops uint64, t *timer) uint64 { return request(n, ops, t) }})
	}
	if procs == 1 {
		all = append(all, workload{"oneshot.ct", "a channel of 1", procs, oneshot})
	}
	return append(all, workload{"spawn." + suffix, "goroutines and a WaitGroup; no handle, no result", procs, spawn})
}
