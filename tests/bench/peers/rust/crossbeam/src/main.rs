// SPDX-License-Identifier: Apache-2.0
use common::{run_senders, Message, Order, Timer, Workload, CAPACITY};
use crossbeam_channel::{bounded, unbounded, Receiver, Sender};

fn mpsc((sender, receiver): (Sender<Message>, Receiver<Message>), senders: usize, ops: u64, timer: &mut Timer) -> u64 {
    run_senders(sender, receiver, |s, message| s.send(message).unwrap(), senders, ops, timer)
}

fn oneshot(ops: u64, timer: &mut Timer) -> u64 {
    let mut order = Order::new(1);
    timer.start();
    for i in 0..ops {
        let (sender, receiver) = bounded(1);
        sender.send(Message::new(0, i)).unwrap();
        order.got(&receiver.recv().unwrap());
    }
    timer.stop();
    order.finished(ops);
    ops
}

fn main() {
    let mut all = vec![Workload::new("oneshot.ct", "a channel of 1; no task", oneshot)];
    for n in [1, 4] {
        let note = "close, FIFO, any number of receivers";
        all.push(Workload::new(format!("mpsc.bounded.{n}p.thr"), note, move |ops, t| mpsc(bounded(CAPACITY), n, ops, t)));
        all.push(Workload::new(format!("mpsc.unbounded.{n}p.thr"), note, move |ops, t| mpsc(unbounded(), n, ops, t)));
    }
    common::main(all);
}
