// SPDX-License-Identifier: Apache-2.0
//
// ArcSwap around a HashMap that is copied whole for a change.
use arc_swap::ArcSwap;
use common::{share, wrong, Random, Team, Timer, Workload};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

const ENTRIES: u64 = 1024;
const READERS: usize = 2;

/// One multiplication, about as cheap as the identity of C++'s std::unordered_map, instead of SipHash.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!()
    }
    fn write_u64(&mut self, key: u64) {
        self.0 = key.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

type Map = HashMap<u64, u64, BuildHasherDefault<Spread>>;

/// A value's low half is its key, its high half counts the changes.
fn snapshot(ops: u64, timer: &mut Timer) -> u64 {
    let current = Arc::new(ArcSwap::from_pointee((0..ENTRIES).map(|key| (key, key)).collect::<Map>()));
    let stop = Arc::new(AtomicBool::new(false));
    let (map, ended) = (current.clone(), stop.clone());
    let writer = Team::new(vec![Box::new(move || {
        let mut i = 1;
        while !ended.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
            let mut next = Map::clone(&map.load());
            next.insert(i % ENTRIES, (i << 32) | (i % ENTRIES));
            map.store(Arc::new(next));
            i += 1;
        }
    })]);
    let mut bodies: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
    for index in 0..READERS {
        let map = current.clone();
        bodies.push(Box::new(move || {
            let mut random = Random::new(index as u64);
            for _ in 0..share(ops, READERS, index) {
                let key = random.next() % ENTRIES;
                if map.load()[&key] & 0xFFFF_FFFF != key {
                    wrong("a wrong value");
                }
            }
        }));
    }
    let readers = Team::new(bodies);
    timer.start();
    writer.go();
    readers.go();
    readers.join();
    timer.stop();
    stop.store(true, Ordering::Relaxed);
    writer.join();
    ops
}

fn main() {
    common::main(vec![Workload::new("snapshot.read.2r", "copied whole for a change", snapshot)]);
}
