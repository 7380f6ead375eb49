// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <cstring>
#include <gantry/json.hpp>

#include "host/protocols/rpc/envelope.hpp"
#include "tests/unit/support/threads.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace std::string_literals;

namespace {
struct Reader {
  EnvelopeParser parser{1 << 20, 64, 100};
  std::string text;
  Result<RpcParsed> operator()(std::string_view message) {
    text.assign(message);
    text.append(64, '\0');
    RpcParsed parsed;
    if (auto ok = parser.parse(std::string_view(text.data(), message.size()), parsed); !ok)
      return std::unexpected(ok.error());
    return parsed;
  }
};
}  // namespace

TEST_CASE("envelope: id and params are handed on as the bytes that came") {
  Reader read;
  const auto parsed =
      read(R"( {"id" : "a\u0062" , "params":{ "x" : [1, 2.50] ,"s":"\"}{"}, "method":"m.n","jsonrpc":"2.0"} )");
  REQUIRE(parsed);
  const auto& m = parsed->messages.at(0);
  REQUIRE(m.kind == RpcMessage::Kind::call);
  REQUIRE(m.id == R"("a\u0062")");
  REQUIRE(m.params == R"({ "x" : [1, 2.50] ,"s":"\"}{"})");
  REQUIRE(m.method == "m.n");
  REQUIRE(read.parser.raw_member(m.params, "x") == "[1, 2.50]");
  REQUIRE(read.parser.raw_member(m.params, "s") == R"("\"}{")");
  REQUIRE(read.parser.raw_member(m.params, "none").empty());
}

TEST_CASE("envelope: malformed text is refused also inside what is skipped") {
  Reader read;
  for (const char* bad :
       {"{", "nonsense", "\xEF\xBB\xBF{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\"}",
        R"({"jsonrpc":"2.0","id":1,"method":"a","params":{"x":[1,}})",
        R"({"jsonrpc":"2.0","id":1,"method":"a","params":{"x":nul}})", R"({"jsonrpc":"2.0","id":1,"method":"a"} x)",
        R"({"jsonrpc":"2.0","id":1,"method":"a","params":{"x":"\q"}})", "{\"jsonrpc\":\"2.0\",\"x\":\"\xff\"}",
        R"({"jsonrpc":"2.0","id":1,"method":"a","params":{"x":01}})"}) {
    const auto parsed = read(bad);
    INFO(bad);
    const auto& error = parsed ? parsed->messages.at(0).error : parsed.error();
    REQUIRE(error.kind == ErrorKind::parse_error);
  }
}

TEST_CASE("envelope: a text that cannot be taken is refused under its id, as far as its brackets and quotes show one") {
  Reader read;
  const auto text = [](const std::string& params, const std::string& id = R"("q1")") {
    return R"({"jsonrpc":"2.0", "id" : )" + id + R"(,"method":"a.b","params":{"x":)" + params + "}}";
  };
  for (const std::string& bad :
       {R"("\ud83d")"s, R"("\ude80 tail")"s, R"("\q")"s, "18446744073709551616"s, "-9223372036854775809"s, "1e400"s,
        "01"s, "nul"s, "\"\xff\""s, R"({"}":["]","\"",{"id":7}], "y" : 1e400})"s, "1e400 , \"id\":7"s}) {
    const auto parsed = read(text(bad));
    INFO(bad);
    REQUIRE(parsed);
    const auto& m = parsed->messages.at(0);
    REQUIRE(m.kind == RpcMessage::Kind::invalid);
    REQUIRE(m.id == R"("q1")");
    REQUIRE(m.error.kind == ErrorKind::parse_error);
  }
  const auto id_of = [&](const std::string& message) {
    const auto parsed = read(message);
    return parsed ? std::string(parsed->messages.at(0).id) : std::string();
  };
  REQUIRE(id_of(text("1e400", "-7")) == "-7");
  REQUIRE(id_of(text("1", "18446744073709551616")) == "18446744073709551616");  // it can be answered with
  for (const std::string& id :
       {R"("\ud83d")"s, "1e400"s, "null"s, "[1]"s, "nul"s, "\"\xff\""s, '"' + std::string(256, 'x') + '"'}) {
    CAPTURE(id);
    REQUIRE(id_of(text("1e400", id)).empty());
  }
  REQUIRE(id_of(R"({"jsonrpc":"2.0","id":1,"id":2,"method":"a","params":{"x":1e400}})").empty());
  for (const char* broken :
       {R"({"jsonrpc":"2.0","id":1,"method":"a","params":{"x":1e400)", R"({"id":1,"x":"\ud83d)",
        R"({"id":1,"x":1e400} x)", R"({"id":1,"x":1e400]})", R"({"id":1 "x":1e400})", "{", "{\"", "\\"}) {
    INFO(broken);
    REQUIRE(!read(broken));
  }
}

