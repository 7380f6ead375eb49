// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"sync"
)

const keys = 65536

// xorshift64*: the same cheap source of keys in every program.
type random uint64

func newRandom(seed uint64) random { return random(seed*0x9E3779B97F4A7C15 + 1) }

func (r *random) next() uint64 {
	s := uint64(*r)
	s ^= s >> 12
	s ^= s << 25
	s ^= s >> 27
	*r = random(s)
	return (s * 0x2545F4914F6CDD1D) >> 32
}

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

// A value's low half is its key.
func syncMap(count int, ops uint64, t *timer) uint64 {
	var values sync.Map
	for key := uint64(0); key < keys; key++ {
		values.Store(key, key)
	}
	return together(count, ops, t, func(index int, mine uint64) {
		random := newRandom(uint64(index))
		for i := uint64(0); i < mine; i++ {
			key := random.next() % keys
			if i%10 == 9 {
				values.Store(key, i<<32|key)
			} else if value, there := values.Load(key); !there || value.(uint64)&0xFFFFFFFF != key {
				wrong("a wrong value")
			}
		}
	})
}

func lockWorkloads() []workload {
	all := []workload{}
	for _, n := range []int{1, 2, 4, 8} {
		n := n
		all = append(all, workload{fmt.Sprintf("lock.%d", n), "sync.Mutex", 0, func(ops uint64, t *timer) uint64 { return lock(n, ops, t) }})
		all = append(all, workload{fmt.Sprintf("map.%d", n), "sync.Map", 0, func(ops uint64, t *timer) uint64 { return syncMap(n, ops, t) }})
	}
	return all
}
