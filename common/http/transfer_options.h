// How a transfer is told to libcurl: every option that Hearth sets, in one place.
#pragma once

#include "common/http/http.h"
#include "common/http/transfer.h"

namespace hearth {

// Header and address lists that libcurl refers to while a transfer runs.
class CurlLists {
 public:
  CurlLists() = default;
  ~CurlLists();
  CurlLists(CurlLists&& other) noexcept;
  CurlLists& operator=(CurlLists&&) = delete;

  void* headers = nullptr;     // curl_slist
  void* connect_to = nullptr;  // curl_slist
};

// Fails with `unsupported` when this libcurl lacks what the request needs.
Status set_curl_options(void* easy, Transfer& transfer, const HttpClientOptions& options, CurlLists& lists,
                        char* error_buffer);

}  // namespace hearth
