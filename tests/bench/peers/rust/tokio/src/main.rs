// SPDX-License-Identifier: Apache-2.0
//
// tokio on its current-thread runtime (ct) and on its multi-thread runtime with two workers (mt2). Everything measured
// runs in spawned tasks.
mod broadcast;
mod channels;

use common::{wrong, Timer, Workload};
use std::future::Future;
use tokio::runtime::Builder;

#[derive(Clone, Copy)]
pub enum Kind {
    Ct,
    Mt2,
}

/// Runs a task that measures something on a new runtime, and hands out its Timer.
pub fn measure(kind: Kind, timer: &mut Timer, task: impl Future<Output = Timer> + Send + 'static) {
    let runtime = match kind {
        Kind::Ct => Builder::new_current_thread().build(),
        Kind::Mt2 => Builder::new_multi_thread().worker_threads(2).build(),
    }
    .unwrap_or_else(|_| wrong("no runtime"));
    *timer = runtime.block_on(async { tokio::spawn(task).await.unwrap_or_else(|_| wrong("a task died")) });
}

fn spawn(kind: Kind, ops: u64, timer: &mut Timer) -> u64 {
    measure(kind, timer, async move {
        let mut timer = Timer::new();
        let mut handles = Vec::with_capacity(ops as usize);
        timer.start();
        for i in 0..ops {
            handles.push(tokio::spawn(async move { i }));
        }
        let mut sum = 0;
        for handle in handles {
            sum += handle.await.unwrap();
        }
        timer.stop();
        if sum != ops * (ops - 1) / 2 {
            wrong("a task did not run");
        }
        timer
    });
    ops
}

fn main() {
    let mut all = Vec::new();
    for (kind, suffix) in [(Kind::Ct, "ct"), (Kind::Mt2, "mt2")] {
        channels::add(&mut all, kind, suffix);
        broadcast::add(&mut all, kind, suffix);
        let note = "JoinHandle each: abort, panic caught";
        all.push(Workload::new(format!("spawn.{suffix}"), note, move |ops, t| spawn(kind, ops, t)));
    }
    common::main(all);
}
