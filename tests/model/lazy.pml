// SPDX-License-Identifier: Apache-2.0
//
// lazy.pml: Lazy and Quiescence (sdk/include/gantry/lazy.hpp, quiescence.hpp, waiting.hpp), for Spin. Services that wait for
// each other are in lazy_circle.pml.
//
// CALLERS callers ask GETS times each, with get(), co_await async_get() or get_async(); the factory makes something or fails;
// a failure's back-off is over or not, as it likes. -DSPAWN: there is a `spawn` function, so that all but get() leave the
// attempt to a job, which is run at any later time or dropped. -DLIMITS: caller 0 may time out or be cancelled. RETIRERS
// retire (reset(), then wait(), which may give up) or call fail_with() at any time, TIMES each. BORROWERS borrow in sections,
// TIMES each.
//
// What holds in every run, or Spin reports an error:
//   * never two attempts at once; who waited gets the result of the attempt it waited for; a service is seen whole or not
//     at all, by callers and borrowers.
//   * every caller ends: with a result, or by its own limit. A callback is called once. A cancel is not overlooked (`missed`).
//   * a waiter is woken once and nobody holds it or its operation any more when its frame ends (`owed`, `linked_`).
//   * what was borrowed in a section is not retired (wait() has not returned) before the section ends.
//
// Steps. Each step makes one access to what is shared without the mutex (ready_, epoch_, inside_, a waiter's word, a stop
// callback, the queue of jobs), or is a step of the factory. What only the holder of mutex_ touches goes with it, and so do
// locking and unlocking: nobody can tell the difference.
//   poll                  GetOp::poll: borrow() / lock; state_ and value_
//   enter                 Lazy::enter: lock; claim(), begin(), outcome() or link / construct() or construct_elsewhere()
//   get_async             Lazy::get_async: lock; begin() or outcome() / construct_elsewhere(), claim_locked()
//   construct             Lazy::construct: run_factory: half made / made / complete(): lock; value_, state_, ready_.store,
//                         the results of those who wait / each wake / each callback
//   withdraw              GetOp::cancel; by Canceller (CancelWait) or a time-out (detail::park)
//   Jobs                  Attempt::operator(): claim_locked() / construct(); or ~Attempt: claim_locked() / complete()
//   Retirer               Lazy::reset and retire, or fail_with: lock; state_, value_, ready_.store(nullptr).
//                         Quiescence::wait: epoch_.fetch_add / any_before: one inside_.load for each participant
//   Borrower              Section: epoch_.load / inside_.store / the fence; ready_.load / two uses / inside_.store(0)
//
// Not covered: memory orders other than the interleavings of whole accesses, so all that rests on acquire and release:
// ready_.store(release) in complete and take_away with ready_.load(acquire) in borrow (who sees the pointer sees the service);
// epoch_ (fetch_add acq_rel, load acquire); inside_.store(release) with any_before's acquire (the uses are over); the waiter's
// word; and the fence in wait(), which after the fetch_add of epoch_ changes nothing where an RMW is a full fence.
// -DBUFFERED covers the fence in Section: inside_.store goes through a store buffer, which the fence waits for. Nor covered:
// the Mutex, the list of participants and its lock, nested sections, the back-off's times, exceptions (a factory that throws
// fails, a `spawn` that throws drops its job), shared_ptr's count (what get() gave is never called retired).
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
#ifdef SPAWN
#define HERE (does == GET) /* constructs on this thread */
#else
#define HERE true
#endif

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
byte attempt_;
bit claimed_;
bit linked_[CALLERS];
bit callbacks_[CALLERS];

/* The callers' operations and waiters. */
bit alive[CALLERS], woken[CALLERS], cancelled_[CALLERS];
byte result_[CALLERS];
bit called[CALLERS];
bit has_token, registered, running, stopped; /* caller 0's stop callback */
bit missed; /* cancel() was false before start() was through */

#ifdef SPAWN
byte jobs[ATTEMPTS + 1]; /* by attempt; 0: none */
byte queued;             /* how many */
#define OF_NOBODY 1
#ifdef BUG_OP_AFTER_LINK
#define OF(caller) (2 + (caller))
#else
#define OF(caller) OF_NOBODY
#endif
#define SPAWN_JOB(number, owner) atomic { jobs[number] = owner; queued++ }
#endif

/* Quiescence. */
byte epoch_ = 1;
#if BORROWERS > 0
byte inside_[BORROWERS];
#endif

