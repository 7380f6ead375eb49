// SPDX-License-Identifier: Apache-2.0
//
// mpsc.pml: the mpsc channel (sdk/include/gantry/detail/mpsc_core.hpp and mpsc_ops.hpp, channel/mpsc.hpp, waiting.hpp),
// for Spin.
//
// Two senders send VALUES values each, by try_send, send or (-DBATCH) send_many; one receiver receives with try_recv, recv
// and recv_many, may close at any time and go at any time. -DLIMIT_SENDERS: sender 0 may be cancelled or time out (and all
// sends wait). -DLIMIT_RECEIVER: the receiver may. -DPOLLS: send() tries again before it waits. -DFIFO: who came later is not
// received earlier. -DBUFFERED: see below.
//
// What holds in every run, or Spin reports an error:
//   * a value that was accepted is received once (or destroyed with the channel), in its sender's order; one that was
//     refused never is. recv() reports the end only when there is one.
//   * nobody sleeps for ever: a waiter that nobody will wake is an invalid end state. A cancel is not overlooked (`missed`).
//   * a waiter is woken once, never after it withdrew, and nobody holds it any more when its frame ends (`owed`).
//   * never more than CAP values; a sender that waits is served before one that came later; nobody touches a core that
//     was deleted, and it is deleted.
//
// Steps. Each step makes one access to what is shared without the lock (tail_, head_, flags_, the cells, senders_, halves_,
// a waiter's word, a stop callback). What only the holder of lock_ touches (receiver_, waiting_, head_seen_, the fields of a
// SendOp that waits) goes with the step before or after, and so do taking lock_ (with what follows) and giving it back
// (with what comes before): nobody can tell the difference.
//   try_put               Core::try_put: lock; room(): head_.load; put(): cells, which nobody reads yet / tail_.store;
//                         receiver_; unlock / wake
//   looks_full            Core::looks_full: three loads
//   enter_sender          Core::enter(SendOp): lock; link; set_flag(kSendersWait); unlock / the fence / lock; serve() /
//                         receiver_, unlink if cancelled, linked_, waiter_; unlock / wakes
//   serve                 Core::serve: for each that waits room(): head_.load; cells / put(): tail_.store / at the end
//                         clear_flag
//   withdraw_sender       Core::withdraw(SendOp), one step
//   drop_sender           Core::drop_sender: senders_ RMW / lock; set_flag(kNoSenders) / receiver_; unlock / wake / drop_half
//   available, take       Core::available, take, take_many: tail_.load / cells / advance(): head_.store / the fence /
//                         flags_.load / serve_waiting(): lock, serve, unlock / wakes
//   Receiver              Core::readable; enter(RecvOp), one step; withdraw(RecvOp), one step; drop_receiver
//   close_receiver        Core::close_receiver: lock; set_flag(kReceiverClosed) / clear_flag; those who wait; unlock / wakes
//   wake_one, woken       ThreadWaiter::wake and park; WakeList reads `next` before it wakes
//   Canceller             CancelWait: op.cancel() / wake. The stop_callback's destructor waits for it.
//
// Not covered: memory orders other than the interleavings of whole accesses, so all that rests on acquire and release:
// tail_ (cells, block links and first_ before tail_.store(release), with tail_.load(acquire)); head_ (a cell is free before
// head_.store(release), with room's head_.load(acquire)); flags_ (release in set_flag and clear_flag, acquire in ended and
// receiver_closed); lock_ (exchange acquire, store release); senders_ and halves_ (acq_rel); the waiter's word (acq_rel); the
// relaxed loads of looks_full. Nor the blocks: new_block, read_cell, their recycling through free_ and kept_; nor a channel
// without a bound, the futex under park, an operation on a moved-from end.
// -DBUFFERED covers the fences of the one pair that needs them: enter's set_flag, then room's head_.load, against advance's
// head_.store, then flags_.load. Both stores go through a store buffer, one entry each, written back at any later time. A
// fence waits for its own thread's entry; who takes the lock after the one who stored gave it back sees the store. With
// -DASYMMETRIC the receiver has no fence and the sender's, membarrier, also waits for the receiver's entry.
//
// Mutations, each of which Spin must find: see BUG_ below.

