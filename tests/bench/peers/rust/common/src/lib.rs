// SPDX-License-Identifier: Apache-2.0
//
// What the Rust programs of `./dev bench` share: the protocol of README.md, the clock, threads that start together, and
// the check of what was received.
use std::sync::{Arc, Barrier};
use std::time::Instant;

pub const CAPACITY: usize = 1024;
pub const BURST: u64 = 256;

#[derive(Clone, Copy)]
#[repr(C)]
pub struct Message {
    pub sender: u64,
    pub sequence: u64,
    pub padding: [u64; 6],
}

impl Message {
    pub fn new(sender: usize, sequence: u64) -> Self {
        Message { sender: sender as u64, sequence, padding: [0; 6] }
    }
}

/// Says what is wrong and ends the program.
#[cold]
pub fn wrong(what: &str) -> ! {
    eprintln!("{what}");
    std::process::exit(1)
}

#[repr(C)]
struct Timeval {
    seconds: i64,
    micros: i64,
}

#[repr(C)]
struct Rusage {
    user: Timeval,
    system: Timeval,
    rest: [i64; 14],
}

extern "C" {
    fn getrusage(who: i32, usage: *mut Rusage) -> i32;
}

fn cpu_now() -> f64 {
    // SAFETY: Rusage has the layout of Linux's struct rusage on 64 bits; zeros are a valid value of it.
    let usage = unsafe {
        let mut usage: Rusage = std::mem::zeroed();
        getrusage(0, &mut usage);
        usage
    };
    let of = |t: &Timeval| t.seconds as f64 + t.micros as f64 / 1e6;
    of(&usage.user) + of(&usage.system)
}

/// Wall and processor time of the part between start() and stop().
pub struct Timer {
    at: Instant,
    cpu: f64,
    seconds: f64,
    cpu_seconds: f64,
}

impl Timer {
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Timer { at: Instant::now(), cpu: 0.0, seconds: 0.0, cpu_seconds: 0.0 }
    }
    pub fn start(&mut self) {
        self.cpu = cpu_now();
        self.at = Instant::now();
    }
    pub fn stop(&mut self) {
        self.seconds = self.at.elapsed().as_secs_f64();
        self.cpu_seconds = cpu_now() - self.cpu;
    }
}

/// Each sender's messages arrive in order, and all of them do.
pub struct Order {
    next: Vec<u64>,
    total: u64,
}

impl Order {
    pub fn new(senders: usize) -> Self {
        Order { next: vec![0; senders], total: 0 }
    }
    #[inline]
    pub fn got(&mut self, message: &Message) {
        let next = &mut self.next[message.sender as usize];
        if *next != message.sequence {
            wrong("a message is lost or out of order");
        }
        *next += 1;
        self.total += 1;
    }
    pub fn finished(&self, total: u64) {
        if self.total != total {
            wrong(&format!("{} of {} messages", self.total, total));
        }
    }
}

/// The part of `ops` that the `index`th of `count` takes.
pub fn share(ops: u64, count: usize, index: usize) -> u64 {
    ops / count as u64 + u64::from((index as u64) < ops % count as u64)
}

/// Threads that wait for go() before they run `body(index)`; joined at the end.
pub struct Team {
    threads: Vec<std::thread::JoinHandle<()>>,
    go: Arc<Barrier>,
}

impl Team {
    pub fn new(bodies: Vec<Box<dyn FnOnce() + Send>>) -> Self {
        let ready = Arc::new(Barrier::new(bodies.len() + 1));
        let go = Arc::new(Barrier::new(bodies.len() + 1));
        let threads = bodies
            .into_iter()
            .map(|body| {
                let (ready, go) = (ready.clone(), go.clone());
                std::thread::spawn(move || {
                    ready.wait();
                    go.wait();
                    body()
                })
            })
            .collect();
        ready.wait();
        Team { threads, go }
    }
    pub fn go(&self) {
        self.go.wait();
    }
    pub fn join(self) {
        for thread in self.threads {
            thread.join().unwrap_or_else(|_| wrong("a thread died"));
        }
    }
}

/// Each of the senders is a thread that sends its share of `ops` messages by `send`; this one takes what `received` has
/// until all senders are gone. `sender` is the one that they are cloned from.
pub fn run_senders<S, F, R>(sender: S, received: R, send: F, senders: usize, ops: u64, timer: &mut Timer) -> u64
where
    S: Clone + Send + 'static,
    F: Fn(&S, Message) + Copy + Send + 'static,
    R: IntoIterator<Item = Message>,
{
    let mut order = Order::new(senders);
    let mut bodies: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
    for index in 0..senders {
        let sender = sender.clone();
        bodies.push(Box::new(move || {
            for i in 0..share(ops, senders, index) {
                send(&sender, Message::new(index, i));
            }
        }));
    }
    drop(sender);
    let team = Team::new(bodies);
    timer.start();
    team.go();
    for message in received {
        order.got(&message);
    }
    timer.stop();
    team.join();
    order.finished(ops);
    ops
}

/// xorshift64*: the same cheap source of keys in every program.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1))
    }
    #[inline]
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32
    }
}

pub struct Workload {
    pub name: String,
    pub note: &'static str,
    /// Runs about so many operations and returns how many they were.
    pub run: Box<dyn Fn(u64, &mut Timer) -> u64>,
}

impl Workload {
    pub fn new(name: impl Into<String>, note: &'static str, run: impl Fn(u64, &mut Timer) -> u64 + 'static) -> Self {
        Workload { name: name.into(), note, run: Box::new(run) }
    }
}

/// Of this program alone; getrusage's figure survives exec and so counts the parent's memory.
fn max_rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

pub fn main(workloads: Vec<Workload>) {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.len() == 1 && words[0] == "--list" {
        for workload in &workloads {
            println!("{}\t{}", workload.name, workload.note);
        }
        return;
    }
    let (name, ops) = match words.as_slice() {
        [name, ops] => (name, ops.parse::<u64>().unwrap_or(0)),
        _ => wrong("usage: --list | NAME OPS"),
    };
    let found = workloads.iter().find(|workload| workload.name == *name);
    let workload = found.unwrap_or_else(|| wrong("no such workload"));
    (workload.run)((ops / 10).max(1), &mut Timer::new());
    let mut timer = Timer::new();
    let done = (workload.run)(ops.max(1), &mut timer);
    println!(
        "{{\"ops\":{},\"seconds\":{:.9},\"cpu_seconds\":{:.6},\"max_rss_kib\":{}}}",
        done,
        timer.seconds,
        timer.cpu_seconds,
        max_rss_kib()
    );
}
