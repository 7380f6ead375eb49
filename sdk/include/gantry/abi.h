/* SPDX-License-Identifier: Apache-2.0
 *
 * gantry/abi.h: the boundary between the host and a plugin. C11, self-contained.
 *
 * Version 1, frozen: nothing here is ever changed or removed; additions are possible (docs/abi.md).
 *
 * A plugin is a shared library that exports one symbol, `gantry_entry`. Host and plugin exchange messages;
 * no C++ type, no exception and no ownership crosses. Whatever is passed in is borrowed until the call
 * returns: the receiver copies what it keeps. Nothing is freed across the boundary.
 *
 * Each function says where and when it may be called: [thread, state].
 *   serial        on the plugin's symbolic thread: never two such calls at once, happens-before is given,
 *                 but not always the same OS thread. The host never makes a re-entrant call.
 *   any-thread    from any thread, also from inside serial calls.
 *   loading       while the library is loaded or scanned; nothing else of this object runs.
 *   created       from the return of `create` on, until `destroy` is called.
 *   running       from the return of a successful `start` on, until `destroy` is called.
 *   stopping      from the delivery of GANTRY_STOP on, until `destroy` is called.
 *   alive         from the return of `create` on, until `destroy` returns.
 * A function borrows a pointer argument for the call, unless its comment names another owner. `ctx` is always the
 * object's own.
 *
 * Structs grow at the end only. Each begins with its `size` as its writer knows it; a reader takes a member
 * only if `size` covers it.
 */
#ifndef GANTRY_ABI_H
#define GANTRY_ABI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GANTRY_MAGIC 0x59544E47u /* "GNTY" */
#define GANTRY_ABI_MAJOR 1u
#define GANTRY_ABI_MINOR 0u
#define GANTRY_ENTRY_SYMBOL "gantry_entry"

/* Borrowed bytes; `data` may be NULL when `size` is 0. Text is UTF-8 and is not terminated. */
typedef struct gantry_bytes {
  const char* data;
  size_t size;
} gantry_bytes;

enum gantry_kind {
  GANTRY_CALL = 1, /* host to plugin: a method is called. Plugin to host: it calls a service, or, with `origin`, back
                    * to that client; its id has GANTRY_OWN_CALL. topic = method */
  GANTRY_RESPONSE = 2, /* the one answer to a call, to either side's. status, payload = result or error object */
  GANTRY_ITEM = 3,     /* one item of a stream, either direction; END: this direction has ended */
  GANTRY_CREDIT = 4,   /* the receiver of items allows `credit` more */
  GANTRY_CANCEL = 5,   /* the caller, host or plugin, has lost interest; a response is still owed */
  GANTRY_EVENT = 6,    /* topic, payload. From a plugin: publish. To a plugin: something it subscribed to */
  GANTRY_PROGRESS = 7, /* from the callee: payload {"message"?, "percentage"?} */
  GANTRY_GONE = 8,     /* host to plugin: `origin` has left, and will neither read nor send any more */
  GANTRY_STOP = 9      /* host to plugin: finish within `budget_ns`, then answer with a RESPONSE to this id */
};

enum gantry_flag {
  GANTRY_STREAM = 1, /* CALL: opened as a stream; `credit` items may be sent to the caller at first */
  GANTRY_END = 2,    /* ITEM: the last one in its direction; it carries no payload */
  GANTRY_RESUMED = 4 /* CALL, host to plugin: the stream was opened with the instance before, which has handed it over;
                      * topic, params, origin and id are the original ones, `credit` is what is left of it */
};

/* A bit that is set in the ids of the calls that a plugin makes, and in no other. The plugin chooses these ids itself,
 * and does not use the id of an open call again. */
#define GANTRY_OWN_CALL (UINT64_C(1) << 63)

enum gantry_encoding { GANTRY_JSON = 0, GANTRY_CBOR = 1, GANTRY_OCTETS = 2 };