#ifndef CAP
#define CAP 1
#endif
#ifndef VALUES
#define VALUES 2
#endif
#define SENDERS 2
#define RECEIVER 2 /* the receiver's waiter */
#define ALL ((1 << (SENDERS * VALUES)) - 1)
#define BIT(v) (1 << ((v) - 1))
#define VALUE(sender, k) (1 + (sender) * VALUES + (k))
#define ABOVE(v) ((((1 << VALUES) - 1) << ((((v) - 1) / VALUES) * VALUES)) & ~((1 << (v)) - 1))

#define kSendersWait 1
#define kReceiverClosed 2
#define kNoSenders 4

#define FULL 0
#define DONE 1
#define CLOSED 2

#define TRY_RECV 1 /* what the receiver does */
#define RECV 2
#define CLOSE 3
#define DROP 4

/* The core. */
bit lock_;
byte tail_, head_, flags_;
byte head_seen_;
bit receiver_;
byte waiting_[SENDERS];
byte waiting_count;
byte cells[SENDERS * VALUES];
byte senders_ = SENDERS;
byte halves_ = 2;

/* The senders' operations. */
bit linked_[SENDERS], closed_[SENDERS], unfinished_[SENDERS], has_waiter_[SENDERS];
byte op_next[SENDERS]; /* the index of the first value of rest_ */
byte op_rest[SENDERS]; /* its size */

/* Waiters, by sender and RECEIVER; their operation's cancelled_. */
bit alive[3], woken[3], cancelled_[3];
bit has_token[3], registered[3], running[3], stopped[3]; /* the stop callback */
bit missed[3]; /* cancel() was false before start() was through */

/* Kept for the assertions alone. */
bit owed[3]; /* somebody has taken it and will wake it */
byte taken, refused;
bit deleted;
#ifdef FIFO
byte before[SENDERS * VALUES]; /* this value must have been received earlier, or refused */
#endif

#ifdef BUFFERED
byte head_buffer, flags_buffer;
bit head_pending;
byte flags_pending; /* 1 + the sender whose store it is */
active proctype StoreBuffers() {
end:
  do
  :: atomic { head_pending -> head_ = head_buffer; head_pending = 0; head_buffer = 0 }
  :: atomic { flags_pending -> flags_ = flags_buffer; flags_pending = 0; flags_buffer = 0 }
  od
}
#define FLAGS_DRAINED (flags_pending == 0)
#define FLAGS_DRAINED_OR_OF(sender) (flags_pending == 0 || flags_pending == 1 + sender)
#define HEAD_DRAINED (!head_pending)
#define MY_HEAD my_head
#else
#define FLAGS_DRAINED true
#define FLAGS_DRAINED_OR_OF(sender) true
#define HEAD_DRAINED true
#define MY_HEAD head_
#endif

#define TAKE_LOCK !lock_ && FLAGS_DRAINED -> lock_ = 1; assert(!deleted)
#define TAKE_LOCK_AGAIN(sender) !lock_ && FLAGS_DRAINED_OR_OF(sender) -> lock_ = 1; assert(!deleted)
#define UNLOCK lock_ = 0

inline owe(waiter) {
  assert(alive[waiter] && !woken[waiter] && !owed[waiter]);
  owed[waiter] = 1
}
inline wake_one(waiter) {
  atomic {
    assert(alive[waiter] && !woken[waiter] && owed[waiter]);
    owed[waiter] = 0;
    woken[waiter] = 1
  }
}
/* WakeList: at most two, w0 and w1, each one more than the waiter; 0: none. Added under the lock, woken outside of it. */
inline add(waiter) {
  owe(waiter);
  if
  :: w0 == 0 -> w0 = waiter + 1
  :: else -> assert(w1 == 0); w1 = waiter + 1
  fi
}
inline wake_all() {
  if
  :: w0 != 0 ->
    wake_one(w0 - 1);
#ifdef BUG_NEXT_AFTER_WAKE
    assert(alive[w0 - 1]); /* reads waiter->next only now */
#endif
    w0 = 0;
    if
    :: w1 != 0 -> wake_one(w1 - 1); w1 = 0
    :: else
    fi
  :: else
  fi
}
inline drop_half() {
  atomic {
    assert(!deleted && halves_ > 0);
    halves_--;
    if
    :: halves_ == 0 -> deleted = 1
    :: else
    fi
  }
}

