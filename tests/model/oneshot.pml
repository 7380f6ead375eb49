// SPDX-License-Identifier: Apache-2.0
//
// oneshot.pml: the oneshot channel (sdk/include/gantry/channel/oneshot.hpp, detail/completion.hpp, waiting.hpp), for Spin.
//
// A sender sends one value or goes without. A receiver tries, or waits up to WAITS times (with no limits, until a time,
// with a token, or both), tries again after a time-out or a cancel, and may go at any time. A canceller stops the token of
// any of the waits.
//
// What holds in every run, or Spin reports an error:
//   * a value is received once, destroyed with the slot, or destroyed by the send that was refused: one of the three. The
//     end is reported only when there is no value any more.
//   * the slot is freed once and not used after that.
//   * a waiter is woken once for each wait that does not end by itself, by the sender or by who cancelled, and nobody
//     holds it any more when its frame ends (`owed`); nobody sleeps for ever; a cancel is not overlooked.
//   * waiter_ is read only while the one that wrote it stays; the value is not touched by both at once.
//
// Steps. Each step is one access to what is shared: word_ (an RMW, or a load), value_, waiter_, a waiter's word, a stop
// callback.
//   Sender                Slot::send: value_.emplace (two steps, to see who else is there) / Completion::finish:
//                         word_.fetch_or(kDone) / delete, or waiter_ / its wake
//   done                  Completion::done: word_.load
//   Receiver: enter       Completion::enter: waiter_ / word_.fetch_or(kWaits)
//   withdraw              Completion::withdraw: word_.fetch_or(kCancelled); by Canceller (CancelWait: `cancelled` / cancel() /
//                         wake) or by a time-out (detail::park)
//   Receiver: finish      RecvOp::finish: done() / Slot::take (two steps), or Completion::reset: word_.fetch_and
//   Receiver: drop        Completion::leave: done(), else word_.fetch_or(kGone) / delete
//
// Not covered: memory orders. The model interleaves whole accesses; that value_ and waiter_ are seen by the other end
// rests on the acq_rel of the RMWs on word_ and the acquire of done() and gone(); the waiter's word on its acq_rel. No pair
// of a store and a load of different words here needs seq_cst. Nor covered: SmallPool, moves of an end, Sender::closed(), the
// futex under park; that a spawned task's frame is gone before its end is told (coro.hpp).
//
// Mutations, each of which Spin must find: see BUG_ below.

#ifndef WAITS
#define WAITS 3
#endif

#define kDone 1
#define kGone 2
#define kWaits 4
#define kCancelled 8
#define kAll (kWaits | kDone | kCancelled)

/* The slot. */
byte word_;
byte waiter_; /* the number of a wait, from 1 */
bit value_;
bit freed;

/* Waits, by number. */
bit alive[WAITS + 1], woken[WAITS + 1];
byte wait_number;        /* the wait that is now */
bit registered, running; /* its stop callback */
bit stopped, missed;     /* `cancelled` in park(); cancel() was false */

/* Kept for the assertions alone. */
byte owes[WAITS + 1]; /* how many hold it to wake it */
bit sends;            /* there is a value at all */
bit accepted, refused, received, destroyed;
bit in_value; /* somebody is at value_ */

#define TOUCH assert(!freed)

inline free_slot() {
  atomic {
    TOUCH;
    freed = 1;
    destroyed = value_;
    value_ = 0
  }
}
inline wake_one(w) {
  atomic {
    assert(w != 0 && alive[w] && !woken[w] && owes[w] == 1);
    owes[w] = 0;
    woken[w] = 1
  }
}

proctype Sender() {
  byte before, w;
  /* send(), or finish() without a value */
  atomic {
    if
    :: sends = 0
    :: sends = 1
    fi
  };
  if
  :: sends ->
#ifdef BUG_VALUE_AFTER_WORD
    skip
#else
    atomic { TOUCH; assert(!in_value); in_value = 1 };
    atomic { value_ = 1; in_value = 0 }
#endif
  :: else
  fi;
  atomic {
    TOUCH;
    before = word_;
    word_ = word_ | kDone;
    if
    :: (before & kGone) == 0 ->
      accepted = sends;
#ifdef BUG_BOTH_WAKE
      if
      :: before & kWaits -> owes[waiter_]++
      :: else
      fi
#else
      if
      :: (before & (kWaits | kCancelled)) == kWaits -> owes[waiter_]++
      :: else
      fi
#endif
    :: else -> refused = sends
    fi
  };
#ifdef BUG_VALUE_AFTER_WORD
  atomic { TOUCH; value_ = sends };
#endif
  if
  :: before & kGone ->
    free_slot()
#ifdef BUG_BOTH_WAKE
  :: !(before & kGone) && (before & kWaits) ->
#else
  :: !(before & kGone) && (before & (kWaits | kCancelled)) == kWaits ->
#endif
    atomic { TOUCH; w = waiter_ };
    wake_one(w)
  :: else
  fi
}

