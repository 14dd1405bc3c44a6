// The metrics of S3 stores.
#pragma once

#include "common/metrics.h"

namespace hearth::s3::described {

inline constexpr CounterDescriptor requests_total{"hearth_s3_requests_total", "Requests to S3 stores, by operation and outcome.",
                                                  {"operation", "code"}};
inline constexpr HistogramDescriptor request_seconds{"hearth_s3_request_seconds", "Time of a request to an S3 store, whole.", {"operation"}};
inline constexpr CounterDescriptor read_bytes_total{"hearth_s3_read_bytes_total", "Bytes of objects read from S3 stores."};
inline constexpr CounterDescriptor written_bytes_total{"hearth_s3_written_bytes_total", "Bytes of objects sent to S3 stores."};
inline constexpr CounterDescriptor region_redirects_total{"hearth_s3_region_redirects_total",
                                                          "Times a store named another region than the one asked."};
inline constexpr CounterDescriptor credential_fetches_total{"hearth_s3_credential_fetches_total", "Credentials fetched or refreshed.",
                                                            {"outcome"}};
inline constexpr CounterDescriptor refused_replies_total{
    "hearth_s3_refused_replies_total", "Replies not believed: other version, range, length or checksum than asked for.", {"reason"}};
inline constexpr CounterDescriptor unreachable_keys_total{"hearth_s3_unreachable_keys_total",
                                                          "Listed keys that no path can name (//, ., .., or shadowed by an object)."};
inline constexpr CounterDescriptor uploads_aborted_total{"hearth_s3_uploads_aborted_total", "Unfinished multipart uploads taken back."};

}  // namespace hearth::s3::described