/* What `send` and `post` return. Negative: the message was not taken. */
enum gantry_sent {
  GANTRY_OK = 0,
  GANTRY_FULL = -1,   /* no credit left, or the queue is full: try again after a CREDIT or later */
  GANTRY_CLOSED = -2, /* that call is over (answered, timed out, its caller gone), or the plugin is stopping */
  GANTRY_INVALID = -3 /* malformed: unknown kind or id, payload not valid for its encoding, over the limit */
};

enum gantry_level { GANTRY_TRACE = 0, GANTRY_DEBUG, GANTRY_INFO, GANTRY_WARN, GANTRY_ERROR };

typedef struct gantry_msg {
  uint32_t size; /* sizeof(gantry_msg) */
  uint16_t kind; /* enum gantry_kind */
  uint16_t flags;
  uint64_t id;        /* of the call; for GANTRY_EVENT from a plugin with a log of its own: the sequence number */
  int32_t status;     /* RESPONSE: 0, or the JSON-RPC error code */
  uint32_t credit;    /* CALL with GANTRY_STREAM, CREDIT: items */
  int64_t budget_ns;  /* CALL, STOP: time left at the delivery of the message; negative: no deadline */
  uint64_t origin;    /* to a plugin, CALL, GONE: which client or plugin; 0: the host itself. From a plugin, CALL: the
                       * client that is called back; 0: a service */
  uint32_t encoding;  /* of the payload: enum gantry_encoding */
  uint32_t reserved;  /* 0 */
  gantry_bytes topic; /* CALL: method; EVENT: topic */
  gantry_bytes traceparent; /* W3C trace context, or empty */
  gantry_bytes idempotency_key;
  gantry_bytes payload;
  gantry_bytes epoch; /* EVENT from a plugin with a log of its own: that log's epoch; else empty */
} gantry_msg;

/* The functions of the host. Owned by the host; valid from `create` until `destroy` returns. */
typedef struct gantry_host {
  uint32_t size;
  uint32_t reserved;
  void* ctx;
  /* [any-thread, alive, once `start` was called] Copies the message, never blocks, never calls back into the plugin. */
  int32_t (*send)(void* ctx, const gantry_msg* msg);
  /* [any-thread, alive, once `start` was called] Runs fn(arg) serially, after earlier posts. A post that was taken
   * (GANTRY_OK) runs exactly once, before `destroy`; `arg` is owned by the plugin. */
  int32_t (*post)(void* ctx, void (*fn)(void* arg), void* arg);
  /* [any-thread, alive] One line; control characters are escaped by the host. level: enum gantry_level */
  void (*log)(void* ctx, int32_t level, gantry_bytes line);
  /* [any-thread, alive] 1 if the call, made to or by the plugin, is cancelled, over or unknown; else 0. No I/O. */
  int32_t (*cancelled)(void* ctx, uint64_t id);
  /* [any-thread, alive, also within `create`] A vtable named "gantry.NAME/REV", or NULL: a plugin must work
   * without it. Owned by the host; valid while the plugin is alive; its functions take gantry_host's ctx. */
  const void* (*extension)(void* ctx, const char* id);
} gantry_host;

/* The object that `create` returns. Owned by the plugin until `destroy`. */
typedef struct gantry_plugin {
  uint32_t size;
  uint32_t reserved;
  void* ctx;
  /* [serial, created, once] config: JSON {name, state_dir, workspaces[], async{}, settings{}}. 0, or a JSON-RPC error
   * code after logging why; after a failure only `destroy` follows. May block. */
  int32_t (*start)(void* ctx, gantry_bytes config);
  /* [serial, running] Must return soon if the manifest says `nonblocking`. A negative result answers an open call with
   * `internal`. */
  int32_t (*deliver)(void* ctx, const gantry_msg* msg);
  /* [serial, created, once] The last call; the object is gone with it. No thread of the plugin runs and no host
   * function is called after it returns. */
  void (*destroy)(void* ctx);
} gantry_plugin;

/* The exported symbol `gantry_entry` is an object of this type. */
typedef struct gantry_entry_t {
  uint32_t magic; /* GANTRY_MAGIC */
  uint16_t major;
  uint16_t minor;
  uint32_t size; /* sizeof(gantry_entry_t) */
  uint32_t reserved;
  /* [loading] The object, which the plugin owns until `destroy`; NULL when out of memory. May be called
   * several times in one process, for objects that live side by side; calls no function of the host but `extension`. */
  gantry_plugin* (*create)(const gantry_host* host);
  /* [loading] Hands the manifest (JSON) to `sink` once. Has no side effects. */
  void (*describe)(void* sink_ctx, void (*sink)(void* sink_ctx, gantry_bytes manifest));
} gantry_entry_t;

