// SPDX-License-Identifier: Apache-2.0
//
// lazy_circle.pml: services that wait for each other (sdk/include/gantry/lazy.hpp, detail/lazy_graph.hpp), for Spin.
//
// THREADS threads ask GETS times each, with get(), for any of SERVICES services. A factory needs no other service, or any one
// (itself, too), and succeeds or fails. -DTIMED: a wait may time out.
//
// What holds in every run, or Spin reports an error:
//   * every get() ends: a circle of waits, over any number of threads, would be an invalid end state.
//   * what is refused is a circle: each service on the path is being constructed by a thread that waits for the next one.
//   * a service has one attempt at a time; a waiter is woken once.
//
// Steps. The graph's mutex is held for one look or change at a time and nothing is locked under it: each is one step. What
// only the holder of a service's mutex touches goes with the step before or after.
//   GET                   Lazy::enter: lock; begin(), or LazyGraph::enter: the walk and the edge; link; unlock
//   BUILD                 run_factory: LazyGraph::Constructing(), an edge from the service around it
//   BUILT                 ~Constructing, its edge goes / Lazy::complete: lock; state_; those who wait / LazyGraph::leave for
//                         each / unlock / wakes
//   WAIT                  detail::park / GetOp::cancel: lock; unlink; LazyGraph::leave; unlock
//
// Not covered: memory orders (all here lies under one of the mutexes; the waiter's word is acq_rel); poll(), which only
// finds what enter() would find; other limits, async_get() and get_async(), whose attempts are taken over (lazy.pml) and
// which never wait inside a factory; a factory that needs several services, one after the other.
//
// Mutations, each of which Spin must find: see BUG_ below.

#ifndef THREADS
#define THREADS 2
#endif
#ifndef SERVICES
#define SERVICES 2
#endif
#ifndef GETS
#define GETS 1
#endif

#define EMPTY 0
#define CONSTRUCTING 1
#define READY 2
#define FAILED 3

/* Services, from 1; 0: none. */
bit mutex_[SERVICES + 1];
byte state_[SERVICES + 1];
byte edges[SERVICES + 1]; /* the graph */

/* Each thread's wait: for which service, as which construction; what came. */
byte linked_[THREADS], waits_as[THREADS];
bit alive[THREADS], woken[THREADS], ok_[THREADS];

/* Kept for the assertions alone. */
byte constructs[SERVICES + 1]; /* 1 + the thread */

inline any_service() {
  if
  :: service = 1
  :: service = 2
#if SERVICES > 2
  :: service = 3
#endif
  fi
}
inline leave(node) {
  atomic {
    if
    :: node != 0 -> edges[node] = 0
    :: else
    fi
  }
}
/* `at`: the first service on the way from `service` that this thread constructs; 0: none. */
inline walk() {
  d_step {
    at = service;
    do
    :: i = 0;
      do
      :: i < depth && stack[i] != at -> i++
      :: else -> break
      od;
      if
      :: i < depth -> break
      :: else -> at = edges[at]
      fi;
      if
      :: at == 0 -> break
      :: else
      fi
    od;
    i = 0
  }
}
inline is_a_circle() {
  d_step {
    at = service;
    do
    :: constructs[at] == me + 1 -> break
    :: else ->
      assert(constructs[at] != 0); /* else nobody constructs it: it would not be waited for */
      at = linked_[constructs[at] - 1];
      assert(at != 0) /* else its thread does not wait */
    od
  }
}

