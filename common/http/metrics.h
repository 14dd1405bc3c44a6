// The metrics of the HTTP client.
#pragma once

#include "common/metrics.h"

namespace hearth::described {

inline constexpr CounterDescriptor http_requests_total{
    "hearth_http_requests_total", "Requests that ended, by status class (2xx, 4xx, ...) or the code of their failure.", {"outcome"}};
inline constexpr CounterDescriptor http_received_bytes_total{"hearth_http_received_bytes_total", "Body bytes received."};
inline constexpr CounterDescriptor http_sent_bytes_total{"hearth_http_sent_bytes_total", "Body bytes sent."};
inline constexpr CounterDescriptor http_connections_total{
    "hearth_http_connections_total", "Requests by the connection they used: opened for them, or reused.", {"kind"}};
inline constexpr HistogramDescriptor http_first_byte_seconds{
    "hearth_http_first_byte_seconds", "Time from the start of a request to the first byte of its reply."};
inline constexpr GaugeDescriptor http_in_flight{"hearth_http_in_flight", "Requests on a connection, and waiting for one.", {"state"}};

}  // namespace hearth::described