/* room(): one load of head_, when what was seen of it is not enough. `count`: min(wanted, room). */
inline room(wanted) {
  if
  :: tail_ + wanted > head_seen_ + CAP -> head_seen_ = head_
  :: else
  fi;
  count = CAP - (tail_ - head_seen_);
  assert(count <= CAP);
  if
  :: count > wanted -> count = wanted
  :: else
  fi
}
/* put(): the cells, which nobody else looks at yet; then tail_.store. */
inline write_cells(sender, at) {
  d_step {
    place = 0;
    do
    :: place < count -> cells[at + place] = VALUE(sender, op_next[sender] + place); place++
    :: else -> break
    od;
    place = 0
  }
}
inline put(sender) {
#ifdef BUG_TAIL_BEFORE_CELLS
  tail_ = tail_ + count;
  write_cells(sender, tail_ - count);
#else
  tail_ = tail_ + count;
#endif
  assert(tail_ - head_ <= CAP || !HEAD_DRAINED);
  op_next[sender] = op_next[sender] + count;
  op_rest[sender] = op_rest[sender] - count;
  count = 0
}
#ifdef BUG_TAIL_BEFORE_CELLS
#define CELLS_FIRST(sender) skip
#define STEP
#else
#define CELLS_FIRST(sender) write_cells(sender, tail_)
#define STEP atomic
#endif
/* From the list alone. */
inline unlist(sender) {
  d_step {
    linked_[sender] = 0;
    waiting_count--;
    if
    :: waiting_[0] == sender -> waiting_[0] = waiting_[1]
    :: else
    fi;
    waiting_[1] = 0
  }
}
inline unlink(sender) {
  unlist(sender);
  refused = refused | (((1 << op_rest[sender]) - 1) << (VALUE(sender, op_next[sender]) - 1));
  if
  :: waiting_count == 0 -> FLAGS_DRAINED -> flags_ = flags_ & ~kSendersWait
  :: else
  fi
}
inline take_receiver() {
  if
  :: receiver_ -> receiver_ = 0; add(RECEIVER)
  :: else
  fi
}

/* Under the lock. */
inline serve() {
  do
  :: atomic {
      if
      :: waiting_count == 0 -> FLAGS_DRAINED -> flags_ = flags_ & ~kSendersWait; break
      :: else ->
        front = waiting_[0];
        assert(linked_[front] && alive[front]);
        room(op_rest[front]);
        if
        :: count == 0 && op_rest[front] != 0 -> front = 0; break
        :: else -> CELLS_FIRST(front)
        fi
      fi
    };
    STEP {
      put(front);
      if
      :: op_rest[front] != 0 -> front = 0; break
      :: else ->
        unfinished_[front] = 0;
        unlist(front);
        if
        :: has_waiter_[front] -> add(front)
        :: else
        fi
      fi;
      front = 0
    }
  od
}

/* The values that op_next and op_rest say. `result`: FULL, DONE or CLOSED. */
inline try_put(sender) {
  atomic {
    TAKE_LOCK;
    count = 0;
    result = FULL;
    if
    :: flags_ & kReceiverClosed -> result = CLOSED
#ifndef BUG_TRY_PASSES
    :: !(flags_ & kReceiverClosed) && waiting_count != 0
    :: !(flags_ & kReceiverClosed) && waiting_count == 0 ->
#else
    :: !(flags_ & kReceiverClosed) ->
#endif
      room(op_rest[sender]);
      if
      :: count == op_rest[sender] -> result = DONE
      :: else
      fi
    fi;
    if
    :: count == 0 -> UNLOCK
    :: else -> CELLS_FIRST(sender)
    fi
  };
  if
  :: count != 0 ->
    STEP {
      put(sender);
      take_receiver();
      UNLOCK
    };
    wake_all()
  :: else
  fi
}

