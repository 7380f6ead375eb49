/* SPDX-License-Identifier: Apache-2.0
 *
 * A plugin as it was written for the first released header, which lies beside it and is never changed. It must be built
 * and load for ever. It does a little of everything that version 1.0 offers. */
#include <gantry/abi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char manifest[] =
    "{\"id\":\"v1\",\"version\":\"1.0.0\",\"abi\":{\"major\":1,\"minor\":0},\"services\":[\"v1\"],"
    "\"publishes\":[\"v1.*\"],\"subscribes\":[\"to_v1.*\"],\"methods\":["
    "{\"name\":\"v1.echo\"},{\"name\":\"v1.fail\"},{\"name\":\"v1.later\"},{\"name\":\"v1.posted\"},"
    "{\"name\":\"v1.stream\",\"stream\":true},{\"name\":\"v1.both\",\"stream\":true},{\"name\":\"v1.call\"},"
    "{\"name\":\"v1.descriptor\"},{\"name\":\"v1.publish\"},{\"name\":\"v1.seen\"},{\"name\":\"v1.who\"},"
    "{\"name\":\"v1.never\"},{\"name\":\"v1.cancelled\"}]}";

typedef struct v1 {
  gantry_plugin plugin;
  const gantry_host* host;
  uint64_t waiting;  /* a call that is answered later */
  uint64_t outgoing; /* the call that waits for the answer to our own */
  uint64_t stream, left;
  uint64_t never;
  unsigned events, cancels, gone;
} v1;

static gantry_bytes text(const char* what) {
  gantry_bytes bytes;
  bytes.data = what;
  bytes.size = strlen(what);
  return bytes;
}
static gantry_msg message(uint16_t kind, uint64_t id, gantry_bytes payload) {
  gantry_msg msg;
  memset(&msg, 0, sizeof msg);
  msg.size = sizeof msg;
  msg.kind = kind;
  msg.id = id;
  msg.budget_ns = -1;
  msg.payload = payload;
  return msg;
}
static int32_t answer(const v1* self, uint64_t id, gantry_bytes payload) {
  const gantry_msg msg = message(GANTRY_RESPONSE, id, payload);
  return self->host->send(self->host->ctx, &msg);
}
static int is(const gantry_msg* msg, const char* method) {
  return msg->topic.size == strlen(method) && memcmp(msg->topic.data, method, msg->topic.size) == 0;
}

static void answer_later(void* arg) {
  v1* self = arg;
  (void)answer(self, self->waiting, text("\"later\""));
}

/* As many of what is left as the caller has credit for. */
static void go_on(v1* self) {
  while (self->left > 0) {
    const gantry_msg item = message(GANTRY_ITEM, self->stream, text("{\"item\":1}"));
    if (self->host->send(self->host->ctx, &item) != GANTRY_OK) return;
    --self->left;
  }
  if (self->stream != 0) (void)answer(self, self->stream, text("\"streamed\""));
  self->stream = 0;
}

