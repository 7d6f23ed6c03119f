/*
 * Identifiers and number ranges that more than one program must agree on.
 *
 * Names in the file system, in cgroups and in the firewall are derived from validated ids only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* 'i' and 20 characters of [a-z0-9]. */
enum { SANDBOX_ID_LEN = 21 };
bool id_is_sandbox(const char *s);
/* 20 characters of [a-z0-9]. */
enum { TEMPLATE_ID_LEN = 20 };
bool id_is_template(const char *s);
/* What people call a template: [a-z0-9] then up to 62 of [a-z0-9_-]. */
enum { TEMPLATE_ALIAS_MAX = 63 };
bool id_is_alias(const char *s);
void id_new_sandbox(char dst[static SANDBOX_ID_LEN + 1]);
void id_new_template(char dst[static TEMPLATE_ID_LEN + 1]);
/* Random UUID (version 4) as text. */
void id_new_uuid(char dst[static 37]);

/*
 * Several Silica instances may run on one host, each with its own data folder. An instance has a
 * number; address slots, uid ranges and names are divided by it.
 */
enum { INSTANCE_MAX = 16, SLOTS_PER_INSTANCE = 2048 };

/* silicad runs as this uid and gid plus the instance number: no account is needed. */
#define DAEMON_UID_BASE 0x6fff0000u
/* silica-dns, the sandboxes' nameserver, likewise; and the port where the host's end of a link has it. */
#define DNS_UID_BASE 0x6fff0100u
enum { DNS_PORT_BASE = 5310 }; /* plus the instance number, UDP and TCP */
/* Slot s of instance n owns the uids UID_BASE + (n * SLOTS_PER_INSTANCE + s) * 65536 and up. */
#define SANDBOX_UID_BASE  0x70000000u
#define SANDBOX_UID_RANGE 65536u

/*
 * Outer addresses: 198.18.0.0/15 (RFC 2544, never routed), four for each slot: +1 the host's end,
 * +2 the sandbox's. Inside, every sandbox has the same address.
 */
#define SLOT_NET_BASE      0xc6120000u /* 198.18.0.0 */
#define SANDBOX_INNER_ADDR 0xa9fe0015u /* 169.254.0.21/30 */
#define SANDBOX_GATEWAY    0xa9fe0016u /* 169.254.0.22 */
enum { SLOT_ADDRS = 4, SLOT_HOST_AT = 1, SLOT_SANDBOX_AT = 2 };
enum { ENVD_PORT = 49983 };

/* The slot of the instance's sandbox with this outer address (host byte order); -1 when it is none. */
int id_slot_of_addr(unsigned instance, uint32_t addr);