/* `entered`: it waits now; else start() was true. */
inline enter_sender(sender) {
  atomic {
    TAKE_LOCK;
    closed_[sender] = (flags_ & kReceiverClosed) != 0;
    unfinished_[sender] = 1;
    entered = 0;
    if
    :: !closed_[sender] && !cancelled_[sender] ->
      linked_[sender] = 1;
#ifndef BUG_WAITER_TOO_EARLY
      has_waiter_[sender] = 0;
#else
      has_waiter_[sender] = 1;
#endif
      waiting_[waiting_count] = sender;
      waiting_count++;
      entered = 1;
      /* set_flag(kSendersWait) */
#ifdef BUG_LOOK_THEN_TELL
#elif defined(BUFFERED)
      flags_buffer = flags_ | kSendersWait;
      flags_pending = 1 + sender;
#else
      flags_ = flags_ | kSendersWait;
#endif
    :: else
    fi;
    UNLOCK
  };
  if
  :: entered ->
#if defined(BUFFERED) && !defined(BUG_NO_SENDER_FENCE)
    flags_pending != 1 + sender;
#ifdef ASYMMETRIC
    HEAD_DRAINED;
#endif
#endif
    atomic { TAKE_LOCK_AGAIN(sender); old_tail = tail_ };
    serve();
    atomic {
#ifndef BUG_WAKE_FOR_NOTHING
      if
      :: old_tail != tail_ -> take_receiver()
      :: else
      fi;
#else
      take_receiver();
#endif
      old_tail = 0;
#ifdef BUG_LOOK_THEN_TELL
      if
      :: waiting_count != 0 -> flags_ = flags_ | kSendersWait
      :: else
      fi;
#endif
#ifndef BUG_CANCEL_IN_BETWEEN
      if
      :: linked_[sender] && cancelled_[sender] -> unlink(sender)
      :: else
      fi;
#endif
      entered = linked_[sender];
      has_waiter_[sender] = linked_[sender];
      assert(!entered || !missed[sender]);
      UNLOCK
    };
    wake_all()
  :: else
  fi
}

/* `withdrew`: what cancel() says. */
inline withdraw_sender(sender, by_canceller) {
  atomic {
    TAKE_LOCK;
    cancelled_[sender] = 1;
#ifdef BUG_WITHDRAW_ANYWAY
    withdrew = has_waiter_[sender];
#else
    withdrew = linked_[sender] && has_waiter_[sender];
#endif
    if
    :: linked_[sender] && has_waiter_[sender] -> unlink(sender)
    :: else
    fi;
    cancel_is_through(sender, by_canceller);
    UNLOCK
  }
}
inline withdraw_receiver(by_canceller) {
  atomic {
    TAKE_LOCK;
    cancelled_[RECEIVER] = 1;
    withdrew = receiver_; /* receiver_ is this waiter or nobody: the receiver has one operation at a time */
    receiver_ = 0;
    cancel_is_through(RECEIVER, by_canceller);
    UNLOCK
  }
}
/* For the assertions. */
inline cancel_is_through(who, by_canceller) {
  if
  :: !by_canceller /* who withdraws itself wakes nobody */
  :: by_canceller && withdrew -> owe(who)
  :: by_canceller && !withdrew -> missed[who] = 1
  fi
}

/* A thread's place to wait; the stop callback enters before start(). */
inline begin_wait(waiter) {
  atomic {
    assert(!alive[waiter] && !woken[waiter]);
    alive[waiter] = 1;
    registered[waiter] = has_token[waiter]
  }
}
inline end_wait(waiter) {
  atomic {
    !running[waiter] -> registered[waiter] = 0;
    assert(!owed[waiter]); /* nobody comes for this frame any more */
    alive[waiter] = 0;
    woken[waiter] = 0;
    cancelled_[waiter] = 0;
    missed[waiter] = 0;
    was_stopped = stopped[waiter]; /* in park() already before: oneshot.pml looks at that */
    stopped[waiter] = 0
  }
}

/* CancelWait, on another thread, at most once for each token's owner. */
proctype Canceller(byte who) {
  bit withdrew;
  if
  :: skip
  :: atomic { registered[who] -> registered[who] = 0; running[who] = 1; stopped[who] = 1 };
    if
    :: who == RECEIVER -> withdraw_receiver(true)
    :: else -> withdraw_sender(who, true)
    fi;
    if
    :: withdrew -> wake_one(who)
    :: else
    fi;
    running[who] = 0
  fi
}