static int32_t called(v1* self, const gantry_msg* msg) {
  const gantry_host* host = self->host;
  char out[128];
  if (is(msg, "v1.echo")) return answer(self, msg->id, msg->payload);
  if (is(msg, "v1.fail")) {
    gantry_msg response =
        message(GANTRY_RESPONSE, msg->id, text("{\"message\":\"it was asked to\",\"data\":{\"a\":1}}"));
    response.status = -32006;
    return host->send(host->ctx, &response);
  }
  if (is(msg, "v1.later")) {
    const gantry_timers* timers = host->extension(host->ctx, GANTRY_TIMERS_EXT);
    self->waiting = msg->id;
    return timers != NULL && timers->start(host->ctx, 1000000, answer_later, self) != 0 ? 0 : -1;
  }
  if (is(msg, "v1.posted")) {
    self->waiting = msg->id;
    return host->post(host->ctx, answer_later, self);
  }
  if (is(msg, "v1.stream")) {
    self->stream = msg->id;
    self->left = 5;
    go_on(self);
    return 0;
  }
  if (is(msg, "v1.both")) {
    gantry_msg credit = message(GANTRY_CREDIT, msg->id, text(""));
    credit.credit = 10;
    return host->send(host->ctx, &credit);
  }
  if (is(msg, "v1.call")) {
    gantry_msg call = message(GANTRY_CALL, GANTRY_OWN_CALL | 1u, msg->payload);
    call.topic = text("v1.echo");
    call.budget_ns = msg->budget_ns;
    self->outgoing = msg->id;
    return host->send(host->ctx, &call);
  }
  if (is(msg, "v1.descriptor")) {
    const gantry_descriptors* descriptors = host->extension(host->ctx, GANTRY_DESCRIPTORS_EXT);
    const gantry_msg response = message(GANTRY_RESPONSE, msg->id, text("\"with one\""));
    int32_t fd = 0;
    int32_t taken[2];
    if (descriptors == NULL || descriptors->take(host->ctx, taken, 2) != 0) return -1;
    return descriptors->send(host->ctx, &response, &fd, 1);
  }
  if (is(msg, "v1.publish")) {
    gantry_msg event = message(GANTRY_EVENT, 0, text("{\"from\":\"v1\"}"));
    event.topic = text("v1.said");
    (void)host->send(host->ctx, &event);
    return answer(self, msg->id, text("null"));
  }
  if (is(msg, "v1.seen")) {
    (void)snprintf(out, sizeof out, "{\"events\":%u,\"cancels\":%u,\"gone\":%u}", self->events, self->cancels,
                   self->gone);
    return answer(self, msg->id, text(out));
  }
  if (is(msg, "v1.who")) {
    const gantry_origins* origins = host->extension(host->ctx, GANTRY_ORIGINS_EXT);
    (void)snprintf(out, sizeof out, "{\"origins\":%s,\"unknown extension\":%s}", origins != NULL ? "true" : "false",
                   host->extension(host->ctx, "gantry.nothing/9") == NULL ? "null" : "true");
    return answer(self, msg->id, text(out));
  }
  if (is(msg, "v1.never")) {
    const gantry_msg progress = message(GANTRY_PROGRESS, msg->id, text("{\"message\":\"waiting\"}"));
    self->never = msg->id;
    return host->send(host->ctx, &progress);
  }
  if (is(msg, "v1.cancelled")) {
    return answer(self, msg->id, text(host->cancelled(host->ctx, self->never) == 1 ? "true" : "false"));
  }
  return GANTRY_INVALID;
}

static int32_t start(void* ctx, gantry_bytes config) {
  const v1* self = ctx;
  self->host->log(self->host->ctx, GANTRY_INFO, text("v1 starts"));
  return config.size > 0 ? 0 : -1;
}

static int32_t deliver(void* ctx, const gantry_msg* msg) {
  v1* self = ctx;
  switch (msg->kind) {
    case GANTRY_CALL:
      return called(self, msg);
    case GANTRY_RESPONSE: /* of our own call */
      return answer(self, self->outgoing, msg->payload);
    case GANTRY_ITEM:
      if ((msg->flags & GANTRY_END) != 0) return answer(self, msg->id, text("\"both ended\""));
      {
        const gantry_msg item = message(GANTRY_ITEM, msg->id, msg->payload);
        return self->host->send(self->host->ctx, &item);
      }
    case GANTRY_CREDIT:
      go_on(self);
      return 0;
    case GANTRY_CANCEL:
      ++self->cancels;
      return answer(self, msg->id, text("null"));
    case GANTRY_EVENT:
      if (!is(msg, "host.plugin.config")) ++self->events;
      return 0;
    case GANTRY_GONE:
      ++self->gone;
      return 0;
    case GANTRY_STOP:
      return answer(self, msg->id, text("null"));
    default:
      return 0;
  }
}

static void destroy(void* ctx) { free(ctx); }

static gantry_plugin* create(const gantry_host* host) {
  v1* self = calloc(1, sizeof *self);
  if (self == NULL) return NULL;
  self->host = host;
  self->plugin.size = sizeof self->plugin;
  self->plugin.ctx = self;
  self->plugin.start = start;
  self->plugin.deliver = deliver;
  self->plugin.destroy = destroy;
  return &self->plugin;
}

static void describe(void* sink_ctx, void (*sink)(void* sink_ctx, gantry_bytes manifest)) {
  sink(sink_ctx, text(manifest));
}

__attribute__((visibility("default"))) const gantry_entry_t gantry_entry = {
    GANTRY_MAGIC, GANTRY_ABI_MAJOR, GANTRY_ABI_MINOR, sizeof(gantry_entry_t), 0, create, describe};
