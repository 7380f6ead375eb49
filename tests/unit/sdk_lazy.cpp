// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <catch2/catch.hpp>
#include <gantry/lazy.hpp>
#include <thread>

using namespace gantry;

namespace {
class StillClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const override { return TimePoint(Duration(now_.load())); }
  void advance(Duration by) { now_ += by.count(); }

 private:
  std::atomic<Duration::rep> now_{1'000'000'000'000};
};
}  // namespace

TEST_CASE("lazy: many first callers construct once and get the same service") {
  std::atomic<int> constructed{0};
  Lazy<int> lazy("number", [&]() -> Result<std::shared_ptr<int>> {
    ++constructed;
    return std::make_shared<int>(42);
  });
  REQUIRE(lazy.borrow() == nullptr);
  std::vector<std::thread> callers;
  std::array<int*, 8> seen{};
  for (std::size_t i = 0; i < seen.size(); ++i) callers.emplace_back([&, i] { seen[i] = lazy.get()->get(); });
  for (auto& caller : callers) caller.join();
  REQUIRE(constructed == 1);
  for (int* p : seen) REQUIRE(p == lazy.borrow());
  REQUIRE(*lazy.borrow() == 42);
}

TEST_CASE("lazy: a failed attempt is not remembered as success, and is tried again after the back-off") {
  StillClock clock;
  int attempts = 0;
  LazyOptions options;
  options.clock = &clock;
  options.backoff.initial_delay = std::chrono::seconds(1);
  Lazy<int> lazy(
      "number",
      [&]() -> Result<std::shared_ptr<int>> {
        if (++attempts < 3) return fail(ErrorKind::unavailable, "attempt " + std::to_string(attempts));
        return std::make_shared<int>(1);
      },
      options);
  REQUIRE(lazy.get().error().message == "attempt 1");
  REQUIRE(lazy.get().error().message == "attempt 1");
  REQUIRE(attempts == 1);
  clock.advance(std::chrono::seconds(1));
  REQUIRE(lazy.get().error().message == "attempt 2");
  clock.advance(std::chrono::seconds(1));
  REQUIRE(lazy.get().error().message == "attempt 2");  // the delay has doubled
  clock.advance(std::chrono::seconds(1));
  REQUIRE(lazy.get());
  REQUIRE(attempts == 3);
}

TEST_CASE("lazy: services that construct each other on one thread are reported with the path") {
  Lazy<int>* other = nullptr;
  Lazy<int> a("a", [&]() -> Result<std::shared_ptr<int>> { return other->get(); });
  Lazy<int> b("b", [&]() -> Result<std::shared_ptr<int>> { return a.get(); });
  other = &b;
  const auto result = a.get();
  REQUIRE(!result);
  REQUIRE(result.error().message.find("a -> b -> a") != std::string::npos);
}

TEST_CASE("lazy: get_async constructs elsewhere and calls everybody who waits") {
  std::vector<std::move_only_function<void()>> elsewhere;
  LazyOptions options;
  options.spawn = [&](std::move_only_function<void()> job) { elsewhere.push_back(std::move(job)); };
  Lazy<int> lazy("number", []() -> Result<std::shared_ptr<int>> { return std::make_shared<int>(5); }, options);
  int called = 0;
  for (int i = 0; i < 3; ++i) lazy.get_async([&](const Result<std::shared_ptr<int>>& r) { called += **r; });
  REQUIRE(called == 0);
  REQUIRE(elsewhere.size() == 1);
  elsewhere[0]();
  REQUIRE(called == 15);
}

TEST_CASE("lazy: an exception in the factory is a failure, not a crash") {
  Lazy<int> lazy("number", []() -> Result<std::shared_ptr<int>> { throw std::runtime_error("boom"); });
  const auto result = lazy.get();
  REQUIRE(!result);
  REQUIRE(result.error().message.find("boom") != std::string::npos);
}