TEST_CASE("envelope: the messages of a batch are taken but for the one whose text cannot be") {
  Reader read;
  const auto parsed = read(R"([{"jsonrpc":"2.0","id":1,"method":"a","params":{"p":1}},)"
                           R"( {"jsonrpc":"2.0","id":2,"method":"b","params":{"p":"\ud83d"}} , 3, )"
                           R"({"jsonrpc":"2.0","method":"n","params":{"p":1e400}}])");
  REQUIRE(parsed);
  REQUIRE(parsed->batch);
  REQUIRE(parsed->messages.size() == 4);
  REQUIRE(parsed->messages[0].kind == RpcMessage::Kind::call);
  REQUIRE(parsed->messages[0].params == R"({"p":1})");
  REQUIRE(parsed->messages[1].id == "2");
  REQUIRE(parsed->messages[1].error.kind == ErrorKind::parse_error);
  REQUIRE(parsed->messages[2].error.kind == ErrorKind::invalid_request);
  REQUIRE(parsed->messages[3].id.empty());
  std::string many = R"([{"jsonrpc":"2.0","id":1,"method":"n","params":{"p":1e400}})";
  for (int i = 0; i < 100; ++i) many += R"(,{"jsonrpc":"2.0","method":"n"})";
  REQUIRE(read(many + "]").error().kind == ErrorKind::invalid_request);
}

TEST_CASE("envelope: an answer of the client's that cannot be taken ends what it answers") {
  Reader read;
  const auto parsed = read(R"({"jsonrpc":"2.0","id":"g1","result":{"x":"\ud83d"}})");
  REQUIRE(parsed);
  const auto& m = parsed->messages.at(0);
  REQUIRE(m.kind == RpcMessage::Kind::response);
  REQUIRE(m.id == R"("g1")");
  REQUIRE(m.result.empty());
  REQUIRE(json::parse(m.failure)["code"] == static_cast<int>(ErrorKind::parse_error));
}