/* ---- extensions ---------------------------------------------------------------------------------------------- */

/* Timers on the host's clock. */
#define GANTRY_TIMERS_EXT "gantry.timers/1"
typedef struct gantry_timers {
  uint32_t size;
  uint32_t reserved;
  /* [any-thread, alive] Nanoseconds on a steady clock; the origin is arbitrary. */
  int64_t (*now)(void* ctx);
  /* [any-thread, alive, once `start` was called] Runs fn(arg) serially, once, `delay_ns` from now, and returns a
   * non-zero id; 0: too many timers. A timer that has not run when `destroy` is called never runs; `arg` is owned by
   * the plugin. */
  uint64_t (*start)(void* ctx, int64_t delay_ns, void (*fn)(void* arg), void* arg);
  /* [any-thread, alive] 1: the timer will not run. 0: it has run, or is about to. */
  int32_t (*cancel)(void* ctx, uint64_t id);
} gantry_timers;

/* Information about the client or plugin that called. */
#define GANTRY_ORIGINS_EXT "gantry.origins/1"
typedef struct gantry_origins {
  uint32_t size;
  uint32_t reserved;
  /* [any-thread, alive] Hands JSON {client, version, workspace} to `sink` and returns 1; 0: unknown or gone. */
  int32_t (*describe)(void* ctx, uint64_t origin, void* sink_ctx, void (*sink)(void* sink_ctx, gantry_bytes json));
} gantry_origins;

/* File descriptors with a CALL and with its answer, both ways. At most GANTRY_MAX_DESCRIPTORS each. A client outside
 * the host can neither send nor receive them. */
#define GANTRY_DESCRIPTORS_EXT "gantry.descriptors/1"
#define GANTRY_MAX_DESCRIPTORS 16u
typedef struct gantry_descriptors {
  uint32_t size;
  uint32_t reserved;
  /* [any-thread, alive, once `start` was called] As gantry_host.send, with duplicates of `fds`. GANTRY_INVALID: the
   * message is neither CALL nor RESPONSE, one of `fds` is not open, or they are too many. GANTRY_FULL: no more can be
   * duplicated now. */
  int32_t (*send)(void* ctx, const gantry_msg* msg, const int32_t* fds, uint32_t count);
  /* [serial, running] Within `deliver`: hands over the descriptors that came with the message, which the plugin owns
   * from here on, and returns how many. Those that are not taken before `deliver` returns, or that `max` leaves out,
   * are closed. */
  uint32_t (*take)(void* ctx, int32_t* fds, uint32_t max);
} gantry_descriptors;

/* State and streams that an instance hands over to the next one, when the plugin is reloaded as `handover`. */
#define GANTRY_HANDOVER_EXT "gantry.handover/1"
typedef struct gantry_handover {
  uint32_t size;
  uint32_t reserved;
  /* [any-thread, stopping] Before the RESPONSE to STOP: keeps a copy of these bytes, whatever they are; the last call
   * counts. GANTRY_CLOSED: no instance comes next, or this one is not stopping. GANTRY_FULL: more than the host's
   * limit for a message. */
  int32_t (*give)(void* ctx, gantry_bytes state);
  /* [any-thread, stopping] Before the RESPONSE to STOP: gives this stream, which is open and unanswered, to the next
   * instance. This one sends no message about it any more. GANTRY_CLOSED: as above, or the call is no open stream. */
  int32_t (*give_stream)(void* ctx, uint64_t id);
  /* [serial, created] Within `start`: hands the state of the instance before to `sink` and returns 1; 0: none. */
  int32_t (*take)(void* ctx, void* sink_ctx, void (*sink)(void* sink_ctx, gantry_bytes state));
} gantry_handover;

#ifdef __cplusplus
}
#endif
#endif
