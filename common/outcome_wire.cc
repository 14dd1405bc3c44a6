#include "common/outcome_wire.h"

#include "proto/hearth.pb.h"

namespace hearth {

void outcome_to_wire(const Status& status, proto::Outcome& outcome) {
  if (status) return;
  const Error& error = status.error();
  outcome.set_code(static_cast<std::uint32_t>(error.code()));
  outcome.set_why(error.message());
  outcome.set_retry_after_ms(error.retry_after_ms());
  if (error.error_number() != info(error.code()).error_number) outcome.set_error_number(static_cast<std::uint32_t>(error.error_number()));
}

Status outcome_from_wire(const proto::Outcome& outcome) {
  if (outcome.code() == 0) return ok();
  // A code of a newer peer reads as internal.
  const Code code = outcome.code() < code_table.size() ? static_cast<Code>(outcome.code()) : Code::internal;
  constexpr std::uint32_t most_errno = 4095;  // of the kernel's own calling convention
  Error error = Error(code, outcome.why()).with_retry_after_ms(outcome.retry_after_ms()).as_answer();
  if (outcome.error_number() > most_errno) return error;
  return std::move(error).with_error_number(static_cast<int>(outcome.error_number()));
}

}  // namespace hearth
