// SPDX-License-Identifier: Apache-2.0
//
// gantry/plugin/handler.hpp: which functions may be the handler of a method, and how they are
// called.
//
// A handler of plugin T is a member function of T, a function or a lambda; the latter two may take
// T& first. Then a handler takes, each of them optional and in this order,
//   P or const P&                 the params: a described struct (gantry/fields.hpp)
//   Call&, Stream<Item>&          the call: deadline, origin, cancellation, progress, items; the handler's result
//   answers Call, Stream<Item>            the right to answer, now or later: the handler returns nothing
// and returns R, Result<R>, Result<void> or nothing, where R is any type that gantry/fields.hpp can
// write. A handler that takes neither params nor a call refuses all params. A handler that returns
// nothing, or Result<void>, answers {}. On the pool: gantry/plugin/pool.hpp. As a coroutine:
// gantry/plugin/coro.hpp.
#pragma once

#include <gantry/plugin/call.hpp>

#include <functional>
#include <gantry/fields.hpp>
#include <gantry/plugin/agents.hpp>
#include <gantry/plugin/stream.hpp>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace gantry {

struct MethodOptions {
  std::string summary = {};
  json params = json::object();        ///< JSON Schema of the params; a typed handler gives it
  json result = json::object();        ///< JSON Schema of the result; a typed handler gives it
  json item = json::object();          ///< JSON Schema of a stream's items; a handler that takes a Stream gives it
  std::vector<ErrorKind> errors = {};  ///< that the method may answer, besides those of any call
  bool idempotent = false;  ///< the router may call it again when an attempt failed with `unavailable` or `plugin_died`
  bool stream = false;      ///< may be opened as a stream
  bool attach = false;      ///< a long-lived stream: no permit, no deadline
  bool keeps_time = false;  ///< the handler ends in time by itself: no default deadline; a caller's deadline holds
  /// The answer may begin a subscription (`follow`), for which this method reads the plugin's log; see
  /// docs/plugin-authors.md, "A log that subscribers resume".
  std::string follows = {};
  /// What agents may do with the method (gantry/plugin/agents.hpp).
  std::optional<Tool> tool = {};
  std::optional<Resource> resource = {};
  std::optional<Prompt> prompt = {};
};

namespace detail {

/// The params of a method without params: any member is refused.
struct NoParams {};
BOOST_DESCRIBE_STRUCT(NoParams, (), ())

template <class R, class... A>
struct FunctionTypes {
  using Return = R;
  using Arguments = std::tuple<A...>;
};
template <class F>
struct TypesOf : TypesOf<decltype(&F::operator())> {};
template <class R, class... A, bool N>
struct TypesOf<R (*)(A...) noexcept(N)> : FunctionTypes<R, A...> {};
template <class S, class R, class... A, bool N>
struct TypesOf<R (S::*)(A...) noexcept(N)> : FunctionTypes<R, A...> {};
template <class S, class R, class... A, bool N>
struct TypesOf<R (S::*)(A...) const noexcept(N)> : FunctionTypes<R, A...> {};

template <class A>
struct CallKind {
  static constexpr bool is_call = false;
  using Item = void;
};
template <>
struct CallKind<Call> {
  static constexpr bool is_call = true;
  using Item = void;
};
template <class I>
struct CallKind<Stream<I>> {
  static constexpr bool is_call = true;
  using Item = I;
};

/// plugin/coro.hpp specialises this for Task<R>, whose Value is R.
template <class R>
struct Coroutine {
  static constexpr bool is = false;
  using Value = R;
};

template <class R>
struct ResultValue {
  using type = R;
};
template <class R>
struct ResultValue<Result<R>> {
  using type = R;
};

template <class... A>
struct Split;  // takes the parameters (P?, Call?) apart
template <>
struct Split<> {
  using P = void;
  using C = void;
};
template <class A>
struct Split<A> {
  static constexpr bool is_call = CallKind<std::remove_cvref_t<A>>::is_call;
  using P = std::conditional_t<is_call, void, A>;
  using C = std::conditional_t<is_call, A, void>;
};
template <class A, class B>
struct Split<A, B> {
  static_assert(!CallKind<std::remove_cvref_t<A>>::is_call && CallKind<std::remove_cvref_t<B>>::is_call,
                "a handler takes its params, then a Call or a Stream");
  using P = A;
  using C = B;
};

/// The types of a handler F of plugin T.
template <class T, class F>
struct HandlerTypes {
  template <class... A>
  struct Rest : Split<A...> {
    static constexpr bool takes_self = false;
  };
  template <class A, class... More>
    requires std::is_same_v<A, T&>
  struct Rest<A, More...> : Split<More...> {
    static constexpr bool takes_self = true;
  };
  template <class... A>
  static Rest<A...> rest(std::tuple<A...>*);

  using Types = TypesOf<F>;
  using Parts = decltype(rest(static_cast<typename Types::Arguments*>(nullptr)));
  using Return = typename Types::Return;
  static constexpr bool is_coroutine = Coroutine<Return>::is;
  using Value = typename ResultValue<typename Coroutine<Return>::Value>::type;
  using P = typename Parts::P;  ///< as the handler takes it; void: it takes none
  using C = typename Parts::C;
  using Item = typename CallKind<std::remove_cvref_t<C>>::Item;
  static constexpr bool takes_params = !std::is_void_v<P>;
  static constexpr bool takes_call = !std::is_void_v<C>;
  static constexpr bool answers_itself = takes_call && !std::is_reference_v<C> && !is_coroutine;
  using Params = std::conditional_t<takes_params, std::remove_cvref_t<P>, NoParams>;
  /// The type that the handler's Call is converted to.
  using Caller = std::conditional_t<takes_call, std::remove_cvref_t<C>, Call>;

