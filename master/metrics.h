// What the master counts and times. Call sites take these, never a string.
#pragma once

#include "common/metrics.h"

namespace hearth::master {

inline constexpr HistogramDescriptor request_seconds{
    "hearth_master_request_seconds", "Time to answer a request, by method.", {"method"}};
inline constexpr CounterDescriptor request_errors_total{
    "hearth_master_request_errors_total", "Requests answered with an error, by method and code.", {"method", "code"}};
inline constexpr CounterDescriptor directory_loads_total{
    "hearth_master_directory_loads_total", "Directories listed in under-stores.", {}};
inline constexpr CounterDescriptor workers_lost_total{
    "hearth_master_workers_lost_total", "Workers declared lost.", {}};
inline constexpr GaugeDescriptor inodes{"hearth_master_inodes", "Files and directories whose metadata is kept.", {}};
inline constexpr GaugeDescriptor block_locations{
    "hearth_master_block_locations", "Pairs of block and worker in the location map.", {}};
inline constexpr GaugeDescriptor workers{"hearth_master_workers", "Registered workers by state.", {"state"}};
inline constexpr GaugeDescriptor policy_version{
    "hearth_master_policy_version", "Version of the policy in force; 0 is none.", {}};
inline constexpr GaugeDescriptor attachments{"hearth_master_attachments", "Attachments.", {}};

inline constexpr GaugeDescriptor subscribers{
    "hearth_master_subscribers", "Clients and mounts that are told of changes, by state.", {"state"}};
inline constexpr CounterDescriptor notices_total{
    "hearth_master_notices_total", "Notices of changes sent to subscribers: of paths, or to drop everything.", {"scope"}};
inline constexpr CounterDescriptor subscribers_lagged_total{
    "hearth_master_subscribers_lagged_total", "Changes that were answered before every subscriber knew of them.", {}};
inline constexpr HistogramDescriptor push_seconds{
    "hearth_master_push_seconds", "Time that a change waited until every subscriber knew of it.", {}};

inline constexpr GaugeDescriptor file_lock_sessions{
    "hearth_master_lock_sessions", "Mounts and clients that may hold locks on files.", {}};
inline constexpr GaugeDescriptor file_locks{"hearth_master_locks", "Locks on files: held, and calls that wait for one.", {"state"}};
inline constexpr CounterDescriptor lock_sessions_lost_total{
    "hearth_master_lock_sessions_lost_total", "Lock sessions that ended because nothing was heard of them, with their locks.", {}};

inline constexpr CounterDescriptor store_events_total{
    "hearth_master_store_events_total",
    "Event notifications of object stores: received, matched by an attachment, unanswered when the store was asked.", {"outcome"}};
inline constexpr HistogramDescriptor event_staleness_seconds{
    "hearth_master_event_staleness_seconds",
    "From a change in an object store, by its event's time, until the master knew the new state.", {}};

inline Counter& directory_loads() {
  static Counter& cell = metrics().counter(directory_loads_total);
  return cell;
}

}  // namespace hearth::master