proctype Thread(byte me) {
  byte gets, service, at, i, depth;
  byte stack[SERVICES];
  bit ok, timed, timed_out;
  bit to_wake[THREADS];

  do
  :: gets == GETS -> break
  :: else ->
    gets++;
    any_service();

    GET: atomic {
      !mutex_[service];
      if
      :: state_[service] == READY -> ok = 1; goto RETURNED
      :: state_[service] == FAILED -> ok = 0; goto RETURNED /* the back-off is not over */
      :: state_[service] == EMPTY || state_[service] == FAILED ->
        state_[service] = CONSTRUCTING;
        assert(constructs[service] == 0);
        constructs[service] = me + 1;
        goto BUILD
      :: state_[service] == CONSTRUCTING
      fi;
#ifdef BUG_NO_GRAPH
      at = 0;
#else
      walk();
#endif
      if
      :: at != 0 -> is_a_circle(); at = 0; ok = 0; goto RETURNED /* refused */
      :: else
      fi;
#ifdef BUG_TWO_LOOKS
      mutex_[service] = 1
    };
    atomic {
      mutex_[service] = 0;
#endif
      if
      :: depth != 0 -> waits_as[me] = stack[depth - 1]; edges[waits_as[me]] = service
      :: else
      fi;
      alive[me] = 1;
      linked_[me] = service;
#ifdef TIMED
      if
      :: timed = 0
      :: timed = 1
      fi
#endif
    };

    /* WAIT */
    if
    :: woken[me]
#ifdef TIMED
    :: atomic { timed && !woken[me] -> timed_out = 1 };
      atomic {
        !mutex_[service];
        timed_out = (linked_[me] != 0);
        linked_[me] = 0;
#ifndef BUG_LEAVE_AFTER_CANCEL
        if
        :: timed_out -> leave(waits_as[me])
        :: else
        fi
#endif
      };
      if
#ifdef BUG_LEAVE_AFTER_CANCEL
      :: timed_out -> leave(waits_as[me])
#else
      :: timed_out
#endif
      :: else -> woken[me]
      fi
#endif
    fi;
#ifdef BUG_LEAVE_LATE
    leave(waits_as[me]);
#endif
    atomic {
      ok = ok_[me] && !timed_out;
      timed_out = 0;
      timed = 0;
      alive[me] = 0;
      woken[me] = 0;
      ok_[me] = 0;
      waits_as[me] = 0
    };
    goto RETURNED;

    BUILD: atomic {
#ifndef BUG_NO_STACK_EDGES
      if
      :: depth != 0 -> edges[stack[depth - 1]] = service
      :: else
      fi;
#endif
      stack[depth] = service;
      depth++
    };
    if
    :: atomic { ok = 1; goto BUILT }
    :: atomic { ok = 0; goto BUILT }
    :: atomic { any_service(); goto GET }
    fi;

    BUILT: atomic {
      depth--;
      service = stack[depth];
      stack[depth] = 0;
      if
      :: depth != 0 -> edges[stack[depth - 1]] = 0
      :: else
      fi
    };
    atomic {
      !mutex_[service] -> mutex_[service] = 1;
      assert(state_[service] == CONSTRUCTING);
      state_[service] = (ok -> READY : FAILED);
      constructs[service] = 0;
      i = 0;
      do
      :: i < THREADS ->
        if
        :: linked_[i] == service ->
          assert(alive[i] && !woken[i]);
          linked_[i] = 0;
          ok_[i] = ok;
          to_wake[i] = 1
        :: else
        fi;
        i++
      :: else -> i = 0; break
      od
    };
    do
    :: i < THREADS ->
#ifndef BUG_LEAVE_LATE
      if
      :: to_wake[i] -> leave(waits_as[i])
      :: else
      fi;
#endif
      i++
    :: else -> i = 0; break
    od;
    mutex_[service] = 0;
    do
    :: i < THREADS ->
      if
      :: to_wake[i] -> atomic { assert(alive[i] && !woken[i]); woken[i] = 1; to_wake[i] = 0 }
      :: else
      fi;
      i++
    :: else -> i = 0; break
    od;

    RETURNED: if
    :: depth != 0 ->
      /* The factory that needed it: it may also do without. */
      if
      :: ok
      :: !ok
      :: !ok -> ok = 1
      fi;
      goto BUILT
    :: else
    fi;
    atomic { service = 0; ok = 0 }
  od
}

init {
  byte n;
  atomic {
    do
    :: n < THREADS -> run Thread(n); n++
    :: else -> n = 0; break
    od
  };
  _nr_pr == 1;
  do
  :: n < SERVICES -> n++; assert(edges[n] == 0 && !mutex_[n] && constructs[n] == 0)
  :: else -> break
  od
}
