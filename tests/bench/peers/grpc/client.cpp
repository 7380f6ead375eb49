// SPDX-License-Identifier: Apache-2.0
//
// load-grpc SOCKET CONNECTIONS DEPTH: gRPC's asynchronous client, one completion queue, one
// thread, a channel of its own for each connection; each call has a deadline.
#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <echo.grpc.pb.h>
#include "tests/bench/peers/echo_load.hpp"

namespace {

class GrpcClient : public echo_load::Client {
 public:
  explicit GrpcClient(const echo_load::Load& load) : Client(load), calls_(load.connections * load.depth) {
    for (std::size_t i = 0; i < load.connections; ++i) {
      grpc::ChannelArguments arguments;
      // Else all channels share one connection.
      arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
      const auto channel =
          grpc::CreateCustomChannel("unix:" + load.socket, grpc::InsecureChannelCredentials(), arguments);
      if (!channel->WaitForConnected(std::chrono::system_clock::now() + echo_load::kTimeout))
        echo_load::fail("no connection to " + load.socket);
      stubs_.push_back(bench::Echo::NewStub(channel));
    }
    for (auto& call : calls_) call.request.set_text(text());
  }

 private:
  struct Call {
    std::optional<grpc::ClientContext> context;
    std::unique_ptr<grpc::ClientAsyncResponseReader<bench::Params>> reader;
    bench::Params request, reply;
    grpc::Status status;
  };

  void ask(std::size_t slot, std::uint64_t n) override {
    auto& call = calls_[slot];
    call.reader.reset();
    call.context.emplace();
    call.context->set_deadline(std::chrono::system_clock::now() + echo_load::kTimeout);
    call.request.set_n(n);
    call.reader = stubs_[slot / load().depth]->AsyncEcho(&*call.context, call.request, &queue_);
    call.reader->Finish(&call.reply, &call.status, &call);
  }
  void wait() override {
    void* tag = nullptr;
    bool ok = false;
    if (!queue_.Next(&tag, &ok)) echo_load::fail("the completion queue has ended");
    const auto& call = *static_cast<Call*>(tag);
    if (!call.status.ok()) echo_load::fail("a call failed: " + call.status.error_message());
    answered(static_cast<std::size_t>(&call - calls_.data()), call.reply.n(), call.reply.text());
  }

  grpc::CompletionQueue queue_;
  std::vector<std::unique_ptr<bench::Echo::Stub>> stubs_;
  std::vector<Call> calls_;
};

}  // namespace

int main(int argc, char** argv) {
  GrpcClient client(echo_load::Load(argc, argv));
  return client.run();
}
