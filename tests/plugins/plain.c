/* SPDX-License-Identifier: Apache-2.0
 *
 * A plugin in plain C, on gantry/abi.h alone. It also asks for more than a plugin may have. */
#include <gantry/abi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOUR_NS (INT64_C(3600) * 1000 * 1000 * 1000)

static const char manifest[] =
    "{\"id\":\"plain\",\"version\":\"1.0.0\",\"abi\":{\"major\":1,\"minor\":0},\"activation\":[\"start\"],\"services\":"
    "[\"plain\"],\"methods\":["
    "{\"name\":\"plain.echo\"},{\"name\":\"plain.never\"},{\"name\":\"plain.item\"},{\"name\":\"plain.items\","
    "\"stream\":true},{\"name\":\"plain.refuse\"},{"
    "\"name\":\"plain.posts\"},{"
    "\"name\":\"plain.timers\"}]}";

typedef struct plain {
  gantry_plugin plugin;
  const gantry_host* host;
  uint64_t open; /* the last call of plain.never */
} plain;

static void nothing(void* arg) { (void)arg; }

static int is(const gantry_msg* msg, const char* method) {
  return msg->topic.size == strlen(method) && memcmp(msg->topic.data, method, msg->topic.size) == 0;
}

static int32_t answer(const plain* self, uint64_t id, gantry_bytes payload) {
  gantry_msg msg;
  memset(&msg, 0, sizeof msg);
  msg.size = sizeof msg;
  msg.kind = GANTRY_RESPONSE;
  msg.id = id;
  msg.encoding = GANTRY_JSON;
  msg.payload = payload;
  return self->host->send(self->host->ctx, &msg);
}

/* Sends an item to whoever gives credit, stream or not, and says that it was the last. */
static int32_t last_item(const plain* self, uint64_t id) {
  gantry_msg msg;
  memset(&msg, 0, sizeof msg);
  msg.size = sizeof msg;
  msg.kind = GANTRY_ITEM;
  msg.id = id;
  msg.encoding = GANTRY_JSON;
  msg.payload.data = "1";
  msg.payload.size = 1;
  if (self->host->send(self->host->ctx, &msg) != GANTRY_OK) return 0;
  msg.payload.size = 0;
  msg.flags = GANTRY_END;
  return self->host->send(self->host->ctx, &msg);
}

static int32_t answer_count(const plain* self, uint64_t id, unsigned count) {
  char text[32];
  const int size = snprintf(text, sizeof text, "{\"taken\":%u}", count);
  const gantry_bytes payload = {text, (size_t)size};
  return answer(self, id, payload);
}

/* Asks until the host refuses. */
static unsigned posts(const plain* self) {
  unsigned taken = 0;
  while (taken < 1000000 && self->host->post(self->host->ctx, nothing, NULL) == GANTRY_OK) ++taken;
  return taken;
}

static unsigned timers(const plain* self) {
  const gantry_timers* clock = self->host->extension(self->host->ctx, GANTRY_TIMERS_EXT);
  unsigned taken = 0;
  if (clock == NULL) return 0;
  while (taken < 1000000 && clock->start(self->host->ctx, HOUR_NS, nothing, NULL) != 0) ++taken;
  return taken;
}

static int32_t start(void* ctx, gantry_bytes config) {
  (void)ctx;
  (void)config;
  return 0;
}

static int32_t deliver(void* ctx, const gantry_msg* msg) {
  plain* self = ctx;
  const gantry_bytes null = {"null", 4};
  if (msg->kind == GANTRY_STOP) return answer(self, msg->id, null);
  if (msg->kind == GANTRY_CREDIT) return last_item(self, msg->id);
  if (msg->kind == GANTRY_CANCEL) {
    (void)answer(self, msg->id, null);
    return 0;
  }
  if (msg->kind != GANTRY_CALL) return 0;
  if (is(msg, "plain.echo")) return answer(self, msg->id, msg->payload);
  if (is(msg, "plain.never")) self->open = msg->id;
  if (is(msg, "plain.never") || is(msg, "plain.item") || is(msg, "plain.items")) return 0;
  if (is(msg, "plain.posts")) return answer_count(self, msg->id, posts(self));
  if (is(msg, "plain.timers")) return answer_count(self, msg->id, timers(self));
  return GANTRY_INVALID;
}

/* Answers what is open, though it has stopped. */
static void destroy(void* ctx) {
  plain* self = ctx;
  const gantry_bytes late = {"\"late\"", 6};
  if (self->open != 0) (void)answer(self, self->open, late);
  free(self);
}

// It does not return where the environment says so.
static void hang_if_told(const gantry_host* host) {
  static const char said[] = "hangs in create";
  const gantry_bytes line = {said, sizeof said - 1};
  const char* told = getenv("GANTRY_TEST_HANG");
  if (told == NULL || strcmp(told, "create") != 0) return;
  host->log(host->ctx, GANTRY_INFO, line);
  while (1) pause();
}

static gantry_plugin* create(const gantry_host* host) {
  hang_if_told(host);
  plain* self = calloc(1, sizeof *self);
  if (self == NULL) return NULL;
  self->host = host;
  self->plugin.size = sizeof self->plugin;
  self->plugin.ctx = self;
  self->plugin.start = start;
  self->plugin.deliver = deliver;
  self->plugin.destroy = destroy;
  return &self->plugin;
}

static void describe(void* sink_ctx, void (*sink)(void* sink_ctx, gantry_bytes text)) {
  const gantry_bytes text = {manifest, sizeof manifest - 1};
  sink(sink_ctx, text);
}

__attribute__((visibility("default"))) const gantry_entry_t gantry_entry = {
    GANTRY_MAGIC, GANTRY_ABI_MAJOR, GANTRY_ABI_MINOR, sizeof(gantry_entry_t), 0, create, describe};
