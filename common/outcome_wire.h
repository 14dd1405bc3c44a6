// How one of several calls in a message fared, between Result and the wire.
#pragma once

#include <hearth/result.h>

namespace hearth::proto {
class Outcome;
}

namespace hearth {

// Nothing is written for ok: the defaults say it.
void outcome_to_wire(const Status& status, proto::Outcome& outcome);
// What a peer said itself: is_answer().
Status outcome_from_wire(const proto::Outcome& outcome);

}  // namespace hearth
