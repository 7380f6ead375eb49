/* SPDX-License-Identifier: Apache-2.0
 *
 * A plugin in plain C, on gantry/abi.h alone, which says of each function when it may be called.
 * `gantry call hello_c.greet who=Ada` is answered with {"hello": {"who": "Ada"}}. */
#include <gantry/abi.h>
#include <stdlib.h>
#include <string.h>

static const char kManifest[] =
    "{\"id\":\"hello_c\",\"version\":\"1.0.0\",\"abi\":{\"major\":1,\"minor\":0},\"services\":[\"hello_c\"],"
    "\"methods\":[{\"name\":\"hello_c.greet\",\"summary\":\"Greets you with what you say\"}]}";

typedef struct plugin {
  gantry_plugin abi;
  const gantry_host* host;
} plugin;

static gantry_bytes bytes(const char* text) {
  const gantry_bytes out = {text, strlen(text)};
  return out;
}

static int is(gantry_bytes topic, const char* name) {
  return topic.size == strlen(name) && memcmp(topic.data, name, topic.size) == 0;
}

/* Every call is answered once: here, or later and from any thread. `status` is 0, or the code of an error. */
static int32_t answer(const plugin* self, uint64_t call, int32_t status, gantry_bytes payload) {
  gantry_msg msg;
  memset(&msg, 0, sizeof msg);
  msg.size = sizeof msg;
  msg.kind = GANTRY_RESPONSE;
  msg.id = call;
  msg.status = status;
  msg.payload = payload;
  return self->host->send(self->host->ctx, &msg);
}

static int32_t start(void* ctx, gantry_bytes config) {
  const plugin* self = ctx;
  (void)config; /* JSON: name, state_dir, workspaces, async, settings */
  self->host->log(self->host->ctx, GANTRY_INFO, bytes("hello_c is here"));
  return 0;
}

static int32_t greet(const plugin* self, const gantry_msg* msg) {
  static const char before[] = "{\"hello\":";
  const size_t length = sizeof before - 1 + msg->payload.size + 1;
  char* text = malloc(length);
  gantry_bytes payload = {text, length};
  int32_t sent;
  if (text == NULL) return answer(self, msg->id, -32603, bytes("{\"message\":\"out of memory\"}"));
  memcpy(text, before, sizeof before - 1);
  memcpy(text + sizeof before - 1, msg->payload.data, msg->payload.size);
  text[length - 1] = '}';
  sent = answer(self, msg->id, 0, payload);
  free(text);
  return sent;
}

static int32_t call(const plugin* self, const gantry_msg* msg) {
  if (is(msg->topic, "hello_c.greet")) return greet(self, msg);
  return answer(self, msg->id, -32601, bytes("{\"message\":\"no such method\"}"));
}

/* Messages come one at a time. Whatever is in `msg` is borrowed until this returns. */
static int32_t deliver(void* ctx, const gantry_msg* msg) {
  switch (msg->kind) {
    case GANTRY_CALL:
      return call(ctx, msg);
    case GANTRY_STOP:
      return answer(ctx, msg->id, 0, bytes("null"));
    default:
      return 0;
  }
}

static void destroy(void* ctx) { free(ctx); }

static gantry_plugin* create(const gantry_host* host) {
  plugin* self = calloc(1, sizeof *self);
  if (self == NULL) return NULL;
  self->host = host;
  self->abi.size = sizeof self->abi;
  self->abi.ctx = self;
  self->abi.start = start;
  self->abi.deliver = deliver;
  self->abi.destroy = destroy;
  return &self->abi;
}

static void describe(void* sink_ctx, void (*sink)(void* sink_ctx, gantry_bytes text)) {
  sink(sink_ctx, bytes(kManifest));
}

__attribute__((visibility("default"))) const gantry_entry_t gantry_entry = {
    GANTRY_MAGIC, GANTRY_ABI_MAJOR, GANTRY_ABI_MINOR, sizeof(gantry_entry_t), 0, create, describe};