TEST_CASE("envelope: depth is bounded") {
  Reader read;
  const auto nested = [](int depth) {
    return R"({"jsonrpc":"2.0","id":1,"method":"a","params":{"x":)" +
           std::string(static_cast<std::size_t>(depth), '[') + std::string(static_cast<std::size_t>(depth), ']') + "}}";
  };
  REQUIRE(read(nested(62)));  // in params in the message
  for (const int depth : {63, 10'000}) {
    CAPTURE(depth);
    const auto deep = read(nested(depth));
    REQUIRE(deep);
    REQUIRE(deep->messages.at(0).error.kind == ErrorKind::invalid_request);
    REQUIRE(deep->messages.at(0).id == "1");
  }
  REQUIRE(read(nested(10)));
}

TEST_CASE("envelope: what is no JSON-RPC 2.0 is invalid_request, positional params are invalid_params") {
  Reader read;
  for (const char* bad : {R"({"id":1,"method":"a"})", R"({"jsonrpc":"1.0","id":1,"method":"a"})",
                          R"({"jsonrpc":2.0,"id":1,"method":"a"})", R"({"jsonrpc":"2.0","id":null,"method":"a"})",
                          R"({"jsonrpc":"2.0","id":[1],"method":"a"})", R"({"jsonrpc":"2.0","id":true,"method":"a"})",
                          R"({"jsonrpc":"2.0","id":1,"method":7})", R"({"jsonrpc":"2.0","id":1})",
                          R"({"jsonrpc":"2.0","id":1,"method":""})", R"({"jsonrpc":"2.0","id":1,"id":2,"method":"a"})",
                          R"({"jsonrpc":"2.0","id":1,"method":"a","method":"b"})",
                          R"({"jsonrpc":"2.0","id":1,"method":"a","jsonrpc":"2.0"})"}) {
    const auto parsed = read(bad);
    INFO(bad);
    REQUIRE(parsed);
    REQUIRE(parsed->messages.at(0).kind == RpcMessage::Kind::invalid);
    REQUIRE(parsed->messages.at(0).error.kind == ErrorKind::invalid_request);
  }
  for (const char* bad :
       {R"({"jsonrpc":"2.0","id":1,"method":"a","params":[1]})", R"({"jsonrpc":"2.0","id":1,"method":"a","params":1})",
        R"({"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":{"timeout_ms":-1}}})",
        R"({"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":{"stream":{"credit":"x"}}}})",
        R"({"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":7}})"}) {
    const auto parsed = read(bad);
    INFO(bad);
    REQUIRE(parsed->messages.at(0).error.kind == ErrorKind::invalid_params);
    REQUIRE(parsed->messages.at(0).id == "1");
  }
  REQUIRE(read("7").error().kind == ErrorKind::invalid_request);
  REQUIRE(read("[]").error().kind == ErrorKind::invalid_request);
}

TEST_CASE("envelope: params that are null are absent") {
  Reader read;
  for (const char* id : {R"("id":1,)", ""}) {
    CAPTURE(id);
    const auto parsed = read(std::string(R"({"jsonrpc":"2.0",)") + id + R"("method":"a","params":null})");
    REQUIRE(parsed);
    REQUIRE(parsed->messages.at(0).kind == (*id != '\0' ? RpcMessage::Kind::call : RpcMessage::Kind::notification));
    REQUIRE(parsed->messages.at(0).params.empty());
  }
}

TEST_CASE("envelope: a batch keeps its order, and a mistake in one message is that message's") {
  Reader read;
  const auto parsed =
      read(R"([{"jsonrpc":"2.0","id":1,"method":"a","params":{"p":1}},{"id":2},3,{"jsonrpc":"2.0","method":"n"}])");
  REQUIRE(parsed);
  REQUIRE(parsed->batch);
  REQUIRE(parsed->messages.size() == 4);
  REQUIRE(parsed->messages[0].params == R"({"p":1})");
  REQUIRE(parsed->messages[1].kind == RpcMessage::Kind::invalid);
  REQUIRE(parsed->messages[1].id == "2");
  REQUIRE(parsed->messages[2].kind == RpcMessage::Kind::invalid);
  REQUIRE(parsed->messages[3].kind == RpcMessage::Kind::notification);
  std::string many = "[";
  for (int i = 0; i < 100; ++i) many += std::string(i == 0 ? "" : ",") + R"({"jsonrpc":"2.0","method":"n"})";
  REQUIRE(read(many + "]")->messages.size() == 100);
  REQUIRE(read(many + R"(,{"jsonrpc":"2.0","method":"n"}])").error().kind == ErrorKind::invalid_request);
}

TEST_CASE("envelope: _meta is understood") {
  Reader read;
  const auto parsed = read(
      R"({"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":{"stream":{"credit":5},"timeout_ms":250,"traceparent":"00-1","idempotency_key":"k"}}})");
  const auto& meta = parsed->messages.at(0).meta;
  REQUIRE(meta.stream_credit == 5);
  REQUIRE(meta.timeout_ms == 250);
  REQUIRE(meta.traceparent == "00-1");
  REQUIRE(meta.idempotency_key == "k");
}

TEST_CASE("envelope: ids, names and the members of _meta are taken up to their bounds and no further") {
  Reader read;
  const auto kind = [&](const std::string& members) {
    const auto parsed = read(R"({"jsonrpc":"2.0",)" + members + "}");
    INFO(members);
    REQUIRE(parsed);
    const auto& m = parsed->messages.at(0);
    if (m.kind != RpcMessage::Kind::invalid) return std::string("taken");
    return std::string(kind_name(m.error.kind)) + (m.id.empty() ? "" : " id");
  };
  const auto text = [](std::size_t size) { return '"' + std::string(size, 'x') + '"'; };
  const auto meta = [&](const std::string& member) {
    return kind(R"("id":1,"method":"a","params":{"_meta":{)" + member + "}}");
  };
  REQUIRE(kind(R"("method":"a","id":)" + text(254)) == "taken");
  REQUIRE(kind(R"("method":"a","id":)" + text(255)) == "invalid_request");
  REQUIRE(kind(R"("id":1,"method":)" + text(256)) == "taken");
  REQUIRE(kind(R"("id":1,"method":)" + text(257)) == "invalid_request id");
  REQUIRE(meta(R"("stream":{"credit":4294967295})") == "taken");
  REQUIRE(meta(R"("stream":{"credit":4294967296})") == "invalid_params id");
  REQUIRE(meta(R"("timeout_ms":86400000)") == "taken");
  REQUIRE(meta(R"("timeout_ms":86400001)") == "invalid_params id");
  for (const std::string name : {R"("traceparent":)", R"("idempotency_key":)"}) {
    CAPTURE(name);
    REQUIRE(meta(name + text(256)) == "taken");
    REQUIRE(meta(name + text(257)) == "invalid_params id");
    REQUIRE(meta(name + "7") == "invalid_params id");
  }
}

TEST_CASE("envelope: an id that cannot be answered with is not kept, whatever else is wrong") {
  Reader read;
  for (const std::string& bad :
       {R"({"jsonrpc":"2.0","id":1,"id":2,"method":"a"})"s, R"({"jsonrpc":"2.0","id":{"a":1},"method":"a"})"s,
        R"({"method":"a","id":")"s + std::string(300, 'x') + "\"}"}) {
    INFO(bad);
    const auto parsed = read(bad);
    REQUIRE(parsed->messages.at(0).kind == RpcMessage::Kind::invalid);
    REQUIRE(parsed->messages.at(0).id.empty());
  }
}

