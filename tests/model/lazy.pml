// SPDX-License-Identifier: Apache-2.0
//
// lazy.pml: Lazy and Quiescence (sdk/include/gantry/lazy.hpp, quiescence.hpp, waiting.hpp), for Spin. Services that wait for
// each other are in lazy_circle.pml.
//
// CALLERS callers ask GETS times each, with get(), co_await async_get() or get_async(); the factory makes something or fails;
// a failure's back-off is over or not, as it likes. -DSPAWN: there is a `spawn` function, so that all but get() construct on
// another thread. -DLIMITS: caller 0 may time out or be cancelled. RETIRERS retire (reset(), then wait(), which may
// give up) or call fail_with() at any time, TIMES each. BORROWERS borrow in sections, TIMES each.
//
// What holds in every run, or Spin reports an error:
//   * never two attempts at once; who waited gets the result of the attempt it waited for; a service is seen whole or not
//     at all, by callers and borrowers.
//   * every caller ends: with a result, or by its own limit. A callback is called once.
//   * a waiter is woken once and nobody holds it or its operation any more when its frame ends (`owed`).
//   * what was borrowed in a section is not retired (wait() has not returned) before the section ends.
//
// Steps. Each step is one access to what is shared without the mutex (mutex_ itself, ready_, epoch_, inside_, a waiter's
// word, a stop callback), or a step of the factory; what only the holder of mutex_ touches goes with it, and a holder that
// makes at most one such access is one step: nobody else can tell.
//   poll                  GetOp::poll: borrow(), then under the lock state_ and value_
//   enter                 Lazy::enter: under the lock begin(), outcome() or link; outside construct() or construct_elsewhere()
//   ask                   Lazy::get_async
//   construct             Lazy::construct: run_factory (two steps: half made, made); under the lock value_, state_,
//                         ready_.store, the results of those who wait; the wakes; the callbacks
//   withdraw              GetOp::cancel; by Canceller (CancelWait) or a time-out (detail::park)
//   Elsewhere             what runs on the thread that entered when its coroutine may already be somewhere else, and then the
//                         spawned construct()
//   Retirer               Lazy::reset and retire, or fail_with: under the lock state_, value_, ready_.store(nullptr).
//                         Quiescence::wait: epoch_.fetch_add, then any_before: one inside_.load for each participant
//   Borrower              Section: epoch_.load, inside_.store, (fence), ready_.load, two uses, inside_.store(0)
//
// Not covered: memory orders other than the interleavings of whole accesses, so all that rests on acquire and release:
// ready_.store(release) in construct and take_away with ready_.load(acquire) in borrow (the service is whole for who sees the
// pointer); epoch_ (fetch_add acq_rel, load acquire); inside_.store(0, release) with any_before's acquire (the uses are over);
// the waiter's word; the fence in wait(), which on top of the fetch_add of epoch_ changes nothing where an RMW is a full
// fence. -DBUFFERED covers the fence in Section: inside_.store goes through a store buffer, which the fence waits for. Nor
// covered: the Mutex, the list of participants and its lock, nested sections, the back-off's times, what an exception in the
// factory becomes, shared_ptr's count (what get() gave is never called retired).
//
// Mutations, each of which Spin must find: see BUG_ below.

#ifndef CALLERS
#define CALLERS 2
#endif
#ifndef GETS
#define GETS 2
#endif
#ifndef RETIRERS
#define RETIRERS 1
#endif
#ifndef BORROWERS
#define BORROWERS 0
#endif
#ifndef TIMES
#define TIMES 1
#endif

#define ATTEMPTS (CALLERS * GETS)

#define EMPTY 0 /* state_ */
#define CONSTRUCTING 1
#define READY 2
#define FAILED 3

#define GET 1 /* what a caller does */
#define ASYNC_GET 2
#define CALLBACK 3

#define HALF 1 /* objects */
#define WHOLE 2
#define RETIRED 3

#define NO_RESULT 0
#define OK(attempt) (attempt)
#define FAILURE(attempt) (16 + (attempt))

/* The Lazy. value_ and ready_: the attempt that made it. */
bit mutex_;
byte state_ = EMPTY;
byte ready_, value_;
byte error_; /* the attempt that failed */
bit linked_[CALLERS];
bit callbacks_[CALLERS];