/* `yes`: what cancel() says. */
inline withdraw(by_canceller) {
  atomic {
    TOUCH;
#ifdef BUG_WITHDRAW_ANYWAY
    yes = ((word_ & (kWaits | kCancelled)) == kWaits);
#else
    yes = ((word_ & kAll) == kWaits);
#endif
#ifdef BUG_NO_MARK
    if
    :: yes -> word_ = word_ | kCancelled
    :: else
    fi;
#else
    word_ = word_ | kCancelled;
#endif
    if
    :: by_canceller && yes -> owes[number]++
    :: by_canceller && !yes -> missed = 1
    :: else
    fi
  }
}

/* Stops the token of one wait after another, or of none. */
proctype Canceller() {
  byte number;
  bit yes;
  do
  :: break
  :: atomic { registered -> registered = 0; running = 1; number = wait_number };
#ifndef BUG_REASON_LATE
    stopped = 1;
#endif
    withdraw(true);
    if
    :: yes -> wake_one(number)
    :: else
    fi;
#ifdef BUG_REASON_LATE
    stopped = 1;
#endif
    atomic { running = 0; number = 0; yes = 0 }
  od
}

inline done() {
  atomic {
    TOUCH;
    is_done = (word_ & kDone) != 0
  }
}
/* After done(). */
inline take() {
  atomic { TOUCH; assert(!in_value); in_value = 1 };
  atomic {
    assert(!value_ || !received);
    got = value_;
    received = received | value_;
    value_ = 0;
    in_value = 0
  }
}

proctype Receiver() {
  byte number;
  bit timed, token, timed_out, was_stopped, yes, is_done, got, entered;

  do
  :: break
  :: /* try_recv() */
    done();
    if
    :: is_done -> take();
    :: else
    fi;
    atomic { is_done = 0; got = 0 }
  :: number < WAITS ->
    atomic {
      number++;
      if
      :: timed = 0
      :: timed = 1
      fi;
      if
      :: token = 0
      :: token = 1
      fi
    };
    /* poll() */
    done();
    if
    :: is_done -> goto finish
    :: else
    fi;
    atomic {
      alive[number] = 1;
      wait_number = number;
      registered = token
    };
    /* start(): enter() */
    atomic { TOUCH; waiter_ = number };
    atomic {
      TOUCH;
      entered = ((word_ & (kDone | kCancelled)) == 0);
      word_ = word_ | kWaits;
      assert(!entered || !missed)
    };
    if
    :: entered ->
      if
      :: woken[number]
      :: atomic { timed && !woken[number] -> timed_out = 1 };
        withdraw(false);
        if
        :: yes
        :: else -> timed_out = 0; woken[number]
        fi;
        yes = 0
      fi
    :: else
    fi;
    was_stopped = stopped;
    /* The callback is over, then the frame. */
    atomic {
      !running -> registered = 0;
      assert(owes[number] == 0);
      alive[number] = 0;
      missed = 0;
      stopped = 0;
      entered = 0
    };
    finish: done();
    if
    :: is_done -> take();
      assert(got || received || !sends)
    :: else ->
      assert(timed_out || was_stopped); /* nothing came: only because of a limit */
#ifndef BUG_NO_RESET
      atomic {
        TOUCH;
#ifdef BUG_RESET_FORGETS
        word_ = 0
#else
        word_ = word_ & ~(kWaits | kCancelled)
#endif
      }
#endif
    fi;
    atomic { is_done = 0; got = 0; timed = 0; token = 0; timed_out = 0; was_stopped = 0 }
  od;

  /* leave() */
  done();
#ifdef BUG_DROP_IN_TWO_STEPS
  if
  :: is_done
  :: else -> atomic { TOUCH; word_ = word_ | kGone }
  fi;
#else
  if
  :: is_done
  :: else ->
    atomic {
      TOUCH;
      is_done = (word_ & kDone) != 0;
      word_ = word_ | kGone
    }
  fi;
#endif
  if
  :: is_done -> free_slot()
  :: else
  fi
}

init {
  atomic {
    run Sender();
    run Receiver();
    run Canceller()
  };
  _nr_pr == 1;
  assert(freed && !value_);
  /* Accepted: received or destroyed with the slot. Refused: destroyed with the slot. */
  assert(accepted + refused == sends && received + destroyed == sends && !(received && refused))
}
