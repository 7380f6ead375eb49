/* SPDX-License-Identifier: Apache-2.0
 *
 * Prints the layout and the constants of gantry/abi.h, one a line, for comparison with layout.golden. The header is
 * also what it should be in C++: this file is compiled as both. */
#include <gantry/abi.h>
#include <stdio.h>

#define SIZE(type) printf("%s size %u\n", #type, (unsigned)sizeof(type))
#define AT(type, member) printf("%s.%s %u\n", #type, #member, (unsigned)offsetof(type, member))
#define VALUE(name) printf("%s %lld\n", #name, (long long)(name))

int main(void) {
  SIZE(gantry_bytes);
  AT(gantry_bytes, data);
  AT(gantry_bytes, size);
  SIZE(gantry_msg);
  AT(gantry_msg, size);
  AT(gantry_msg, kind);
  AT(gantry_msg, flags);
  AT(gantry_msg, id);
  AT(gantry_msg, status);
  AT(gantry_msg, credit);
  AT(gantry_msg, budget_ns);
  AT(gantry_msg, origin);
  AT(gantry_msg, encoding);
  AT(gantry_msg, reserved);
  AT(gantry_msg, topic);
  AT(gantry_msg, traceparent);
  AT(gantry_msg, idempotency_key);
  AT(gantry_msg, payload);
  AT(gantry_msg, epoch);
  SIZE(gantry_host);
  AT(gantry_host, size);
  AT(gantry_host, reserved);
  AT(gantry_host, ctx);
  AT(gantry_host, send);
  AT(gantry_host, post);
  AT(gantry_host, log);
  AT(gantry_host, cancelled);
  AT(gantry_host, extension);
  SIZE(gantry_plugin);
  AT(gantry_plugin, size);
  AT(gantry_plugin, reserved);
  AT(gantry_plugin, ctx);
  AT(gantry_plugin, start);
  AT(gantry_plugin, deliver);
  AT(gantry_plugin, destroy);
  SIZE(gantry_entry_t);
  AT(gantry_entry_t, magic);
  AT(gantry_entry_t, major);
  AT(gantry_entry_t, minor);
  AT(gantry_entry_t, size);
  AT(gantry_entry_t, reserved);
  AT(gantry_entry_t, create);
  AT(gantry_entry_t, describe);
  SIZE(gantry_timers);
  AT(gantry_timers, now);
  AT(gantry_timers, start);
  AT(gantry_timers, cancel);
  SIZE(gantry_origins);
  AT(gantry_origins, describe);
  SIZE(gantry_descriptors);
  AT(gantry_descriptors, send);
  AT(gantry_descriptors, take);
  SIZE(gantry_handover);
  AT(gantry_handover, give);
  AT(gantry_handover, give_stream);
  AT(gantry_handover, take);
  VALUE(GANTRY_MAGIC);
  VALUE(GANTRY_ABI_MAJOR);
  VALUE(GANTRY_CALL);
  VALUE(GANTRY_RESPONSE);
  VALUE(GANTRY_ITEM);
  VALUE(GANTRY_CREDIT);
  VALUE(GANTRY_CANCEL);
  VALUE(GANTRY_EVENT);
  VALUE(GANTRY_PROGRESS);
  VALUE(GANTRY_GONE);
  VALUE(GANTRY_STOP);
  VALUE(GANTRY_STREAM);
  VALUE(GANTRY_END);
  VALUE(GANTRY_RESUMED);
  VALUE(GANTRY_OWN_CALL);
  VALUE(GANTRY_JSON);
  VALUE(GANTRY_CBOR);
  VALUE(GANTRY_OCTETS);
  VALUE(GANTRY_OK);
  VALUE(GANTRY_FULL);
  VALUE(GANTRY_CLOSED);
  VALUE(GANTRY_INVALID);
  VALUE(GANTRY_TRACE);
  VALUE(GANTRY_DEBUG);
  VALUE(GANTRY_INFO);
  VALUE(GANTRY_WARN);
  VALUE(GANTRY_ERROR);
  VALUE(GANTRY_MAX_DESCRIPTORS);
  printf("%s %s %s %s %s\n", GANTRY_ENTRY_SYMBOL, GANTRY_TIMERS_EXT, GANTRY_ORIGINS_EXT, GANTRY_DESCRIPTORS_EXT,
         GANTRY_HANDOVER_EXT);
  return 0;
}