/* The callers' operations and waiters. */
bit alive[CALLERS], woken[CALLERS], cancelled_[CALLERS];
byte result_[CALLERS];
bit called[CALLERS];
bit has_token, registered, running, stopped, missed; /* caller 0's stop callback */

byte elsewhere; /* whose thread goes on in Elsewhere: 1 + the caller of async_get(), or NOBODYS of get_async() */
#define NOBODYS (CALLERS + 1)

/* Quiescence. */
byte epoch_ = 1;
#if BORROWERS > 0
byte inside_[BORROWERS];
#endif

/* Kept for the assertions alone. */
byte attempt;
bit in_factory;
byte objects[ATTEMPTS + 1];
byte waits_for[CALLERS];
bit owed[CALLERS];

#define TAKE_MUTEX !mutex_ -> mutex_ = 1
#define UNLOCK mutex_ = 0

#if defined(BUFFERED) && BORROWERS > 0
byte inside_buffer[BORROWERS];
bit inside_pending[BORROWERS];
active [BORROWERS] proctype StoreBuffer() {
end:
  do
  :: atomic { inside_pending[_pid] -> inside_[_pid] = inside_buffer[_pid]; inside_pending[_pid] = 0; inside_buffer[_pid] = 0 }
  od
}
#define OTHERS (BORROWERS + 1) /* processes that never end */
#else
#define OTHERS 1
#endif

inline wake_one(who) {
  atomic {
    assert(alive[who] && !woken[who] && owed[who]);
    owed[who] = 0;
    woken[who] = 1
  }
}

/* Under the lock. `first`: this caller constructs. `result`: else, what is there. */
inline begin() {
  first = 0;
  result = NO_RESULT;
  if
  :: state_ == EMPTY -> first = 1
  :: state_ == READY -> result = OK(value_)
  :: state_ == FAILED -> first = 1 /* the back-off is over */
  :: state_ == FAILED -> result = FAILURE(error_)
  :: state_ == CONSTRUCTING
  fi;
#ifndef BUG_LOOK_THEN_BEGIN
  if
  :: first -> state_ = CONSTRUCTING; attempt++
  :: else
  fi
#endif
}

/* `result`: what came of it. */
inline construct() {
  /* run_factory() */
  atomic { assert(!in_factory); in_factory = 1; objects[attempt] = HALF };
#ifdef BUG_PUBLISHED_EARLY
  ready_ = attempt;
#endif
  atomic {
    in_factory = 0;
    if
    :: objects[attempt] = WHOLE; result = OK(attempt)
    :: objects[attempt] = 0; result = FAILURE(attempt)
    fi
  };
  atomic {
    TAKE_MUTEX;
    assert(state_ == CONSTRUCTING);
    if
    :: result == OK(attempt) -> value_ = attempt; state_ = READY; ready_ = attempt
    :: else -> error_ = attempt; state_ = FAILED
    fi;
    i = 0;
    do
    :: i < CALLERS ->
      if
      :: linked_[i] ->
        assert(alive[i] && !woken[i] && !owed[i] && waits_for[i] == attempt);
        linked_[i] = 0;
        result_[i] = result;
        owed[i] = 1;
        to_wake[i] = 1
      :: else
      fi;
      to_call[i] = callbacks_[i];
      callbacks_[i] = 0;
      i++
    :: else -> i = 0; break
    od;
    UNLOCK
  };
  do
  :: i < CALLERS ->
    if
    :: to_wake[i] -> wake_one(i); to_wake[i] = 0
    :: else
    fi;
    i++
  :: else -> i = 0; break
  od;
  do
  :: i < CALLERS ->
    if
    :: to_call[i] ->
      atomic {
        assert(!called[i]);
        called[i] = 1;
        result_[i] = result;
        to_call[i] = 0
      }
    :: else
    fi;
    i++
  :: else -> i = 0; break
  od
}

/* `withdrew`: what cancel() says. */
inline withdraw(who, by_canceller) {
  atomic {
    TAKE_MUTEX;
    cancelled_[who] = 1;
    withdrew = linked_[who];
#ifdef BUG_WITHDRAW_ANYWAY
    withdrew = 1;
#endif
    linked_[who] = 0;
    if
    :: by_canceller && withdrew -> owed[who] = 1
    :: by_canceller && !withdrew -> missed = 1
    :: else
    fi;
    UNLOCK
  }
}