proctype Sender(byte me) {
  byte k, size, result, count, place, front, w0, w1, old_tail;
  bit entered, withdrew, waits, timed, timed_out, was_stopped;

  do
  :: k == VALUES -> break
  :: else ->
    /* Which operation. */
    atomic {
      if
      :: size = 1
#ifdef BATCH
      :: size = VALUES - k
#endif
      fi;
      if
#ifndef LIMIT_SENDERS
      :: waits = 0
#endif
      :: waits = 1
      fi;
#ifdef LIMIT_SENDERS
      if
      :: timed = 0
      :: me == 0 -> timed = 1
      fi;
#endif
      op_next[me] = k;
      op_rest[me] = size;
      closed_[me] = 0;
      unfinished_[me] = 0;
      has_waiter_[me] = 0;
#ifdef FIFO
      if
      :: linked_[1 - me] -> before[VALUE(me, k) - 1] = VALUE(1 - me, op_next[1 - me] + op_rest[1 - me] - 1)
      :: else
      fi
#endif
    };
    do
    :: try_put(me);
      if
      :: result == FULL && waits ->
#ifdef POLLS
        /* looks_full() */
        do
        :: break
        :: count = flags_ & kReceiverClosed;
          if
          :: count != 0 -> count = 0; goto again
          :: else
          fi;
          count = tail_;
          /* Unsigned: a head_ beyond the old tail_ is far more than the capacity. */
          atomic { place = (count < head_ || count - head_ >= CAP); count = 0 };
          if
          :: !place -> goto again
          :: else -> place = 0
          fi
        od;
#endif
        break
      :: else -> goto settled
      fi;
      again: skip
    od;

    begin_wait(me);
    enter_sender(me);
    if
    :: entered ->
      if
      :: woken[me]
      :: atomic { timed && !woken[me] -> timed_out = 1 };
        withdraw_sender(me, false);
        if
        :: withdrew
        :: else -> timed_out = 0; woken[me]
        fi;
        withdrew = 0
      fi
    :: else
    fi;
    end_wait(me);
    result = (closed_[me] -> CLOSED : (unfinished_[me] -> FULL : DONE));
    assert(result != FULL || timed_out || was_stopped);

    settled: atomic {
      assert(result != DONE || op_rest[me] == 0);
      assert(result == DONE || op_rest[me] != 0);
      refused = refused | (((1 << op_rest[me]) - 1) << (VALUE(me, op_next[me]) - 1));
      k = k + size;
      size = 0;
      result = 0;
      entered = 0;
      timed_out = 0;
      waits = 0;
      timed = 0;
      op_next[me] = 0;
      op_rest[me] = 0;
      closed_[me] = 0;
      unfinished_[me] = 0;
      has_waiter_[me] = 0;
      was_stopped = 0
    }
  od;

  /* drop_sender() */
  atomic { senders_--; entered = (senders_ == 0) };
  if
  :: entered ->
    atomic { TAKE_LOCK; flags_ = flags_ | kNoSenders };
    atomic {
#ifndef BUG_LAST_SENDER_SILENT
      take_receiver();
#endif
      UNLOCK
    };
    wake_all();
    drop_half()
  :: else
  fi
}

/* available(): `count` is what it says. */
inline available() {
  if
  :: MY_HEAD == tail_seen -> tail_seen = tail_
  :: else
  fi;
  count = tail_seen - MY_HEAD
}
/* take() and take_many(): up to `most`. `got`: how many. */
inline take(most) {
  atomic { available(); got = (count < most -> count : most); count = 0 };
  if
  :: got != 0 ->
    d_step {
      place = 0;
      do
      :: place < got ->
        value = cells[MY_HEAD + place];
        assert(value != 0); /* and not half written */
        cells[MY_HEAD + place] = 0;
        assert(!(taken & BIT(value)) && !(refused & BIT(value)) && !(taken & ABOVE(value)));
#ifdef FIFO
        assert(before[value - 1] == 0 || ((taken | refused) & BIT(before[value - 1])));
#endif
        taken = taken | BIT(value);
        place++
      :: else -> break
      od;
      place = 0;
      value = 0
    };
    /* advance() */
#ifdef BUG_LOOK_THEN_MAKE_ROOM
    seen = flags_ & kSendersWait;
    head_ = head_ + got;
#else
#ifdef BUFFERED
    atomic { HEAD_DRAINED -> my_head = my_head + got; head_buffer = my_head; head_pending = 1 };
#if !defined(ASYMMETRIC) && !defined(BUG_NO_RECEIVER_FENCE)
    HEAD_DRAINED;
#endif
#else
    head_ = head_ + got;
#endif
    seen = flags_ & kSendersWait;
#endif
    if
    :: seen ->
      seen = 0;
      atomic { HEAD_DRAINED && TAKE_LOCK };
      serve();
      UNLOCK;
      wake_all()
    :: else
    fi
  :: else
  fi
}
inline close_receiver() {
  atomic { HEAD_DRAINED && TAKE_LOCK; flags_ = flags_ | kReceiverClosed };
  atomic {
    flags_ = flags_ & ~kSendersWait;
    do
    :: waiting_count != 0 ->
      front = waiting_[0];
      assert(alive[front]);
      closed_[front] = 1;
      unlist(front);
      refused = refused | (((1 << op_rest[front]) - 1) << (VALUE(front, op_next[front]) - 1));
#ifndef BUG_CLOSE_FORGETS
      if
      :: has_waiter_[front] -> add(front)
      :: else
      fi
#endif
    :: else -> break
    od;
    front = 0;
    UNLOCK
  };
  wake_all()
}