TEST_CASE("envelope: what needs no answer is no mistake: a response, or a notification with params that are wrong") {
  Reader read;
  for (const char* response : {R"({"jsonrpc":"2.0","id":1,"result":7})", R"({"jsonrpc":"2.0","id":null,"error":{}})"}) {
    CAPTURE(response);
    REQUIRE(read(response)->messages.at(0).kind == RpcMessage::Kind::response);
  }
  for (const char* params : {"[1]", "7", R"({"_meta":7})", R"({"_meta":{"timeout_ms":-1}})"}) {
    const auto parsed = read(std::string(R"({"jsonrpc":"2.0","method":"n","params":)") + params + "}");
    INFO(params);
    REQUIRE(parsed->messages.at(0).kind == RpcMessage::Kind::notification);
  }
}

TEST_CASE("envelope: an error's text has its kind, its code and its data, and an id or null") {
  const auto text = [](std::string_view id, std::string data) {
    return json::parse(rpc_error(id, Error{ErrorKind::overloaded, "full", std::move(data)}));
  };
  const json error{{"code", static_cast<std::int32_t>(ErrorKind::overloaded)},
                   {"message", "full"},
                   {"data", {{"kind", "overloaded"}}}};
  REQUIRE(text("7", "") == json{{"jsonrpc", "2.0"}, {"id", 7}, {"error", error}});
  REQUIRE(text("", "[1]") == json{{"jsonrpc", "2.0"}, {"id", nullptr}, {"error", error}});
  REQUIRE(text("7", R"({"retry_after_ms":5})")["error"]["data"] == json{{"kind", "overloaded"}, {"retry_after_ms", 5}});
}

TEST_CASE("envelope: each member's bytes are those of its value, whatever the text looks like") {
  core_test::Random random(core_test::seed());
  const std::vector<std::string> strings{"",  "a",      "\\",   "\"",      "\\\"", "}{][", "\\\\", ",:",
                                         "é", "\u0001", "\n\t", "id\\\"x", "\"\"", "[",    "]}\\", "\xF0\x9F\x98\x80"};
  const std::function<json(int)> value = [&](int depth) -> json {
    switch (random.below(depth > 4 ? 5 : 7)) {
      case 0:
        return nullptr;
      case 1:
        return random.one_in(2);
      case 2:
        return static_cast<std::int64_t>(random.below(1'000'000)) - 500'000;
      case 3:
        return static_cast<double>(random.below(1000)) / 8;
      case 4:
        return strings[random.below(strings.size())];
      case 5: {
        json array = json::array();
        for (auto i = random.below(4); i != 0; --i) array.push_back(value(depth + 1));
        return array;
      }
      default: {
        json object = json::object();
        for (auto i = random.below(4); i != 0; --i) object[strings[random.below(strings.size())]] = value(depth + 1);
        return object;
      }
    }
  };
  Reader read;
  for (int i = 0; i < 2000; ++i) {
    json params = json::object();
    for (const auto& name : strings) {
      if (random.one_in(3)) params[name] = value(0);
    }
    const json id = random.one_in(2) ? json(strings[random.below(strings.size())]) : json(random.below(1000));
    const json message{{"jsonrpc", "2.0"}, {"id", id}, {"method", "m.n"}, {"params", params}, {"x", value(0)}};
    const std::string text = message.dump(random.one_in(2) ? -1 : 1, random.one_in(2) ? ' ' : '\t', random.one_in(2));
    INFO(text);
    const auto parsed = read(text);
    REQUIRE(parsed);
    const auto& m = parsed->messages.at(0);
    REQUIRE(json::parse(m.id) == id);
    REQUIRE(json::parse(m.params) == params);
    for (const auto& [name, member] : params.items()) {
      CAPTURE(name, member);
      REQUIRE(json::parse(read.parser.raw_member(m.params, name)) == member);
    }
    const auto batch = read("[" + text + " , 7 ," + text + "]");
    REQUIRE(batch->messages.size() == 3);
    REQUIRE(json::parse(batch->messages[2].params) == params);
  }
}
