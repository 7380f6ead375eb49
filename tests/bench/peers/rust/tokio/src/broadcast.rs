// SPDX-License-Identifier: Apache-2.0
//
// tokio::sync::broadcast, and seed 001's event bus: one task spawned for each event and subscriber, found in a map behind
// a read-write lock. A burst is over when its last delivery notifies the publisher.
use crate::{measure, Kind};
use common::{wrong, Message, Timer, Workload, BURST, CAPACITY};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{Notify, RwLock};

/// Counts down deliveries (or subscribers) and wakes the publisher at zero.
struct Burst {
    left: AtomicU64,
    over: Notify,
}

impl Burst {
    fn new() -> Arc<Self> {
        Arc::new(Burst { left: AtomicU64::new(0), over: Notify::new() })
    }
    #[inline]
    fn done(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.over.notify_one();
        }
    }
}

fn channel(kind: Kind, burst: u64, subscribers: u64, ops: u64, timer: &mut Timer) -> u64 {
    let bursts = (ops / (burst * subscribers)).max(1);
    measure(kind, timer, async move {
        let (sender, _) = broadcast::channel::<Message>(CAPACITY);
        let state = Burst::new();
        let mut handles = Vec::new();
        for _ in 0..subscribers {
            let (mut receiver, state) = (sender.subscribe(), state.clone());
            handles.push(tokio::spawn(async move {
                let mut next = 0;
                loop {
                    let message = match receiver.recv().await {
                        Ok(message) => message,
                        Err(RecvError::Closed) => break next,
                        Err(RecvError::Lagged(_)) => wrong("a subscriber fell behind"),
                    };
                    if message.sequence != next {
                        wrong("an event is lost or out of order");
                    }
                    next += 1;
                    if next % burst == 0 {
                        state.done();
                    }
                }
            }));
        }
        let mut timer = Timer::new();
        tokio::task::yield_now().await;
        timer.start();
        for i in 0..bursts {
            state.left.store(subscribers, Ordering::Release);
            for k in 0..burst {
                let _ = sender.send(Message::new(0, i * burst + k));
            }
            state.over.notified().await;
        }
        timer.stop();
        drop(sender);
        for handle in handles {
            if handle.await.unwrap() != bursts * burst {
                wrong("an event is lost");
            }
        }
        timer
    });
    bursts * burst * subscribers
}

/// As an async trait method is: boxed.
type Handler = Arc<dyn Fn(Message) -> std::pin::Pin<Box<dyn std::future::Future<Output = ()> + Send>> + Send + Sync>;

fn task_per_delivery(kind: Kind, subscribers: u64, ops: u64, timer: &mut Timer) -> u64 {
    let bursts = (ops / (BURST * subscribers)).max(1);
    measure(kind, timer, async move {
        let state = Burst::new();
        let counts: Arc<Vec<AtomicU64>> = Arc::new((0..subscribers).map(|_| AtomicU64::new(0)).collect());
        let mut handlers: Vec<Handler> = Vec::new();
        for index in 0..subscribers as usize {
            let (state, counts) = (state.clone(), counts.clone());
            handlers.push(Arc::new(move |message| {
                let (state, counts) = (state.clone(), counts.clone());
                Box::pin(async move {
                    counts[index].fetch_add(message.sequence, Ordering::Relaxed);
                    state.done();
                })
            }));
        }
        let bus = Arc::new(RwLock::new(HashMap::from([(7_u32, handlers)])));
        let mut timer = Timer::new();
        timer.start();
        for i in 0..bursts {
            state.left.store(BURST * subscribers, Ordering::Release);
            for k in 0..BURST {
                let message = Message::new(0, i * BURST + k);
                let handlers = bus.read().await;
                for handler in &handlers[&7] {
                    let handler = handler.clone();
                    tokio::spawn(async move { handler(message).await });
                }
            }
            state.over.notified().await;
        }
        timer.stop();
        let events = bursts * BURST;
        if counts.iter().any(|count| count.load(Ordering::Relaxed) != events * (events - 1) / 2) {
            wrong("an event is lost");
        }
        timer
    });
    bursts * BURST * subscribers
}

pub fn add(all: &mut Vec<Workload>, kind: Kind, suffix: &str) {
    for burst in [BURST, 1] {
        for n in [1, 10, 100, 1000] {
            let name = format!("broadcast.burst{burst}.{n}.{suffix}");
            let note = "one ring; a slow subscriber is told how many it missed";
            all.push(Workload::new(name, note, move |ops, t| channel(kind, burst, n, ops, t)));
        }
    }
    let name = format!("bus.100.taskper.{suffix}");
    let note = "a task for each event and subscriber; order is lost";
    all.push(Workload::new(name, note, move |ops, t| task_per_delivery(kind, 100, ops, t)));
}
