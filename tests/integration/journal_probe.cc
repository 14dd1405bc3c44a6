// Logs a fixed set of records to the journal, for journald.py: what no daemon says on an ordinary day.
#include "common/log.h"

#include <string>

int main() {
  using namespace hearth;
  start_logging({.level = LogLevel::debug, .format = LogFormat::journal, .file = ""});
  log_debug("probe_plain", {{"path", "/a b"}, {"bytes", 42}, {"mixed-Key", "x"}});
  log_info("probe_binary", {{"path", std::string("line one\nline two\0end \xff\xfe", 24)}});
  log_warn("probe_empty", {{"path", ""}});
  log_error("probe_large", {{"blob", std::string(16U << 20, 'x') + "\nlast"}});
  stop_logging();
  return 0;
}
