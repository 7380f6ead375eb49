// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"sync"
)

// A channel for each subscriber: Go has no other broadcast of values.
func broadcast(burst uint64, subscribers int, ops uint64, t *timer) uint64 {
	bursts := ops / (burst * uint64(subscribers))
	if bursts == 0 {
		bursts = 1
	}
	channels := make([]chan message, subscribers)
	var over sync.WaitGroup
	ended := make(chan uint64, subscribers)
	for index := range channels {
		channels[index] = make(chan message, capacity)
		go func(channel chan message) {
			next := uint64(0)
			for m := range channel {
				if m.sequence != next {
					wrong("an event is lost or out of order")
				}
				next++
				if next%burst == 0 {
					over.Done()
				}
			}
			ended <- next
		}(channels[index])
	}
	t.start()
	for i := uint64(0); i < bursts; i++ {
		over.Add(subscribers)
		for k := uint64(0); k < burst; k++ {
			for _, channel := range channels {
				channel <- message{sequence: i*burst + k}
			}
		}
		over.Wait()
	}
	t.stop()
	for _, channel := range channels {
		close(channel)
		if got := <-ended; got != bursts*burst {
			wrong("an event is lost")
		}
	}
	return bursts * burst * uint64(subscribers)
}

func broadcastWorkloads(procs int, suffix string) []workload {
	all := []workload{}
	for _, burst := range []uint64{burstOf, 1} {
		for _, n := range []int{1, 10, 100, 1000} {
			burst, n := burst, n
			all = append(all, workload{fmt.Sprintf("broadcast.burst%d.%d.%s", burst, n, suffix), "a channel for each subscriber", procs,
				func(ops uint64, t *timer) uint64 { return broadcast(burst, n, ops, t) }})
		}
	}
	return all
}
