// Between hearth/changes.h and its messages.
//
// Threads: pure functions.
// Fails:   invalid_argument: no change, or a part that is out of its range.
#pragma once

#include <hearth/changes.h>
#include <hearth/result.h>

namespace hearth::proto {
class Caller;
class ChangeRequest;
}

namespace hearth {

void caller_to_wire(const Caller& caller, proto::Caller& out);
Result<Caller> caller_from_wire(const proto::Caller& caller);

void change_to_wire(const Change& change, proto::ChangeRequest& out);
Result<Change> change_from_wire(const proto::ChangeRequest& request);

// The path of the object that a change is about (Rename: its old name), and the other name that it has to do with:
// where a Rename goes, what a MakeLink links; null where there is none.
const std::string& path_of(const Change& change);
std::string& path_of(Change& change);
std::string* other_path_of(Change& change);
const std::string* other_path_of(const Change& change);
// Whether something stands under path_of() afterwards that must not have stood there before.
bool makes_a_name(const Change& change);

}  // namespace hearth
