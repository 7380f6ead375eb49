// SPDX-License-Identifier: Apache-2.0
//
// A plugin that uses gantry/app_state.hpp as its comment shows. It is no part of the product.
#include <gantry/app_state.hpp>
#include <gantry/params.hpp>
#include <gantry/plugin.hpp>

namespace {

using namespace gantry;

struct Review {
  int files = 0;
  std::string reviewer;
};
BOOST_DESCRIBE_STRUCT(Review, (), (files, reviewer))

class Stateful {
 public:
  explicit Stateful(const Host& host) : app_(host) {}

  void wraps(Call call) {
    const auto held = std::make_shared<Call>(std::move(call));
    app_.preference<bool>("word_wrap", [held](const Result<std::optional<bool>>& wraps) {
      if (!wraps) return held->reply_error(wraps.error());
      held->reply({{"wraps", *wraps ? json(**wraps) : json("never set")}});
    });
  }
  void set_wrap(Call call) {
    const json params = call.params();
    const auto held = std::make_shared<Call>(std::move(call));
    const auto persist = params.value("later", false) ? Persist::later : Persist::before_answer;
    app_.set_preference(
        "word_wrap", params.value("on", true),
        [held](const Result<void>& done) {
          if (!done) return held->reply_error(done.error());
          held->reply(json::object());
        },
        persist);
  }
  /// One more file of the session's review.
  void review(Call call) {
    const json params = call.params();
    const auto held = std::make_shared<Call>(std::move(call));
    app_.update_session<Review>(
        params.value("session", ""), "review",
        [by = params.value("by", "")](Review& review) -> Result<void> {
          if (by.empty()) return fail(ErrorKind::invalid_params, "who?");
          ++review.files;
          review.reviewer = by;
          return {};
        },
        [held](const Result<Review>& written) {
          if (!written) return held->reply_error(written.error());
          held->reply({{"files", written->files}});
        });
  }
  void models(Call call) {
    const auto held = std::make_shared<Call>(std::move(call));
    (void)app_.ai().call("models", json::object(), [held](const Result<CallAnswer>& answer) {
      if (!answer) return held->reply_error(answer.error());
      held->reply(answer->value);
    });
  }

  static void define(Definition<Stateful>& d) {
    using P = Stateful;
    d.id("stateful").version("1.0.0").service("stateful").grant("call:state.**").grant("call:ai.**");
    d.method("stateful.wraps", &P::wraps).method("stateful.set_wrap", &P::set_wrap);
    d.method("stateful.review", &P::review).method("stateful.models", &P::models);
  }

 private:
  AppState app_;
};

}  // namespace

GANTRY_PLUGIN(Stateful)
