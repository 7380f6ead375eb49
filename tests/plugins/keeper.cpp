// SPDX-License-Identifier: Apache-2.0
//
// A plugin that has helper processes started and speaks with them. It is built as "keeper", which may have some, as
// "loafer", which may not, and as "key_holder", which is given the table of models.
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <gantry/plugin.hpp>
#include <gantry/plugin/process.hpp>
#include <map>
#include <memory>
#include <string>

namespace {

using namespace gantry;

class Keeper {
 public:
  explicit Keeper(Host host) : host_(std::move(host)) {}

  /// Whatever `process.spawn` takes, in this call's trace.
  void spawn(Call call) {
    auto shared = std::make_shared<Call>(std::move(call));
    json params = shared->params();
    params.erase("_meta");
    CallOptions options;
    options.traceparent = shared->traceparent();
    auto made =
        host_.call("process.spawn", params, std::move(options), [this, shared, params](Result<CallAnswer> answer) {
          if (!answer) return shared->reply_error(answer.error());
          json value = answer->value;
          value["descriptors"] = answer->descriptors.size();
          ends_[params.at("name")] = std::move(answer->descriptors);
          shared->reply(value);
        });
    if (!made) shared->reply_error(made.error());
  }
  /// Any other method, `of`, with the rest of the params.
  void ask(Call call) {
    auto shared = std::make_shared<Call>(std::move(call));
    json params = shared->params();
    const std::string method = params.at("of");
    params.erase("of");
    params.erase("_meta");
    auto made = host_.call(method, params, {}, [shared](Result<CallAnswer> answer) {
      if (!answer) return shared->reply_error(answer.error());
      shared->reply(answer->value);
    });
    if (!made) shared->reply_error(made.error());
  }
  Result<json> writes(Call& call) {
    const json p = call.params();
    const std::string text = p.at("text");
    const int fd = ends_.at(p.at("name")).front().get();
    if (text.empty()) return json{{"sent", ::shutdown(fd, SHUT_WR)}};
    return json{{"sent", ::write(fd, text.data(), text.size())}};
  }
  /// A line from the n-th of its descriptors; what there is when it ends.
  Result<json> reads(Call& call) {
    const json p = call.params();
    const int fd = ends_.at(p.at("name")).at(p.value("from", 1)).get();
    std::string line;
    for (char byte = 0; ::read(fd, &byte, 1) == 1 && byte != '\n';) line += byte;
    return json{{"line", line}};
  }
  Result<json> dies(Call&) { std::_Exit(1); }

  static void define(Definition<Keeper>& d) {
    const std::string name = KEEPER;
    d.id(name).version("1.0.0").service(name);
    if (name == "key_holder") d.settings("ai");
    if (name == "keeper") d.grant("processes").grant("read:/").grant("write:$STATE/shared").grant("network");
    d.method(name + ".spawn", &Keeper::spawn);
    d.method(name + ".ask", &Keeper::ask, {.summary = "asks the host", .keeps_time = true});
    d.method(name + ".writes", &Keeper::writes);
    d.method(name + ".reads", &Keeper::reads);
    d.method(name + ".dies", &Keeper::dies);
  }

 private:
  Host host_;
  std::map<std::string, Descriptors> ends_;
};

}  // namespace

GANTRY_PLUGIN(Keeper)
