// SPDX-License-Identifier: Apache-2.0
//
// gantry/annotations.hpp: annotations that clang's -Wthread-safety reads; empty for other
// compilers.
//
// Members that a lock protects carry GANTRY_GUARDED_BY(mutex_); functions that need the lock held
// by their caller carry GANTRY_REQUIRES(mutex_). GANTRY_ASAN is 1 in a build under
// AddressSanitizer.
#pragma once

#if defined(__clang__)
#define GANTRY_TSA(x) __attribute__((x))
#else
#define GANTRY_TSA(x)
#endif
#define GANTRY_CAPABILITY(x) GANTRY_TSA(capability(x))
#define GANTRY_SCOPED_CAPABILITY GANTRY_TSA(scoped_lockable)
#define GANTRY_GUARDED_BY(x) GANTRY_TSA(guarded_by(x))
#define GANTRY_REQUIRES(...) GANTRY_TSA(requires_capability(__VA_ARGS__))
#define GANTRY_ACQUIRE(...) GANTRY_TSA(acquire_capability(__VA_ARGS__))
#define GANTRY_RELEASE(...) GANTRY_TSA(release_capability(__VA_ARGS__))
#define GANTRY_TRY_ACQUIRE(...) GANTRY_TSA(try_acquire_capability(__VA_ARGS__))
#define GANTRY_EXCLUDES(...) GANTRY_TSA(locks_excluded(__VA_ARGS__))
#define GANTRY_NO_TSA GANTRY_TSA(no_thread_safety_analysis)

#if defined(__SANITIZE_ADDRESS__)
#define GANTRY_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GANTRY_ASAN 1
#endif
#endif
#if !defined(GANTRY_ASAN)
#define GANTRY_ASAN 0
#endif