  static_assert(!answers_itself || std::is_void_v<Return>, "a handler that owns its Call returns nothing");
  static_assert(!takes_params || !std::is_lvalue_reference_v<P> || std::is_const_v<std::remove_reference_t<P>>,
                "a handler takes its params by value or by reference to const");
};

/// Reads the params of a call as P.
template <class P>
[[nodiscard]] Result<P> read_params(const Call& call) {
  const std::string& text = call.raw_params();
  auto document = text.empty() ? Result<json>(json::object()) : parse_json(text);
  if (!document) return std::unexpected(std::move(document.error()));
  P out{};
  FieldReader reader("params", true);
  if (!ShapeOf<P>::read(reader, {}, *document, out, {})) return std::unexpected(reader.take_error());
  return out;
}

template <class R>
void reply_with(Call& call, const R& value) {
  call.reply(to_json(value));
}
template <class R>
void reply_with(Call& call, const Result<R>& result) {
  if (!result) {
    call.reply_error(result.error());
  } else if constexpr (std::is_void_v<R>) {
    call.reply_raw("{}");
  } else {
    reply_with(call, *result);
  }
}

/// Calls `handler`, with `params` and `call` as far as it takes them.
template <class T, class F, class... Caller>
decltype(auto) invoke_handler(const F& handler, T& self, typename HandlerTypes<T, F>::Params&& params,
                              Caller&&... call) {
  using Types = HandlerTypes<T, F>;
  const auto with_self = [&](auto&&... rest) -> decltype(auto) {
    if constexpr (std::is_member_pointer_v<F> || Types::Parts::takes_self) {
      return std::invoke(handler, self, std::forward<decltype(rest)>(rest)...);
    } else {
      return std::invoke(handler, std::forward<decltype(rest)>(rest)...);
    }
  };
  if constexpr (Types::takes_params) {
    return with_self(std::move(params), std::forward<Caller>(call)...);
  } else {
    return with_self(std::forward<Caller>(call)...);
  }
}

/// Calls a handler that does not own its call, and answers with its result.
template <class T, class F>
void answer_by_handler(const F& handler, T& self, typename HandlerTypes<T, F>::Params&& params,
                       typename HandlerTypes<T, F>::Caller& call) {
  using Types = HandlerTypes<T, F>;
  const auto run = [&]() -> decltype(auto) {
    if constexpr (Types::takes_call) {
      return invoke_handler<T, F>(handler, self, std::move(params), call);
    } else {
      return invoke_handler<T, F>(handler, self, std::move(params));
    }
  };
  if constexpr (std::is_void_v<typename Types::Return>) {
    run();
    call.reply_raw("{}");
  } else {
    reply_with(call, run());
  }
}

/// Calls F on the strand; plugin/pool.hpp and plugin/coro.hpp have specialisations.
template <class T, class F>
struct Handler : HandlerTypes<T, F> {
  using Types = HandlerTypes<T, F>;

  static void serve(const F& handler, T& self, typename Types::Params params, Call call) {
    if constexpr (Types::is_coroutine) {
      Coroutine<typename Types::Return>::template serve<T, F>(handler, self, std::move(params), std::move(call));
    } else if constexpr (Types::answers_itself) {
      invoke_handler<T, F>(handler, self, std::move(params), typename Types::Caller(std::move(call)));
    } else {
      typename Types::Caller caller(std::move(call));
      answer_by_handler<T, F>(handler, self, std::move(params), caller);
    }
  }
};

template <class T>
using HandlerFunction = std::function<void(T&, Call)>;

template <class T, class F>
[[nodiscard]] HandlerFunction<T> make_handler(F handler) {
  using Types = Handler<T, F>;
  return [handler = std::move(handler)](T& self, Call call) {
    if constexpr (!Types::takes_params && Types::takes_call) {
      Types::serve(handler, self, {}, std::move(call));  // the handler reads the params itself
    } else {
      auto params = read_params<typename Types::Params>(call);
      if (!params) return call.reply_error(params.error());
      Types::serve(handler, self, std::move(*params), std::move(call));
    }
  };
}

/// Fills in the options that follow from the handler's types.
template <class T, class F>
void describe_handler(MethodOptions& options) {
  using Types = Handler<T, F>;
  if constexpr (Types::takes_params || !Types::takes_call) {
    if (options.params.empty()) options.params = schema_of<typename Types::Params>(Direction::input);
  }
  if constexpr (!Types::answers_itself) {
    if (!options.result.empty()) {
    } else if constexpr (std::is_void_v<typename Types::Value>) {
      options.result = {{"type", "object"}};
    } else {
      options.result = schema_of<typename Types::Value>(Direction::output);
    }
  }
  if constexpr (!std::is_void_v<typename Types::Item>) {
    options.stream = true;
    if (options.item.empty()) options.item = schema_of<typename Types::Item>(Direction::output);
  }
}

}  // namespace detail

}  // namespace gantry
