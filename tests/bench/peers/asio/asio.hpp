// SPDX-License-Identifier: Apache-2.0
//
// Boost.Asio's channels and C++20 coroutines. ct: one io_context with one thread and channels
// without locks; mt2: one io_context on two threads, and concurrent channels. No program closes a
// channel, because in Boost 1.81 that loses the values in it; receivers count instead.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/channel.hpp>
#include <boost/asio/experimental/concurrent_channel.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <type_traits>

#include "tests/bench/peers/common.hpp"

namespace asio = boost::asio;
using boost::system::error_code;

using Executor = asio::io_context::executor_type;
template <class T = void>
using Task = asio::awaitable<T, Executor>;
inline constexpr asio::use_awaitable_t<Executor> kAwait;

template <int Threads, class T>
using Channel = std::conditional_t<Threads == 1, asio::experimental::channel<Executor, void(error_code, T)>,
                                   asio::experimental::concurrent_channel<Executor, void(error_code, T)>>;

/// Runs and times everything that was spawned on `context`; the other threads are started before
/// the timer.
template <int Threads>
void run_all(asio::io_context& context, peer::Timer& timer) {
  peer::Team others(Threads - 1, [&](std::size_t) { context.run(); });
  timer.start();
  others.go();
  context.run();
  others.join();
  timer.stop();
}

template <int Threads>
void add_channels(std::vector<peer::Workload>& all, const std::string& suffix);
template <int Threads>
void add_broadcast(std::vector<peer::Workload>& all, const std::string& suffix);
