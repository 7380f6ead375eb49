// SPDX-License-Identifier: Apache-2.0
//
// echo-boost-json SOCKET: JSON-RPC, a line a message, on Asio and Boost.JSON; one write answers what one read brought.
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <boost/json/src.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "tests/bench/peers/echo_server.hpp"

namespace json = boost::json;
using echo_server::Local;

class Session : public std::enable_shared_from_this<Session> {
 public:
  explicit Session(Local::socket socket) : socket_(std::move(socket)) {}

  void read() {
    socket_.async_read_some(boost::asio::buffer(data_), [self = shared_from_this()](auto failed, std::size_t size) {
      if (failed) return;
      self->in_.append(self->data_.data(), size);
      if (self->answer_all()) self->write();
    });
  }

 private:
  void write() {
    boost::asio::async_write(socket_, boost::asio::buffer(out_), [self = shared_from_this()](auto failed, std::size_t) {
      self->out_.clear();
      if (!failed) self->read();
    });
  }
  // False: it was no call of ours; the connection ends.
  [[nodiscard]] bool answer_all() {
    std::size_t begin = 0;
    for (auto end = in_.find('\n'); end != std::string::npos; end = in_.find('\n', begin)) {
      if (!answer(std::string_view(in_).substr(begin, end - begin))) return false;
      begin = end + 1;
    }
    in_.erase(0, begin);
    return true;
  }
  [[nodiscard]] bool answer(std::string_view line) {
    json::monotonic_resource memory(memory_.data(), memory_.size());
    json::error_code failed;
    json::value call = json::parse(line, failed, &memory);
    if (failed || !call.is_object()) return false;
    auto& members = call.get_object();
    if (members["jsonrpc"] != "2.0" || members["method"] != "echo.echo") return false;
    const json::value reply(
        {{"jsonrpc", "2.0"}, {"id", std::move(members["id"])}, {"result", std::move(members["params"])}}, &memory);
    serializer_.reset(&reply);
    while (!serializer_.done()) out_ += std::string_view(serializer_.read(chunk_.data(), chunk_.size()));
    out_ += '\n';
    return true;
  }

  Local::socket socket_;
  std::array<char, 65536> data_{};
  std::array<unsigned char, 4096> memory_{};
  std::array<char, 4096> chunk_{};
  json::serializer serializer_;
  std::string in_, out_;
};

int main(int argc, char** argv) { return echo_server::run<Session>(argc, argv); }
