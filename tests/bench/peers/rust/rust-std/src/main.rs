// SPDX-License-Identifier: Apache-2.0
//
// Rust's standard library: std::sync::mpsc, and OnceLock where the compiler has it (1.70).
#![allow(unknown_lints, unexpected_cfgs)]
use common::{run_senders, Message, Order, Timer, Workload, CAPACITY};
use std::sync::mpsc::{channel, sync_channel};

fn bounded(senders: usize, ops: u64, timer: &mut Timer) -> u64 {
    let (sender, receiver) = sync_channel(CAPACITY);
    run_senders(sender, receiver, |s, message| s.send(message).unwrap(), senders, ops, timer)
}

fn unbounded(senders: usize, ops: u64, timer: &mut Timer) -> u64 {
    let (sender, receiver) = channel();
    run_senders(sender, receiver, |s, message| s.send(message).unwrap(), senders, ops, timer)
}

fn oneshot(ops: u64, timer: &mut Timer) -> u64 {
    let mut order = Order::new(1);
    timer.start();
    for i in 0..ops {
        let (sender, receiver) = sync_channel(1);
        sender.send(Message::new(0, i)).unwrap();
        order.got(&receiver.recv().unwrap());
    }
    timer.stop();
    order.finished(ops);
    ops
}

#[cfg(once_lock)]
fn borrow(threads: usize, ops: u64, timer: &mut Timer) -> u64 {
    use common::{share, Team};
    use std::sync::OnceLock;
    static THING: OnceLock<Box<u64>> = OnceLock::new();
    let get = || THING.get_or_init(|| Box::new(1));
    assert!(**get() == 1);
    let mut bodies: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
    for index in 0..threads {
        bodies.push(Box::new(move || {
            for _ in 0..share(ops, threads, index) {
                let thing: &u64 = THING.get_or_init(|| Box::new(1));
                // SAFETY: the assembly is empty; the optimiser must suppose that it reads the pointer and writes memory.
                unsafe { std::arch::asm!("/* {0} */", in(reg) thing, options(nostack, preserves_flags)) };
            }
        }));
    }
    let team = Team::new(bodies);
    timer.start();
    team.go();
    team.join();
    timer.stop();
    ops
}

fn main() {
    let mut all = vec![Workload::new("oneshot.ct", "sync_channel(1); no task", oneshot)];
    for n in [1, 4] {
        let note = "close, FIFO";
        all.push(Workload::new(format!("mpsc.bounded.{n}p.thr"), note, move |ops, t| bounded(n, ops, t)));
        all.push(Workload::new(format!("mpsc.unbounded.{n}p.thr"), note, move |ops, t| unbounded(n, ops, t)));
    }
    #[cfg(once_lock)]
    for n in [1, 2] {
        all.push(Workload::new(format!("lazy.borrow.{n}t"), "OnceLock; never destroyed", move |ops, t| borrow(n, ops, t)));
    }
    common::main(all);
}
