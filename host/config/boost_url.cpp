// SPDX-License-Identifier: Apache-2.0
//
// Boost.URL, compiled once from its headers: nothing has to be installed beside the host.
#include <boost/url/src.hpp>
