/* SPDX-License-Identifier: Apache-2.0
 *
 * base/zone.h: time zones of the tz database: what the clocks of a place show at an instant, and at
 * which instant they show a time. Instants and local times count microseconds from 1970-01-01
 * 00:00:00, the former in UTC.
 * Threads: a zone does not change, so any number of threads may use one. */
#ifndef SM_BASE_ZONE_H
#define SM_BASE_ZONE_H

#include "base/arena.h"

typedef struct sm_zone sm_zone;

/**
 * Reads a zone from the machine's tz database.
 *
 * Shape     a name of the database, "Europe/Paris", or "UTC", which needs no database. The database
 *           is in $TZDIR, or in /usr/share/zoneinfo
 * Owner     *out lives in `a`
 * Errors    SM_NAME: no such zone, or no name of one; SM_CORRUPT: its file is damaged
 * Source    RFC 9636 (TZif); POSIX.1-2017 8.3 for the rule of the years behind its table
 */
sm_status sm_zone_load(sm_str name, sm_arena *a, const sm_zone **out, sm_error *e) SM_MUST_USE;
/** The name that it was loaded by; as long as the zone. */
sm_str sm_zone_name(const sm_zone *z);
/** What the clocks there show at an instant. */
int64_t sm_zone_local(const sm_zone *z, int64_t instant_us);

/* How often the clocks of a place show a time: they are put forward, and back. */
typedef enum sm_zone_shown { SM_ZONE_ONCE, SM_ZONE_TWICE, SM_ZONE_NEVER } sm_zone_shown;
/**
 * The instant at which the clocks there show a time.
 *
 * Shape     *out: of TWICE the first; of NEVER the instant at which they are put forward over it
 */
sm_zone_shown sm_zone_instant(const sm_zone *z, int64_t local_us, int64_t *out);

#endif