/* The rest of enter() or get_async() after the lock, where the attempt is begun elsewhere, and that attempt. */
active proctype Elsewhere() {
  byte i, result;
  bit to_wake[CALLERS], to_call[CALLERS];
end:
  do
  :: elsewhere != 0 ->
#ifdef BUG_OP_AFTER_LINK
    assert(elsewhere == NOBODYS || alive[elsewhere - 1]); /* reads op.here_ only now */
#endif
    elsewhere = 0;
    construct();
    result = 0
  od
}

proctype Canceller() {
  bit withdrew;
  if
  :: skip
  :: atomic { registered -> registered = 0; running = 1; stopped = 1 };
    withdraw(0, true);
    if
    :: withdrew -> wake_one(0)
    :: else
    fi;
    running = 0
  fi
}

proctype Caller(byte me) {
  byte does, gets, i, result, seen;
  bit first, waits, timed, timed_out, withdrew, was_stopped;
  bit to_wake[CALLERS], to_call[CALLERS];

  do
  :: gets == GETS -> break
  :: else ->
    atomic {
      gets++;
      if
      :: does = GET
#if BORROWERS == 0
      :: does = ASYNC_GET
      :: does = CALLBACK
#endif
      fi;
#ifdef LIMITS
      if
      :: timed = 0
      :: me == 0 && does != CALLBACK -> timed = 1
      fi
#endif
    };
    if
    :: does == CALLBACK ->
      /* get_async() */
      atomic {
        TAKE_MUTEX;
        begin();
        if
        :: result == NO_RESULT -> callbacks_[me] = 1; waits_for[me] = attempt
        :: else
        fi;
        UNLOCK
      };
      if
      :: result != NO_RESULT -> result_[me] = result
      :: result == NO_RESULT && first ->
#ifdef SPAWN
        elsewhere = NOBODYS;
#else
        construct();
#endif
        called[me]
      :: else -> called[me]
      fi;
      assert(result_[me] != NO_RESULT);
      goto finish
    :: else
    fi;

    /* poll() */
    seen = ready_;
    if
    :: seen != 0 ->
      seen = 0;
      atomic {
        TAKE_MUTEX;
        if
        :: state_ == READY -> result_[me] = OK(value_)
        :: else
        fi;
        UNLOCK
      };
      if
      :: result_[me] != NO_RESULT -> goto finish
      :: else
      fi
    :: else
    fi;

    atomic {
      alive[me] = 1;
      registered = (registered || (me == 0 && has_token))
    };
    /* start(): enter() */
    atomic {
      TAKE_MUTEX;
      waits = 0;
      first = 0;
      if
      :: cancelled_[me]
      :: else ->
        begin();
        if
        :: result != NO_RESULT -> result_[me] = result
        :: else ->
#ifdef SPAWN
          waits = (!first || does == ASYNC_GET);
#else
          waits = !first;
#endif
#ifndef BUG_LINK_LATE
          linked_[me] = waits;
          waits_for[me] = attempt;
#endif
          assert(!waits || me != 0 || !missed)
        fi
      fi;
      UNLOCK
    };
#ifdef BUG_LOOK_THEN_BEGIN
    if
    :: first -> atomic { TAKE_MUTEX; state_ = CONSTRUCTING; attempt++; waits_for[me] = attempt; UNLOCK }
    :: else
    fi;
#endif
#ifdef BUG_LINK_LATE
    if
    :: waits -> atomic { TAKE_MUTEX; linked_[me] = 1; waits_for[me] = attempt; UNLOCK }
    :: else
    fi;
#endif
    if
    :: first && !waits -> construct(); result_[me] = result
    :: first && waits -> elsewhere = me + 1
    :: else
    fi;
    if
    :: waits ->
      if
      :: woken[me]
      :: atomic { timed && !woken[me] -> timed_out = 1 };
        withdraw(me, false);
        if
        :: withdrew
        :: else -> timed_out = 0; woken[me]
        fi;
        withdrew = 0
      fi
    :: else
    fi;
    atomic {
      me != 0 || !running ->
      if
      :: me == 0 -> registered = 0; was_stopped = stopped; stopped = 0; missed = 0
      :: else
      fi;
      assert(!owed[me] && !linked_[me]); /* nobody comes for this frame any more */
      alive[me] = 0;
      woken[me] = 0;
      cancelled_[me] = 0
    };

    finish: atomic {
      assert(result_[me] != NO_RESULT || timed_out || was_stopped);
      assert(result_[me] == NO_RESULT || result_[me] >= FAILURE(0) || objects[result_[me]] >= WHOLE);
      result_[me] = 0;
      waits_for[me] = 0;
      called[me] = 0;
      does = 0;
      result = 0;
      first = 0;
      waits = 0;
      timed = 0;
      timed_out = 0;
      was_stopped = 0
    }
  od
}