proctype Receiver() {
  byte does, tail_seen, count, place, value, most, got, front, w0, w1;
  bit seen, entered, withdrew, timed, timed_out, was_stopped, closed;
#ifdef BUFFERED
  byte my_head;
#endif

  do
  :: atomic {
      if
      :: does == RECV && got == 0 && !timed_out && !was_stopped ->
        /* What recv() gives back means: the end. */
        assert((flags_ & (kNoSenders | kReceiverClosed)) && MY_HEAD == tail_);
        does = DROP
      :: does == DROP && closed && got == 0 -> break
      :: else
      fi;
      got = 0;
      timed_out = 0;
      timed = 0;
      was_stopped = 0;
      most = 1;
      if
      :: does == DROP /* and nothing else any more */
      :: does != DROP -> does = DROP
      :: does != DROP && !closed -> does = CLOSE
#if !defined(LIMIT_SENDERS) && !defined(LIMIT_RECEIVER)
      :: does != DROP -> does = TRY_RECV
#endif
      :: does != DROP -> does = RECV;
        if
        :: skip
#ifdef BATCH
        :: most = 2 /* recv_many() */
#endif
        fi;
#ifdef LIMIT_RECEIVER
        if
        :: timed = 0
        :: timed = 1
        fi
#endif
      fi
    };
    if
    :: (does == CLOSE || does == DROP) && !closed -> close_receiver(); closed = 1
    :: does == RECV ->
      /* readable() */
      atomic { available() };
      if
      :: count != 0 -> count = 0; goto ready
      :: else
      fi;
      if
      :: flags_ & (kNoSenders | kReceiverClosed) -> atomic { available(); count = 0 }; goto ready
      :: else
      fi;
      begin_wait(RECEIVER);
      /* enter(RecvOp) */
      atomic {
        HEAD_DRAINED && TAKE_LOCK;
        entered = !(cancelled_[RECEIVER] || (flags_ & (kNoSenders | kReceiverClosed)) || tail_ != MY_HEAD);
#ifndef BUG_REGISTER_LATE
        receiver_ = entered;
#endif
        assert(!entered || !missed[RECEIVER]);
        UNLOCK
      };
#ifdef BUG_REGISTER_LATE
      receiver_ = entered;
#endif
      if
      :: entered ->
        if
        :: woken[RECEIVER]
        :: atomic { timed && !woken[RECEIVER] -> timed_out = 1 };
          withdraw_receiver(false);
          if
          :: withdrew
          :: else -> timed_out = 0; woken[RECEIVER]
          fi;
          withdrew = 0
        fi;
        entered = 0
      :: else
      fi;
      end_wait(RECEIVER);
      ready: skip
    :: else
    fi;
    if
    :: does != CLOSE -> take(most)
    :: else
    fi
  od;
#ifdef BUFFERED
  HEAD_DRAINED;
#endif
  drop_half()
}

init {
  atomic {
    run Sender(0);
    run Sender(1);
    run Receiver();
#ifdef LIMIT_SENDERS
    has_token[0] = 1;
    run Canceller(0);
#endif
#ifdef LIMIT_RECEIVER
    has_token[RECEIVER] = 1;
    run Canceller(RECEIVER);
#endif
  };
  /* All have ended, except StoreBuffers. */
#ifdef BUFFERED
  _nr_pr == 2;
#else
  _nr_pr == 1;
#endif
  assert(deleted && head_ == tail_ && waiting_count == 0 && !receiver_);
  assert((taken | refused) == ALL && (taken & refused) == 0)
}
