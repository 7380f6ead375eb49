// SPDX-License-Identifier: Apache-2.0
use crate::{measure, Kind};
use common::{share, wrong, Message, Order, Timer, Workload, CAPACITY};
use tokio::sync::{mpsc, oneshot};

fn bounded(kind: Kind, senders: usize, ops: u64, timer: &mut Timer) -> u64 {
    measure(kind, timer, async move {
        let (sender, mut receiver) = mpsc::channel(CAPACITY);
        let mut order = Order::new(senders);
        let mut timer = Timer::new();
        timer.start();
        for index in 0..senders {
            let sender = sender.clone();
            tokio::spawn(async move {
                for i in 0..share(ops, senders, index) {
                    sender.send(Message::new(index, i)).await.unwrap_or_else(|_| wrong("closed"));
                }
            });
        }
        drop(sender);
        while let Some(message) = receiver.recv().await {
            order.got(&message);
        }
        timer.stop();
        order.finished(ops);
        timer
    });
    ops
}

fn unbounded(kind: Kind, senders: usize, ops: u64, timer: &mut Timer) -> u64 {
    measure(kind, timer, async move {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let mut order = Order::new(senders);
        let mut timer = Timer::new();
        timer.start();
        for index in 0..senders {
            let sender = sender.clone();
            tokio::spawn(async move {
                for i in 0..share(ops, senders, index) {
                    sender.send(Message::new(index, i)).unwrap_or_else(|_| wrong("closed"));
                }
            });
        }
        drop(sender);
        while let Some(message) = receiver.recv().await {
            order.got(&message);
        }
        timer.stop();
        order.finished(ops);
        timer
    });
    ops
}

fn oneshot_in_task(ops: u64, timer: &mut Timer) -> u64 {
    measure(Kind::Ct, timer, async move {
        let mut order = Order::new(1);
        let mut timer = Timer::new();
        timer.start();
        for i in 0..ops {
            let (sender, receiver) = oneshot::channel();
            let _ = sender.send(Message::new(0, i));
            order.got(&receiver.await.unwrap());
        }
        timer.stop();
        order.finished(ops);
        timer
    });
    ops
}

fn request(kind: Kind, clients: usize, ops: u64, timer: &mut Timer) -> u64 {
    measure(kind, timer, async move {
        let (sender, mut receiver) = mpsc::channel::<(u64, oneshot::Sender<u64>)>(CAPACITY);
        let mut timer = Timer::new();
        timer.start();
        let server = tokio::spawn(async move {
            let mut served = 0;
            while let Some((value, reply)) = receiver.recv().await {
                let _ = reply.send(value + 1);
                served += 1;
            }
            served
        });
        let mut handles = Vec::new();
        for index in 0..clients {
            let sender = sender.clone();
            handles.push(tokio::spawn(async move {
                for i in 0..share(ops, clients, index) {
                    let (reply, answer) = oneshot::channel();
                    sender.send((i, reply)).await.unwrap_or_else(|_| wrong("closed"));
                    if answer.await != Ok(i + 1) {
                        wrong("a wrong answer");
                    }
                }
            }));
        }
        drop(sender);
        for handle in handles {
            handle.await.unwrap();
        }
        timer.stop();
        if server.await.unwrap() != ops {
            wrong("a request is lost");
        }
        timer
    });
    ops
}

pub fn add(all: &mut Vec<Workload>, kind: Kind, suffix: &str) {
    for n in [1, 4] {
        let note = "bounded, close, cancel-safe, FIFO-fair";
        all.push(Workload::new(format!("mpsc.bounded.{n}p.{suffix}"), note, move |ops, t| bounded(kind, n, ops, t)));
        let note = "close, cancel-safe";
        all.push(Workload::new(format!("mpsc.unbounded.{n}p.{suffix}"), note, move |ops, t| unbounded(kind, n, ops, t)));
    }
    for n in [1, 64] {
        let note = "bounded mpsc + oneshot, cancel-safe";
        all.push(Workload::new(format!("request.{n}.{suffix}"), note, move |ops, t| request(kind, n, ops, t)));
    }
    if let Kind::Ct = kind {
        all.push(Workload::new("oneshot.ct", "close, cancel-safe", oneshot_in_task));
    }
}