/* wait(): until nobody is inside since before `before`. */
#if BORROWERS == 0
#define wait() skip
#else
inline wait() {
  atomic {
    epoch_++;
#ifdef BUG_EPOCH_TOO_OLD
    before = epoch_ - 1
#else
    before = epoch_
#endif
  };
  /* The last round of any_before(): each participant is found outside, or inside since later. */
  i = 0;
  do
  :: i == BORROWERS -> break
  :: i < BORROWERS && (inside_[i] == 0 || inside_[i] >= before) -> i++
  :: i < BORROWERS -> kept = 1; break /* time is up: the service is kept */
  od;
  i = 0;
  before = 0
}
#endif

proctype Retirer() {
  byte times, old, i, before;
  bit kept;
  do
  :: times == TIMES -> break
  :: else ->
    times++;
#ifdef BUG_WAIT_FIRST
    wait();
#endif
    atomic {
      TAKE_MUTEX;
      if
#ifndef BUG_RESET_WHILE_CONSTRUCTING
      :: state_ == CONSTRUCTING
      :: state_ != CONSTRUCTING -> state_ = EMPTY; old = value_; value_ = 0; ready_ = 0 /* reset() */
#else
      :: state_ = EMPTY; old = value_; value_ = 0; ready_ = 0
#endif
      :: state_ == READY -> state_ = FAILED; error_ = value_; old = value_; value_ = 0; ready_ = 0 /* fail_with() */
      fi;
      UNLOCK
    };
#ifndef BUG_WAIT_FIRST
    if
    :: old != 0 -> wait()
    :: else
    fi;
#endif
    atomic {
      if
      :: old != 0 && !kept -> assert(objects[old] == WHOLE); objects[old] = RETIRED
      :: else
      fi;
      old = 0;
      kept = 0
    }
  od
}

#if BORROWERS > 0
proctype Borrower(byte me) {
  byte times, epoch, borrowed;
  do
  :: times == TIMES -> break
  :: else ->
    times++;
#ifdef BUG_BORROW_FIRST
    borrowed = ready_;
#endif
    epoch = epoch_;
#ifdef BUFFERED
    atomic { inside_buffer[me] = epoch; inside_pending[me] = 1; epoch = 0 };
#ifndef BUG_NO_FENCE
    !inside_pending[me];
#endif
#else
    atomic { inside_[me] = epoch; epoch = 0 };
#endif
#ifndef BUG_BORROW_FIRST
    borrowed = ready_;
#endif
    if
    :: borrowed != 0 ->
      assert(objects[borrowed] == WHOLE);
      assert(objects[borrowed] == WHOLE);
      borrowed = 0
    :: else
    fi;
#ifdef BUFFERED
    atomic { !inside_pending[me] -> inside_[me] = 0 }
#else
    inside_[me] = 0
#endif
  od
}
#endif

init {
  byte n;
  atomic {
    do
    :: n < CALLERS -> run Caller(n); n++
    :: else -> n = 0; break
    od;
    do
    :: n < RETIRERS -> run Retirer(); n++
    :: else -> n = 0; break
    od;
#if BORROWERS > 0
    do
    :: n < BORROWERS -> run Borrower(n); n++
    :: else -> n = 0; break
    od;
#endif
#ifdef LIMITS
    has_token = 1;
    run Canceller();
#endif
  };
  /* All have ended, and the attempts that nobody waits for any more. */
  _nr_pr == 1 + OTHERS && state_ != CONSTRUCTING;
  assert(!mutex_ && !in_factory && elsewhere == 0)
}
