// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"sync"
)

// Goroutines that start together; timed from there to the last one's end.
func together(count int, ops uint64, t *timer, body func(index int, mine uint64)) uint64 {
	var ready, over sync.WaitGroup
	ready.Add(count)
	over.Add(count)
	begin := make(chan struct{})
	for index := 0; index < count; index++ {
		go func(index int) {
			ready.Done()
			<-begin
			body(index, share(ops, count, index))
			over.Done()
		}(index)
	}
	ready.Wait()
	t.start()
	close(begin)
	over.Wait()
	t.stop()
	return ops
}

func lock(count int, ops uint64, t *timer) uint64 {
	var mutex sync.Mutex
	var a, b uint64
	together(count, ops, t, func(_ int, mine uint64) {
		for i := uint64(0); i < mine; i++ {
			mutex.Lock()
			a++
			b++
			mutex.Unlock()
		}
	})
	if a != ops || b != ops {
		wrong("increments are lost")
	}
	return ops
}

func lockWorkloads() []workload {
	all := []workload{}
	for _, n := range []int{1, 2, 4, 8} {
		n := n
		all = append(all, workload{fmt.Sprintf("lock.%d", n), "sync.Mutex", 0, func(ops uint64, t *timer) uint64 { return lock(n, ops, t) }})
	}
	return all
}
