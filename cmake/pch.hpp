// SPDX-License-Identifier: Apache-2.0
//
// The precompiled header of the host, the plugins and their tests: headers that most units include,
// and uses of them, whose template instances are then compiled only once.
#pragma once
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <expected>
#include <filesystem>
#include <fstream>
#include <functional>
#include <gantry/channel/mpsc.hpp>
#include <gantry/channel/oneshot.hpp>
#include <gantry/deadline.hpp>
#include <gantry/fields.hpp>
#include <gantry/file_uri.hpp>
#include <gantry/json.hpp>
#include <gantry/mutex.hpp>
#include <gantry/params.hpp>
#include <gantry/plugin.hpp>
#include <gantry/plugin/coro.hpp>
#include <gantry/plugin/handler.hpp>
#include <gantry/worker_pool.hpp>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>
