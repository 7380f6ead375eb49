// SPDX-License-Identifier: Apache-2.0
//
// echo-grpc SOCKET [mt2]: gRPC's asynchronous server, one completion queue and one thread that
// serves it (mt2: two of each). gRPC enforces the deadline that a client sends along.
#include <grpcpp/grpcpp.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <echo.grpc.pb.h>

namespace {

using Service = bench::Echo::AsyncService;

/// A place for one call after another. There are more places than calls in flight, so that no call
/// waits for one.
class Place {
 public:
  void open(Service& service, grpc::ServerCompletionQueue& queue) {
    writer_.reset();
    context_.emplace();
    writer_.emplace(&*context_);
    answered_ = false;
    service.RequestEcho(&*context_, &params_, &*writer_, &queue, &queue, this);
  }
  void happened(bool ok, Service& service, grpc::ServerCompletionQueue& queue) {
    if (answered_ || !ok) return open(service, queue);
    answered_ = true;
    writer_->Finish(params_, grpc::Status::OK, this);
  }

 private:
  std::optional<grpc::ServerContext> context_;
  std::optional<grpc::ServerAsyncResponseWriter<bench::Params>> writer_;
  bench::Params params_;
  bool answered_ = false;
};

void serve(Service& service, grpc::ServerCompletionQueue& queue) {
  std::vector<Place> places(1024);
  for (auto& place : places) place.open(service, queue);
  void* tag = nullptr;
  bool ok = false;
  while (queue.Next(&tag, &ok)) static_cast<Place*>(tag)->happened(ok, service, queue);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const std::size_t threads = argc > 2 && std::string_view(argv[2]) == "mt2" ? 2 : 1;
  Service service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + std::string(argv[1]), grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  std::vector<std::unique_ptr<grpc::ServerCompletionQueue>> queues;
  for (std::size_t i = 0; i < threads; ++i) queues.push_back(builder.AddCompletionQueue());
  const auto server = builder.BuildAndStart();
  if (server == nullptr) return 1;
  std::vector<std::jthread> others;
  for (std::size_t i = 1; i < threads; ++i) others.emplace_back([&, i] { serve(service, *queues[i]); });
  serve(service, *queues[0]);
}
