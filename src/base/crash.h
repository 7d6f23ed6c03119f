/*
 * Named moments at which a test may end a program, or somebody beside it.
 *
 * CRASH_POINT("area.what") is nothing at all unless the tree was configured with -Dcrash_points=true
 * (`make crash`). There, the environment's SILICA_CRASH names a file, and a point looks whether it says
 *
 *   ACTION NAME [COUNT]
 *
 * with the point's own name. From the COUNT-th time on (the first when it is left out; each process counts)
 *
 *   kill   the process sends itself SIGKILL. The file goes before it does, so that the program that is
 *          started again goes on, and of two processes at one point one dies
 *   wait   the process stands still until the file is gone, CRASH_WAIT_S at most, so that a test can
 *          end somebody else exactly there
 *
 * Before that, FILE.reached says "NAME PID". The file must be where silicad may read and remove it: in
 * DATA/state.
 *
 * A name is a literal, begins with the program's (priv, daemon), says what has been done, and is used
 * once: tools/crash-points lists them. A point stands between two acts whose order matters to who comes
 * after a crash.
 */
#pragma once

#ifdef SILICA_CRASH_POINTS

enum { CRASH_POINTS_BUILT = 1 };
#define CRASH_POINT(name) crash_point(name)

/* Blocks for `wait`. Async-signal-safe calls only; leaves errno alone. Not for two threads at a time. */
void crash_point(const char *name);
/* "SILICA_CRASH=FILE", for the environment of a program that we start; NULL when nobody set it. */
const char *crash_setting(void);

#else

enum { CRASH_POINTS_BUILT = 0 };
#define CRASH_POINT(name) ((void)0)

static inline const char *crash_setting(void)
{
    return 0;
}

#endif