/* Kept for the assertions alone. */
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
#define BUFFERS BORROWERS
#else
#define BUFFERS 0
#endif
#ifdef SPAWN
#define OTHERS (BUFFERS + 1) /* processes that never end */
#define JOBS_DONE (queued == 0)
#else
#define OTHERS BUFFERS
#define JOBS_DONE true
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
  if
  :: first -> state_ = CONSTRUCTING; claimed_ = 0; attempt_++
  :: else
  fi
}
/* Under the lock. `first`: `number` is the attempt that runs, nobody had it, and now this one has. */
inline claim(number) {
#ifdef BUG_NO_CLAIM
  first = (state_ == CONSTRUCTING && attempt_ == number);
#else
  first = (state_ == CONSTRUCTING && attempt_ == number && !claimed_);
#endif
  claimed_ = claimed_ | first
}
inline claim_locked(number) {
  atomic {
    TAKE_MUTEX;
    claim(number);
    UNLOCK
  }
}

/* `result`: what came of it. */
inline construct() {
  run_factory();
  complete()
}
inline run_factory() {
  atomic { assert(!in_factory); in_factory = 1; objects[attempt_] = HALF };
#ifdef BUG_PUBLISHED_EARLY
  ready_ = attempt_;
#endif
  atomic {
    in_factory = 0;
    if
    :: objects[attempt_] = WHOLE; result = OK(attempt_)
    :: objects[attempt_] = 0; result = FAILURE(attempt_)
    fi
  }
}
inline complete() {
  atomic {
    TAKE_MUTEX;
    assert(state_ == CONSTRUCTING);
    if
    :: result == OK(attempt_) -> value_ = attempt_; state_ = READY; ready_ = attempt_
    :: else -> error_ = attempt_; state_ = FAILED
    fi;
    i = 0;
    do
    :: i < CALLERS ->
      if
      :: linked_[i] ->
        assert(alive[i] && !woken[i] && !owed[i] && waits_for[i] == attempt_);
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

#ifdef SPAWN
/* What was given to spawn: run one after another, in any order, or dropped. */
active proctype Jobs() {
  byte i, result, number;
  bit first, runs;
  bit to_wake[CALLERS], to_call[CALLERS];
end:
  do
  :: atomic {
      if
      :: jobs[1] != 0 -> number = 1
#if ATTEMPTS > 1
      :: jobs[2] != 0 -> number = 2
#endif
#if ATTEMPTS > 2
      :: jobs[3] != 0 -> number = 3
#endif
#if ATTEMPTS > 3
      :: jobs[4] != 0 -> number = 4
#endif
      fi
    };
#ifdef BUG_OP_AFTER_LINK
    /* Before it is spawned: reads op.here_ only now. */
    assert(jobs[number] == OF_NOBODY || alive[jobs[number] - OF(0)]);
#endif
    atomic {
      jobs[number] = 0;
      queued--;
      if
      :: runs = 1
      :: runs = 0
      fi
    };
#ifdef BUG_DROPPED_SILENTLY
    if
    :: runs -> claim_locked(number)
    :: else
    fi;
#else
    claim_locked(number);
#endif
    if
    :: first ->
      if
      :: runs -> run_factory()
      :: else -> result = FAILURE(attempt_)
      fi;
      complete()
    :: else
    fi;
    atomic { number = 0; result = 0; first = 0; runs = 0 }
  od
}
#endif

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
  byte does, gets, i, result, seen, number;
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
        number = attempt_;
        if
        :: result == NO_RESULT -> callbacks_[me] = 1; waits_for[me] = attempt_
        :: else
        fi;
        UNLOCK
      };
      if
      :: result != NO_RESULT -> result_[me] = result
      :: result == NO_RESULT && first ->
#ifdef SPAWN
        SPAWN_JOB(number, OF_NOBODY);
#else
        claim_locked(number);
        if
        :: first -> construct()
        :: else
        fi;
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
        if
        :: state_ == CONSTRUCTING ->
          if
          :: does == GET -> claim(attempt_) /* takes it over */
          :: else
          fi
        :: else ->
          begin();
          if
          :: first && HERE -> claimed_ = 1
          :: else
          fi
        fi;
        number = attempt_;
        if
        :: result != NO_RESULT -> result_[me] = result
        :: else ->
          waits = (!first || !HERE);
#ifndef BUG_LINK_LATE
          linked_[me] = waits;
          waits_for[me] = attempt_;
#endif
          assert(!waits || me != 0 || !missed)
        fi
      fi;
      UNLOCK
    };
#ifdef BUG_LINK_LATE
    if
    :: waits -> atomic { TAKE_MUTEX; linked_[me] = 1; waits_for[me] = attempt_; UNLOCK }
    :: else
    fi;
#endif
    if
    :: first && !waits -> construct(); result_[me] = result
#ifdef SPAWN
    :: first && waits -> SPAWN_JOB(number, OF(me))
#endif
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
      number = 0;
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
  _nr_pr == 1 + OTHERS && state_ != CONSTRUCTING && JOBS_DONE;
  assert(!mutex_ && !in_factory)
}
